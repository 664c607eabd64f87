// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "host/daemon/worker_process.hpp"
#include "host/daemon/worker_setup.hpp"
#include "host/event_loop.hpp"
#include "host/region_file.hpp"
#include "host/region_watch.hpp"
#include "host/vm_config.hpp"

namespace isthmus::host {

/// The daemon's side of one VM's region: its file, one spare worker that waits for the next client, and one worker for
/// each lane in use. Never maps the region. One thread, the loop's.
class VmHost {
 public:
  /// Makes or adopts the region and starts the spare worker. Errors: those of RegionFile, adopt_region and
  /// ChildProcess.
  [[nodiscard]] static Result<std::unique_ptr<VmHost>> start(EventLoop& loop, const VmConfig& config,
                                                             WorkerSetup& setup, std::uint64_t base_address);

  VmHost(const VmHost&) = delete;
  VmHost& operator=(const VmHost&) = delete;
  VmHost(VmHost&&) = delete;
  VmHost& operator=(VmHost&&) = delete;
  ~VmHost();

  /// Ends all workers; `done` is called when the last is reaped and the file is removed (or left to a running VM).
  void shut_down(std::function<void()> done);

 private:
  struct Worker {
    std::unique_ptr<WorkerProcess> process;
    std::optional<std::uint32_t> lane;  // none: the spare
  };

  VmHost(EventLoop& loop, VmConfig config, RegionFile region, RegionWatch watch, WorkerSpec spec);

  [[nodiscard]] Result<void> prepare_region();
  [[nodiscard]] Result<void> start_spare();
  void start_spare_later();
  void on_taken(std::uint64_t id, std::uint32_t lane);
  void on_gone(std::uint64_t id, bool orderly, const std::string& why);
  void close_lane_nobody_serves(const std::string& why);
  void on_region_event();
  void look_whether_vm_is_gone(int attempts_left);
  [[nodiscard]] bool region_file_is_whole();
  void finish_if_idle();

  EventLoop* loop_;
  VmConfig config_;
  RegionFile region_;
  RegionWatch watch_;
  WorkerSpec spec_;  // of every worker; its descriptor is ours
  std::map<std::uint64_t, Worker> workers_;
  std::uint64_t next_id_ = 1;
  std::chrono::milliseconds respawn_delay_;
  std::optional<EventLoop::Token> watch_token_;
  std::optional<EventLoop::Token> respawn_token_;
  std::optional<EventLoop::Token> look_token_;
  std::function<void()> done_;
  bool vm_seen_ = false;
  bool out_of_service_ = false;
};

}  // namespace isthmus::host
