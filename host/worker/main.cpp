// SPDX-License-Identifier: Apache-2.0

// isthmus-worker: serves one lane and exits. isthmusd starts it with the descriptors of daemon_protocol.hpp and
//     isthmus-worker LANES BASE_ADDRESS shm|vm|check huge|small cold|warm|fresh[=LANE] [NAME=PLUGIN...]
// "check": there is no region; it loads the plug-ins, tells how that went, and exits. "warm": its plug-ins make what a
// client will want before there is one, and with "vm" it waits for the daemon's word before it waits for clients.
// "fresh": it waits for a client (of that lane) before its plug-ins prepare, so that they find the client's variables.
// It believes nothing that lies in the region, and is believed by nobody: the boundary is this process.

#include <poll.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction and kill are POSIX, not C++
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/worker/client_variables.hpp"
#include "host/worker/device_memory_client.hpp"
#include "host/worker/note_client.hpp"
#include "host/worker/plugin_loader.hpp"
#include "host/worker/probe_service.hpp"
#include "host/worker/region_memory.hpp"
#include "host/worker/warming.hpp"
#include "isthmus/lane_server.hpp"
#include "isthmus/marshal/dispatcher.hpp"
#include "isthmus/plugin.hpp"
#include "src/transport/daemon_protocol.hpp"
#include "src/transport/text.hpp"

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

// Waits for the daemon's word; false: it is to exit.
bool told_to_serve() {
  char order = 0;
  ssize_t got = 0;
  do {
    pollfd readable{.fd = isthmus::wire::worker_control_fd, .events = POLLIN, .revents = 0};
    static_cast<void>(poll(&readable, 1, -1));
    got = recv(isthmus::wire::worker_control_fd, &order, sizeof order, MSG_DONTWAIT);
  } while (got < 0 && (errno == EAGAIN || errno == EINTR));
  return got == sizeof order && order == static_cast<char>(isthmus::wire::Order::serve);
}

template <class T>
bool parse(std::string_view argument, T& value) {
  const auto [end, error] = std::from_chars(argument.data(), argument.data() + argument.size(), value);
  return error == std::errc{} && end == argument.data() + argument.size();
}

// What the daemon has given sockets for.
struct FromDaemon {
  std::shared_ptr<isthmus::plugin::DeviceMemory> device_memory;
  std::shared_ptr<isthmus::plugin::Notes> notes;
};

// What plug-ins see of the worker.
class LaneHost final : public isthmus::plugin::Host {
 public:
  LaneHost(const isthmus::LaneServer& server, FromDaemon from_daemon) noexcept
      : server_(&server), from_daemon_(std::move(from_daemon)) {}

  std::span<std::byte> window() const noexcept override { return server_->window(); }
  std::optional<std::span<std::byte>> resolve(isthmus::Reference reference) const noexcept override {
    return server_->resolve(reference);
  }
  std::shared_ptr<isthmus::Upcalls> upcalls() const noexcept override { return server_->upcalls(); }
  std::shared_ptr<isthmus::plugin::DeviceMemory> device_memory() const noexcept override {
    return from_daemon_.device_memory;
  }
  std::shared_ptr<isthmus::plugin::Notes> notes() const noexcept override { return from_daemon_.notes; }
  void log(std::string_view line) const noexcept override { tell_daemon(Report::note, lane_being_served, true, line); }

 private:
  const isthmus::LaneServer* server_;
  FromDaemon from_daemon_;
};

using isthmus::host::Plugins;

void tell_loading(std::string_view plugin) {
  tell_daemon(Report::loading, lane_being_served, true, isthmus::text("plug-in ", plugin));
}

// Arguments "NAME=PATH".
isthmus::Result<Plugins> load_plugins(std::span<char*> arguments) {
  Plugins plugins;
  for (const std::string_view argument : arguments) {
    const std::size_t separator = argument.find('=');
    if (separator == std::string_view::npos) {
      return isthmus::fail(isthmus::Errc::invalid_argument, isthmus::text("plug-in ", argument, ": no NAME=PATH"));
    }
    const std::string_view name = argument.substr(0, separator);
    const std::string_view path = argument.substr(separator + 1);
    tell_loading(name.empty() ? path : name);
    auto loaded = isthmus::host::load_plugin(path, name);
    if (!loaded) {
      return std::unexpected(std::move(loaded.error()));
    }
    plugins.push_back(*loaded);
  }
  if (auto apart = isthmus::host::check_apis(plugins); !apart) {
    return std::unexpected(std::move(apart).error());
  }
  return plugins;
}

isthmus::Result<void> prepare(const Plugins& plugins) {
  for (const isthmus::plugin::Descriptor* plugin : plugins) {
    tell_loading(plugin->name);
    auto note = isthmus::host::prepare_plugin(*plugin);
    if (!note) {
      return std::unexpected(std::move(note.error()));
    }
    tell_daemon(Report::note, lane_being_served, true, *note);
  }
  return {};
}

isthmus::Result<Plugins> load_and_prepare(std::span<char*> arguments) {
  auto plugins = load_plugins(arguments);
  if (plugins) {
    if (auto prepared = prepare(*plugins); !prepared) {
      return std::unexpected(std::move(prepared).error());
    }
  }
  return plugins;
}

// Which clients are the worker's: those that its plug-ins can serve as they are, or, where nothing is prepared yet, the
// first, whose variables they find. That comes before the lane is taken: drivers may need long, without a heartbeat.
isthmus::ClaimsWanted claims_for(const Plugins& plugins, bool is_fresh, std::optional<std::uint32_t> lane,
                                 std::optional<isthmus::Error>& failure) {
  if (is_fresh) {
    return {.lane = lane,
            .fits =
                [&plugins, &failure, is_prepared = false](const std::vector<std::string>& variables) mutable {
                  if (std::exchange(is_prepared, true)) {
                    return false;  // the first one has gone meanwhile
                  }
                  isthmus::host::take_over(plugins, variables);
                  if (auto prepared = prepare(plugins); !prepared) {
                    failure = std::move(prepared).error();
                  }
                  return !failure.has_value();
                },
            .only_one = true};
  }
  return {.fits = [&plugins](
                      const std::vector<std::string>& variables) { return isthmus::host::suits(plugins, variables); },
          .misfit = [](std::uint32_t index) { tell_daemon(Report::misfit, index, true, ""); }};
}

// The backends of a lane, and the dispatcher that hands requests to them.
class Backends {
 public:
  Backends(const isthmus::LaneServer& server, FromDaemon from_daemon) noexcept
      : host_(server, std::move(from_daemon)) {}

  isthmus::Result<void> open(const Plugins& plugins) {
    isthmus::host::add_probe_service(dispatcher_);
    for (const isthmus::plugin::Descriptor* plugin : plugins) {
      if (auto opened = open(*plugin); !opened) {
        return isthmus::fail(opened.error().code,
                             isthmus::text("plug-in ", plugin->name, ": ", opened.error().message));
      }
    }
    return {};
  }
  isthmus::marshal::Dispatcher& dispatcher() noexcept { return dispatcher_; }

 private:
  isthmus::Result<void> open(const isthmus::plugin::Descriptor& plugin) {
    try {
      auto backend = plugin.open_lane(host_);
      if (!backend) {
        return std::unexpected(std::move(backend.error()));
      }
      if (*backend == nullptr) {
        return isthmus::fail(isthmus::Errc::invalid_argument, "open_lane returned no backend");
      }
      backends_.push_back(std::move(*backend));
      isthmus::marshal::Dispatcher own;  // so that no plug-in can take over what another serves
      backends_.back()->add_to(own);
      return dispatcher_.merge(std::move(own));
    } catch (const std::exception& thrown) {
      return isthmus::fail(isthmus::Errc::system, isthmus::text("threw while it opened the lane: ", thrown.what()));
    }
  }

  LaneHost host_;
  std::vector<std::unique_ptr<isthmus::plugin::Backend>> backends_;
  isthmus::marshal::Dispatcher dispatcher_;  // goes before the backends that its functions use
};

}  // namespace

int main(int argc, char** argv) {
  const FromDaemon from_daemon{.device_memory = isthmus::host::DeviceMemoryClient::of_process(),
                               .notes = isthmus::host::NoteClient::of_process()};
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  std::uint32_t lanes = 0;
  std::uint64_t address = 0;
  if (arguments.size() < 6 || !parse(arguments[1], lanes) || !parse(arguments[2], address)) {
    constexpr std::string_view usage = "isthmus-worker: started by isthmusd, not by hand\n";
    static_cast<void>(!write(STDERR_FILENO, usage.data(), usage.size()));
    return 2;
  }
  const bool shares_kernel = std::string_view(arguments[3]) == "shm";
  const bool only_checks = std::string_view(arguments[3]) == "check";
  const bool huge_pages = std::string_view(arguments[4]) == "huge";
  const std::string_view start(arguments[5]);
  const bool is_warm = start == "warm";
  const bool is_fresh = start.starts_with("fresh");
  std::uint32_t only_lane = 0;
  const bool for_one_lane = is_fresh && start.find('=') != std::string_view::npos;
  if (for_one_lane && !parse(start.substr(start.find('=') + 1), only_lane)) {
    return give_up("started for a lane that is no number");
  }
  const auto plugin_arguments = arguments.subspan(6);
  // The kernel may have called it after a descriptor.
  prctl(PR_SET_NAME, "isthmus-worker");
  // Memory of a process that holds guests' data must not be read by others of the same user.
  prctl(PR_SET_DUMPABLE, 0);
  // Waits at intervals (ivshmem-plain) are tens of microseconds long; the default slack of 50 would double them.
  prctl(PR_SET_TIMERSLACK, 1000);
  struct sigaction action{};
  action.sa_handler = on_bus_error;
  sigaction(SIGBUS, &action, nullptr);

  if (only_checks) {
    const auto loaded = load_and_prepare(plugin_arguments);
    if (!loaded) {
      return give_up(loaded.error().message);
    }
    tell_daemon(Report::ended, 0, true, "its plug-ins can be loaded");
    return 0;
  }

  auto server = isthmus::LaneServer::open(isthmus::wire::worker_region_fd,
                                          {.lane_count = lanes,
                                           .base_address = address,
                                           .control_fd = isthmus::wire::worker_control_fd,
                                           .kick_fd = shares_kernel ? isthmus::wire::worker_kick_fd : -1});
  if (!server) {
    return give_up(server.error().message);
  }
  // Both take long, and a client may wait already.
  auto memory = std::async(shares_kernel ? std::launch::async : std::launch::deferred, [shares_kernel] {
    return shares_kernel ? isthmus::host::claim_region_memory(isthmus::wire::worker_region_fd)
                         : isthmus::Result<void>();  // a VM's has it already
  });
  // Before a lane is taken: what cannot be loaded costs no client.
  const auto plugins = is_fresh ? load_plugins(plugin_arguments) : load_and_prepare(plugin_arguments);
  const auto claimed = memory.get();
  if (!plugins || !claimed) {
    return give_up(plugins ? claimed.error().message : plugins.error().message);
  }
  // The mapping stays; the descriptor carries the daemon's lock on the region, which is none of the worker's business.
  close(isthmus::wire::worker_region_fd);
  tell_daemon(Report::ready, 0, true, "");
  if (huge_pages) {
    const auto backed = server->use_huge_pages();
    tell_daemon(Report::note, 0, true, backed ? "the region is in huge pages" : backed.error().message);
  }

  isthmus::host::Warming warming;
  if (is_warm) {
    warming.begin(*plugins, server->window(), from_daemon.device_memory, [](bool made_all, const std::string& line) {
      tell_daemon(made_all ? Report::warm : Report::cold, 0, true, line);
    });
    if (!shares_kernel && !told_to_serve()) {
      return give_up("told to stop before it was needed");
    }
  }
  std::optional<isthmus::Error> failure;
  const auto lane = server->wait_for_claim(
      claims_for(*plugins, is_fresh, for_one_lane ? std::optional(only_lane) : std::nullopt, failure));
  if (!lane) {
    return give_up(failure ? failure->message : lane.error().message);
  }
  warming.hurry();
  lane_being_served = *lane;
  tell_daemon(Report::taken, *lane, true, "");

  const isthmus::LaneEnd end = [&]() -> isthmus::LaneEnd {
    Backends backends(*server, from_daemon);
    if (auto opened = backends.open(*plugins); !opened) {
      return {.orderly = false, .reason = opened.error().message};
    }
    return server->serve(backends.dispatcher());
  }();
  tell_daemon(Report::ended, *lane, end.orderly, end.reason);
  return end.orderly ? 0 : 1;
}
