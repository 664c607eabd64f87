// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "host/daemon/backoff.hpp"
#include "host/daemon/worker_process.hpp"
#include "host/daemon/worker_setup.hpp"
#include "host/event_loop.hpp"
#include "host/region_file.hpp"
#include "host/region_watch.hpp"
#include "host/vm_config.hpp"

namespace isthmus::host {

/// The daemon's side of one VM's region: its file, spare workers for the next clients, of which one waits for the next
/// one, and one worker for each lane in use. Never maps the region. One thread, the loop's.
///
/// With warm workers the spares warm up, also the one that waits: so no client waits longer than it would for a cold
/// one.
class VmHost {
 public:
  /// How many workers may be starting for clients with variables of their own; further ones wait.
  static constexpr std::ptrdiff_t most_fresh_at_once = 2;
  /// A client that starts should not have to share processors and driver with the next one's warming up.
  static constexpr std::chrono::milliseconds refill_delay{500};

  /// Makes or adopts the region and starts the spare workers. Errors: those of RegionFile, adopt_region and
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
    std::optional<std::uint32_t> lane;                  // none: a spare
    bool waits = false;                                 // for the next client, if it is a spare
    std::optional<std::uint32_t> asked = std::nullopt;  // the lane that it was started for, and no other: no spare

    [[nodiscard]] bool is_spare() const noexcept { return !lane && !asked; }
  };

  VmHost(EventLoop& loop, VmConfig config, RegionFile region, RegionWatch watch, WorkerSpec spec);

  [[nodiscard]] Result<void> prepare_region();
  [[nodiscard]] std::size_t spares() const noexcept;
  [[nodiscard]] std::size_t spares_wanted() const noexcept;
  [[nodiscard]] Result<void> start_spare();
  [[nodiscard]] Result<void> start_spares();
  [[nodiscard]] bool have_one_wait();
  void retry_later();
  void start_spares_after(std::chrono::milliseconds delay);
  [[nodiscard]] Result<void> start_worker(const WorkerSpec& spec);
  void on_taken(std::uint64_t id, std::uint32_t lane);
  void on_misfit(std::uint64_t id, std::uint32_t lane);
  [[nodiscard]] bool is_somebodys(std::uint32_t lane) const noexcept;
  void start_fresh();
  void fresh_ended(std::uint32_t lane, const std::string& why);
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
  Backoff respawns_;
  std::deque<std::uint32_t> misfits_;  // lanes whose clients wait for a worker that starts with their variables
  Backoff fresh_starts_;
  std::optional<EventLoop::Token> watch_token_;
  std::optional<EventLoop::Token> respawn_token_;
  std::optional<EventLoop::Token> fresh_token_;
  std::optional<EventLoop::Token> look_token_;
  std::function<void()> done_;
  bool vm_seen_ = false;
  bool out_of_service_ = false;
};

}  // namespace isthmus::host
