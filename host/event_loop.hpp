// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "host/loop_engine.hpp"
#include "host/poller.hpp"
#include "isthmus/error.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// The daemon's only loop: descriptors and timers call back, one at a time. While nothing happens it sleeps in the
/// kernel.
///
/// Everything here belongs to the thread that calls run(). A callback may add and remove anything, itself included, and
/// stop the loop; it must neither call run() nor throw nor block.
class EventLoop {
 public:
  /// Names one watched descriptor or one timer; never given out twice.
  enum class Token : std::uint64_t {};

  /// Gets what is ready: EPOLLIN, EPOLLOUT, EPOLLRDHUP, and, asked for or not, EPOLLERR and EPOLLHUP.
  using ReadyCallback = std::move_only_function<void(std::uint32_t events)>;
  using TimerCallback = std::move_only_function<void()>;

  /// Fails with Errc::unsupported or Errc::permission_denied where io_uring was asked for by name and cannot be had.
  [[nodiscard]] static Result<std::unique_ptr<EventLoop>> create(LoopEngine engine);

  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  /// "io_uring" or "epoll".
  [[nodiscard]] std::string_view engine_name() const noexcept;

  /// Why LoopEngine::automatic did not take io_uring; empty if it did, or if nobody asked it to.
  [[nodiscard]] const std::string& fallback_reason() const noexcept;

  /// Watches a descriptor, which stays the caller's: call remove() before closing it.
  ///
  /// Level-triggered: the callback comes again as long as the descriptor is ready, so it may do a little at a time. It
  /// must remove a descriptor that reports EPOLLHUP or EPOLLERR, or be called for ever.
  /// Fails with Errc::invalid_argument if `fd` is closed, a regular file, a directory, or watched already.
  [[nodiscard]] Result<Token> add(int fd, std::uint32_t events, ReadyCallback callback);

  /// Calls back once, not before `delay` has passed (CLOCK_MONOTONIC: time in which the machine slept does not count).
  /// The token is void from the moment the callback starts. A delay of 0 or less means the next round.
  Token call_after(std::chrono::nanoseconds delay, TimerCallback callback);

  /// Calls back every `period`, at least 1 ms, until removed. Ticks that were missed are dropped, not made up for.
  Token call_every(std::chrono::nanoseconds period, TimerCallback callback);

  /// Forgets a descriptor or timer: its callback will not be called any more, not even for an event of this round.
  /// A token that is void already is ignored. A callback that removes itself lives until it returns.
  void remove(Token token);

  /// Calls back until stop(), or until there is nothing left to wait for. Fails where the kernel does.
  [[nodiscard]] Result<void> run();

  /// Makes run() return after the current callback; outside a callback, makes the next run() return at once.
  void stop() noexcept;

 private:
  using Clock = std::chrono::steady_clock;

  struct Watch {
    int fd;
    ReadyCallback callback;
  };
  struct Timer {
    Clock::time_point due;
    std::chrono::nanoseconds period;  ///< 0: once
    TimerCallback callback;
  };

  EventLoop(std::unique_ptr<Poller> poller, UniqueFd timer_fd, std::string fallback_reason);

  Token add_timer(std::chrono::nanoseconds first, std::chrono::nanoseconds period, TimerCallback callback);
  [[nodiscard]] Result<void> arm_timer_fd();
  void dispatch_ready(std::uint64_t key, std::uint32_t events);
  void dispatch_timers();

  std::unique_ptr<Poller> poller_;
  UniqueFd timer_fd_;  ///< one for all timers: armed for the earliest
  std::string fallback_reason_;
  std::unordered_map<std::uint64_t, Watch> watches_;
  std::unordered_map<int, std::uint64_t> keys_by_fd_;
  std::unordered_map<std::uint64_t, Timer> timers_;
  std::set<std::pair<Clock::time_point, std::uint64_t>> timers_by_due_;
  Clock::time_point armed_for_ = Clock::time_point::max();  ///< max: the timer descriptor is off
  std::uint64_t next_key_;
  bool stop_ = false;
};

}  // namespace isthmus::host
