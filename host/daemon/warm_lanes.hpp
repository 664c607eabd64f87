// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "host/daemon/backoff.hpp"
#include "host/daemon/shm_lane.hpp"
#include "host/event_loop.hpp"
#include "isthmus/error.hpp"

namespace isthmus::host {

/// The lanes of a shm: endpoint that are ready before their clients come. As a worker has the rights of one user's
/// workers, a lane is made for the user who connected last. One thread, the loop's.
class WarmLanes {
 public:
  /// A client that starts should not have to share processors and driver with the next one's warming up.
  static constexpr std::chrono::milliseconds refill_delay{500};
  /// Lanes that die, or cannot be made, are tried again after these; a client that takes one resets them.
  static constexpr std::chrono::milliseconds first_retry_delay{10};
  static constexpr std::chrono::milliseconds longest_retry_delay{60'000};

  /// Makes a lane with a warm worker for clients of that user.
  using Make = std::function<Result<ShmLane>(uid_t user, WorkerProcess::Events events)>;

  /// Keeps `count` lanes, the first ones for clients of `user`; `label` begins lines of the log. start() begins.
  WarmLanes(EventLoop& loop, std::string label, std::size_t count, uid_t user, Make make);
  WarmLanes(const WarmLanes&) = delete;
  WarmLanes& operator=(const WarmLanes&) = delete;
  WarmLanes(WarmLanes&&) = delete;
  WarmLanes& operator=(WarmLanes&&) = delete;
  ~WarmLanes();

  void start() { refill(); }

  /// The lane that has had most time to warm up, if there is one for that user. Its worker's events are the caller's
  /// from now on. Another lane is made later, for that user.
  [[nodiscard]] std::optional<ShmLane> take(uid_t user, WorkerProcess::Events events);

  /// Ends all workers; `done` is called when the last is reaped, perhaps at once.
  void shut_down(std::function<void()> done);
  [[nodiscard]] bool is_empty() const noexcept { return entries_.empty(); }

 private:
  struct Entry {
    uid_t user = 0;
    ShmLane lane;
    bool leaving = false;
  };

  void refill();
  void refill_after(std::chrono::milliseconds delay);
  void retry_later();
  void make_room();
  [[nodiscard]] std::size_t staying() const noexcept;
  void on_gone(std::uint64_t id, const std::string& why);

  EventLoop* loop_;
  std::string label_;
  std::size_t count_;
  uid_t user_;
  Make make_;
  std::map<std::uint64_t, Entry> entries_;  // the oldest first
  std::uint64_t next_id_ = 1;
  Backoff retries_{first_retry_delay, longest_retry_delay};
  std::optional<EventLoop::Token> refill_token_;
  std::function<void()> done_;
};

}  // namespace isthmus::host
