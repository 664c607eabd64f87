// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/child_process.hpp"
#include "host/confinement.hpp"
#include "host/daemon/device_memory_desk.hpp"
#include "host/daemon/note_desk.hpp"
#include "host/event_loop.hpp"
#include "host/plugin_path.hpp"
#include "isthmus/error.hpp"
#include "src/transport/daemon_protocol.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// What a worker is started with.
struct WorkerSpec {
  std::filesystem::path program;
  int region_fd = -1;  ///< borrowed during start(); -1: only to try whether its plug-ins can be loaded
  int kick_fd = -1;    ///< borrowed during start(); -1 for a VM's region
  std::uint32_t lane_count = 1;
  std::uint64_t base_address = 0;
  bool huge_pages = false;
  /// Cold: its plug-ins prepare before there is a client. Warm: they also warm up; that of a VM waits for serve()
  /// before it waits for clients. Fresh: they prepare when the client is there, and find its variables.
  enum class Start : std::uint8_t { cold, warm, fresh };
  Start how = Start::cold;
  std::optional<std::uint32_t> lane = std::nullopt;  ///< whose client alone a fresh one is for; unset: any
  std::vector<PluginFile> plugins;
  std::shared_ptr<DeviceMemoryAccount> device_memory = nullptr;  ///< which it takes from; null: as much as there is
  std::shared_ptr<NoteBoard> notes = nullptr;                    ///< that it shares with others; null: none
  Confined confined;                                             ///< who it is, and its environment
};

/// One isthmus-worker: its process and the socket on which it reports. What it says is not believed: lengths and values
/// are checked here, the meaning by the owner. One thread, the loop's.
class WorkerProcess {
 public:
  /// How long a worker that was told to stop may take before it is killed.
  static constexpr std::chrono::seconds grace{2};
  /// How long it may take until it is ready to take a lane: drivers that it loads may be slow.
  static constexpr std::chrono::seconds start_patience{60};

  struct Events {
    /// The worker has taken that lane. The value is unchecked.
    std::function<void(std::uint32_t lane)> taken;
    /// The process is gone and reaped. `why` is its own last word, or how it died. The object may be destroyed here.
    std::function<void(bool orderly, const std::string& why)> gone;
    /// A client has claimed that lane for whom its plug-ins must be prepared anew. The value is unchecked. May be
    /// empty.
    std::function<void(std::uint32_t lane)> misfit = nullptr;
  };

  /// Whom the worker's events concern from now on. Of them, only `misfit` may call it.
  void report_to(Events events) { events_ = std::move(events); }

  [[nodiscard]] static Result<std::unique_ptr<WorkerProcess>> start(EventLoop& loop, const WorkerSpec& spec,
                                                                    Events events);

  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;
  WorkerProcess(WorkerProcess&&) = delete;
  WorkerProcess& operator=(WorkerProcess&&) = delete;
  /// Kills the process if it is still there.
  ~WorkerProcess();

  /// Has the warm worker of a VM wait for a client. Once.
  void serve();
  /// Asks the worker to end its lane and exit; kills it after the grace. May be called again.
  void stop();
  /// Kills it, because it broke the rules; the reason becomes `why`.
  void kill(std::string reason);

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// How far a warm one's plug-ins are, by their own word: for a line of the log that names it.
  [[nodiscard]] std::string_view warmth() const noexcept { return warmth_; }

 private:
  WorkerProcess(EventLoop& loop, ChildProcess child, UniqueFd control, Events events);

  [[nodiscard]] Result<void> watch();
  /// Counts a line of the worker's that is to be logged, and says whether it may be. Who took a worker over must not
  /// fill the log.
  [[nodiscard]] bool may_log();
  void tell(wire::Order order);
  void leaves();
  void read_reports();
  void on_exit();

  EventLoop* loop_;
  ChildProcess child_;
  pid_t pid_;
  UniqueFd control_;
  Events events_;
  std::unique_ptr<DeviceMemoryDesk> desk_;
  std::unique_ptr<NoteDesk> note_desk_;
  std::optional<EventLoop::Token> control_token_;
  std::optional<EventLoop::Token> exit_token_;
  std::optional<EventLoop::Token> grace_token_;
  std::optional<EventLoop::Token> start_token_;
  std::string loading_;  // the plug-in that it loads
  std::optional<std::string> last_word_;
  bool orderly_ = false;
  bool killed_ = false;
  std::string_view warmth_ = ", which warms up";
  std::chrono::steady_clock::time_point minute_;  // the lines of the minute from then on
  std::uint64_t lines_ = 0;
};

}  // namespace isthmus::host
