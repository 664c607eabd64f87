// SPDX-License-Identifier: Apache-2.0
#include "host/event_loop.hpp"

#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "host/system_error.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {
namespace {

constexpr std::uint64_t timer_key = 1;
constexpr std::uint64_t first_free_key = 2;

}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::create(LoopEngine engine) {
  std::string fallback_reason;
  std::unique_ptr<Poller> poller;
  if (engine != LoopEngine::epoll) {
    if (auto uring = make_uring_poller(); uring) {
      poller = std::move(*uring);
    } else if (engine == LoopEngine::io_uring) {
      return fail(uring.error().code, text(uring.error().message, "; set event_loop to \"auto\" or \"epoll\""));
    } else {
      fallback_reason = uring.error().message;
    }
  }
  if (!poller) {
    auto epoll = make_epoll_poller();
    if (!epoll) {
      return std::unexpected(std::move(epoll).error());
    }
    poller = std::move(*epoll);
  }

  UniqueFd timer_fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer_fd) {
    return fail_errno(errno, "event loop: timerfd_create");
  }
  if (auto added = poller->add(timer_fd.get(), EPOLLIN, timer_key); !added) {
    return std::unexpected(std::move(added).error());
  }
  return std::unique_ptr<EventLoop>(new EventLoop(std::move(poller), std::move(timer_fd), std::move(fallback_reason)));
}

EventLoop::EventLoop(std::unique_ptr<Poller> poller, UniqueFd timer_fd, std::string fallback_reason)
    : poller_(std::move(poller)),
      timer_fd_(std::move(timer_fd)),
      fallback_reason_(std::move(fallback_reason)),
      next_key_(first_free_key) {}

EventLoop::~EventLoop() = default;

std::string_view EventLoop::engine_name() const noexcept { return poller_->name(); }

const std::string& EventLoop::fallback_reason() const noexcept { return fallback_reason_; }

Result<EventLoop::Token> EventLoop::add(int fd, std::uint32_t events, ReadyCallback callback) {
  // Checked here, because io_uring would tell about a bad descriptor only later.
  struct stat status{};
  if (::fstat(fd, &status) != 0) {
    return fail(Errc::invalid_argument, text("event loop: descriptor ", fd, " cannot be watched: ", errno_text(errno)));
  }
  if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) {
    return fail(Errc::invalid_argument, text("event loop: descriptor ", fd, " is a file or directory, always ready"));
  }
  if (keys_by_fd_.contains(fd)) {
    return fail(Errc::invalid_argument,
                text("event loop: descriptor ", fd, " is watched already; remove it before closing or adding it"));
  }
  const std::uint64_t key = next_key_++;
  if (auto added = poller_->add(fd, events, key); !added) {
    return std::unexpected(std::move(added).error());
  }
  watches_.emplace(key, Watch{fd, std::move(callback)});
  keys_by_fd_.emplace(fd, key);
  return Token{key};
}

EventLoop::Token EventLoop::call_after(std::chrono::nanoseconds delay, TimerCallback callback) {
  return add_timer(delay, std::chrono::nanoseconds::zero(), std::move(callback));
}

EventLoop::Token EventLoop::call_every(std::chrono::nanoseconds period, TimerCallback callback) {
  const auto bounded = std::max<std::chrono::nanoseconds>(period, std::chrono::milliseconds(1));
  return add_timer(bounded, bounded, std::move(callback));
}

EventLoop::Token EventLoop::add_timer(std::chrono::nanoseconds first, std::chrono::nanoseconds period,
                                      TimerCallback callback) {
  // A year is as good as never, and keeps the sum below from overflowing.
  constexpr std::chrono::nanoseconds longest = std::chrono::years(1);
  const auto due = Clock::now() + std::clamp(first, std::chrono::nanoseconds::zero(), longest);
  const std::uint64_t key = next_key_++;
  timers_.emplace(key, Timer{due, std::min(period, longest), std::move(callback)});
  timers_by_due_.emplace(due, key);
  return Token{key};
}

void EventLoop::remove(Token token) {
  const auto key = std::to_underlying(token);
  if (const auto watch = watches_.find(key); watch != watches_.end()) {
    poller_->remove(watch->second.fd, key);
    keys_by_fd_.erase(watch->second.fd);
    watches_.erase(watch);
  } else if (const auto timer = timers_.find(key); timer != timers_.end()) {
    timers_by_due_.erase({timer->second.due, key});
    timers_.erase(timer);
  }
}

Result<void> EventLoop::run() {
  while (!stop_ && !(watches_.empty() && timers_.empty())) {
    if (auto armed = arm_timer_fd(); !armed) {
      return armed;
    }
    const auto ready = poller_->wait();
    if (!ready) {
      return std::unexpected(ready.error());
    }
    // Copied, because callbacks may use the poller.
    const std::vector<Poller::Ready> batch(ready->begin(), ready->end());
    for (const Poller::Ready& one : batch) {
      if (stop_) {
        break;
      }
      dispatch_ready(one.key, one.events);
    }
  }
  stop_ = false;
  return {};
}

void EventLoop::stop() noexcept { stop_ = true; }

Result<void> EventLoop::arm_timer_fd() {
  const auto due = timers_by_due_.empty() ? Clock::time_point::max() : timers_by_due_.begin()->first;
  if (due == armed_for_) {
    return {};
  }
  itimerspec when{};
  if (due != Clock::time_point::max()) {
    const auto since_boot = std::chrono::duration_cast<std::chrono::nanoseconds>(due.time_since_epoch());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_boot);
    when.it_value.tv_sec = seconds.count();
    when.it_value.tv_nsec = (since_boot - seconds).count();
  }
  if (::timerfd_settime(timer_fd_.get(), TFD_TIMER_ABSTIME, &when, nullptr) != 0) {
    return fail_errno(errno, "event loop: timerfd_settime");
  }
  armed_for_ = due;
  return {};
}

void EventLoop::dispatch_ready(std::uint64_t key, std::uint32_t events) {
  if (key == timer_key) {
    dispatch_timers();
    return;
  }
  const auto found = watches_.find(key);
  if (found == watches_.end()) {
    return;  // removed by a callback of this round
  }
  // Taken out while it runs, so that a callback that removes itself does not destroy itself.
  ReadyCallback callback = std::move(found->second.callback);
  callback(events);
  if (const auto still = watches_.find(key); still != watches_.end()) {
    still->second.callback = std::move(callback);
  }
}

void EventLoop::dispatch_timers() {
  std::uint64_t expirations = 0;
  if (::read(timer_fd_.get(), &expirations, sizeof expirations) < 0) {
    return;  // EAGAIN: armed anew since it fired
  }
  armed_for_ = Clock::time_point::max();

  // Only those due now: a callback that adds a timer of delay 0 must not keep descriptors waiting for ever.
  const auto now = Clock::now();
  std::vector<std::uint64_t> due;
  for (const auto& [when, key] : timers_by_due_) {
    if (when > now) {
      break;
    }
    due.push_back(key);
  }
  for (const std::uint64_t key : due) {
    const auto found = timers_.find(key);
    if (found == timers_.end()) {
      continue;  // removed by a callback of this round
    }
    if (stop_) {
      return;  // the rest stays due
    }
    Timer& timer = found->second;
    timers_by_due_.erase({timer.due, key});
    TimerCallback callback = std::move(timer.callback);
    if (timer.period == std::chrono::nanoseconds::zero()) {
      timers_.erase(found);
      callback();
      continue;
    }
    timer.due += timer.period * ((now - timer.due) / timer.period + 1);
    timers_by_due_.emplace(timer.due, key);
    callback();
    if (const auto still = timers_.find(key); still != timers_.end()) {
      still->second.callback = std::move(callback);
    }
  }
}

}  // namespace isthmus::host
