// SPDX-License-Identifier: Apache-2.0

// isthmus-guestd: reports dead clients of this VM to the host at once. Without it (and without a guest driver) the host
// learns of a killed client only when the next one attaches, since ivshmem-plain tells it nothing.

#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction and kill are POSIX, not C++

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>

#include "src/command_line/command_line.hpp"
#include "src/transport/claim.hpp"
#include "src/transport/ivshmem_device.hpp"

namespace {

volatile sig_atomic_t told_to_end = 0;

extern "C" void on_signal(int) { told_to_end = 1; }

}  // namespace

int main(int argc, char** argv) {
  std::string uri = "ivshmem:auto";
  std::uint32_t interval_ms = 250;
  isthmus::CommandLine line("Reports dead clients of this VM to the host, until SIGTERM.");
  line.option("-e,--endpoint", uri, "ivshmem:auto[?region=NAME] or ivshmem:PCI-ADDRESS")
      .option("--interval", interval_ms, "milliseconds between looks", {.least = 1, .most = 60'000});
  if (const auto status = line.parse(argc, argv)) {
    return *status;
  }

  const auto give_up = [](const isthmus::Error& error) {
    static_cast<void>(std::fprintf(stderr, "isthmus-guestd: %s\n", error.message.c_str()));
    return 1;
  };
  const auto endpoint = isthmus::Endpoint::parse(uri);
  if (!endpoint) {
    return give_up(endpoint.error());
  }
  if (endpoint->kind != isthmus::Endpoint::Kind::ivshmem) {
    return give_up({isthmus::Errc::invalid_argument, "endpoint " + uri + ": only ivshmem: regions need watching"});
  }
  const auto device = isthmus::open_ivshmem(*endpoint, "/sys/bus/pci/devices");
  if (!device) {
    return give_up(device.error());
  }
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  while (told_to_end == 0) {
    const std::uint32_t marked = isthmus::mark_dead_lanes(device->region, device->bar2.get());
    if (marked != 0) {
      std::printf("region %s: %u lanes lost their clients\n", device->region.name().c_str(), marked);
      static_cast<void>(std::fflush(stdout));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(interval_ms));
  }
  return 0;
}
