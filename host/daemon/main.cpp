// SPDX-License-Identifier: Apache-2.0

// isthmusd: serves VMs and processes of this machine with workers, by its configuration file (docs/isthmusd.md).

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <tuple>

#include "host/config.hpp"
#include "host/daemon/daemon.hpp"
#include "host/daemon/log.hpp"
#include "src/command_line/command_line.hpp"

namespace {

// Exit statuses: 0 ended as told, 1 failed, 2 unusable command line or configuration.
constexpr int exit_failure = 1;
constexpr int exit_usage = 2;

int say(const isthmus::Error& error, int status) {
  std::ignore = std::fprintf(stderr, "isthmusd: %s\n", error.message.c_str());
  return status;
}

// A worker costs up to seven descriptors, and its VM's notes hold more: 1024, the usual limit, are soon spent, and who
// spends them would keep other VMs from workers. Bounded, because what workers start closes what it does not know one
// by one, up to this limit.
void allow_many_descriptors() {
  constexpr rlim_t enough = 65536;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < enough) {
    limit.rlim_cur = std::min(enough, limit.rlim_max);
    std::ignore = setrlimit(RLIMIT_NOFILE, &limit);  // what is not allowed is not needed by most
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::string file = "/etc/isthmus/isthmusd.toml";
  bool check_only = false;
  isthmus::CommandLine line("Serves Isthmus lanes to virtual machines and processes.");
  line.option("-c,--config", file, "configuration file")
      .flag("--check", check_only, "read the configuration, say what is wrong with it, if anything, and exit");
  if (const auto status = line.parse(argc, argv, exit_usage)) {
    return *status;
  }

  const auto config = isthmus::host::load_config(file);
  if (!config) {
    return say(config.error(), exit_usage);
  }
  if (check_only) {
    return 0;
  }
  isthmus::host::log::open();
  allow_many_descriptors();

  auto daemon = isthmus::host::Daemon::start(*config);
  if (!daemon) {
    return say(daemon.error(), exit_failure);
  }
  if (auto outcome = (*daemon)->run(); !outcome) {
    return say(outcome.error(), exit_failure);
  }
  return 0;
}
