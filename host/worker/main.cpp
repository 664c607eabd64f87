// SPDX-License-Identifier: Apache-2.0

// isthmus-worker: serves one lane and exits. isthmusd starts it with the descriptors of daemon_protocol.hpp and
//     isthmus-worker LANES BASE_ADDRESS shm|vm huge|small
// It believes nothing that lies in the region, and is believed by nobody: the boundary is this process.

#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction and kill are POSIX, not C++
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "host/worker/probe_service.hpp"
#include "isthmus/lane_server.hpp"
#include "isthmus/marshal/dispatcher.hpp"
#include "src/gpu/opencl/opencl_service.hpp"
#include "src/transport/daemon_protocol.hpp"

namespace {

using isthmus::wire::Report;
using isthmus::wire::WorkerReport;

volatile std::uint32_t lane_being_served = 0;  // for the signal handler

// Async-signal-safe.
void tell_daemon(Report report, std::uint32_t lane, bool orderly, std::string_view text) {
  WorkerReport message{.report = report, .lane = lane, .orderly = orderly ? 1U : 0U};
  std::copy_n(text.begin(), std::min(text.size(), message.text.size() - 1), message.text.begin());
  // If the daemon is gone there is nobody to tell.
  static_cast<void>(send(isthmus::wire::worker_control_fd, &message, sizeof message, MSG_NOSIGNAL));
}

// The region's file became shorter than its mapping, or its memory is gone: nothing in it can be saved.
extern "C" void on_bus_error(int) {
  tell_daemon(Report::ended, lane_being_served, false, "the region's memory is gone: its file was cut short (SIGBUS)");
  _exit(2);
}

int give_up(std::string_view why) {
  tell_daemon(Report::ended, lane_being_served, false, why);
  return 1;
}

template <class T>
bool parse(std::string_view argument, T& value) {
  const auto [end, error] = std::from_chars(argument.data(), argument.data() + argument.size(), value);
  return error == std::errc{} && end == argument.data() + argument.size();
}

}  // namespace

int main(int argc, char** argv) {
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  std::uint32_t lanes = 0;
  std::uint64_t address = 0;
  if (arguments.size() != 5 || !parse(arguments[1], lanes) || !parse(arguments[2], address)) {
    constexpr std::string_view usage = "isthmus-worker: started by isthmusd, not by hand\n";
    static_cast<void>(!write(STDERR_FILENO, usage.data(), usage.size()));
    return 2;
  }
  const bool shares_kernel = std::string_view(arguments[3]) == "shm";
  const bool huge_pages = std::string_view(arguments[4]) == "huge";
  // Memory of a process that holds guests' data must not be read by others of the same user.
  prctl(PR_SET_DUMPABLE, 0);
  // Waits at intervals (ivshmem-plain) are tens of microseconds long; the default slack of 50 would double them.
  prctl(PR_SET_TIMERSLACK, 1000);
  struct sigaction action{};
  action.sa_handler = on_bus_error;
  sigaction(SIGBUS, &action, nullptr);

  auto server = isthmus::LaneServer::open(isthmus::wire::worker_region_fd,
                                          {.lane_count = lanes,
                                           .base_address = address,
                                           .control_fd = isthmus::wire::worker_control_fd,
                                           .kick_fd = shares_kernel ? isthmus::wire::worker_kick_fd : -1});
  if (!server) {
    return give_up(server.error().message);
  }
  // The mapping stays; the descriptor carries the daemon's lock on the region, which is none of the worker's business.
  close(isthmus::wire::worker_region_fd);
  tell_daemon(Report::ready, 0, true, "");
  if (huge_pages) {
    const auto backed = server->use_huge_pages();
    tell_daemon(Report::note, 0, true, backed ? "the region is in huge pages" : backed.error().message);
  }

  const auto lane = server->wait_for_claim();
  if (!lane) {
    return give_up(lane.error().message);
  }
  lane_being_served = *lane;
  tell_daemon(Report::taken, *lane, true, "");

  isthmus::marshal::Dispatcher dispatcher;
  isthmus::host::add_probe_service(dispatcher);
  isthmus::opencl::add_opencl_service(dispatcher);
  const isthmus::LaneEnd end = server->serve(dispatcher);
  tell_daemon(Report::ended, *lane, end.orderly, end.reason);
  return end.orderly ? 0 : 1;
}
