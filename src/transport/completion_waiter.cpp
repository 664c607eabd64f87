// SPDX-License-Identifier: Apache-2.0
#include "src/transport/completion_waiter.hpp"

#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <tuple>
#include <utility>

#include "src/transport/futex.hpp"

namespace isthmus {
namespace {

// The bound after which the host's life is checked.
constexpr std::chrono::milliseconds longest_wait{100};
// Looking at intervals, where nothing can wake the thread, or the kernel cannot wait for several futexes.
constexpr std::chrono::microseconds shortest_interval{20};
constexpr std::chrono::milliseconds longest_interval{1};

// Linux 5.16; Debian 12's headers have it, older ones do not.
#if !defined(SYS_futex_waitv)
#define SYS_futex_waitv 449
#endif
struct FutexWaitV {
  std::uint64_t val;
  std::uint64_t uaddr;
  std::uint32_t flags;
  std::uint32_t reserved;
};
constexpr std::uint32_t futex_32_bits = 2;
constexpr std::uint32_t futex_private = 128;
constexpr std::size_t most_futexes = 128;

// False when there is no futex_waitv: the kernel is older, or a filter of system calls does not know it.
bool wait_for_any(std::vector<FutexWaitV>& futexes, std::chrono::nanoseconds timeout) noexcept {
  timespec until{};
  clock_gettime(CLOCK_MONOTONIC, &until);
  const std::int64_t nanoseconds = until.tv_nsec + timeout.count();
  until.tv_sec += nanoseconds / 1'000'000'000;
  until.tv_nsec = nanoseconds % 1'000'000'000;
  return syscall(SYS_futex_waitv, futexes.data(), futexes.size(), 0, &until, CLOCK_MONOTONIC) >= 0 || errno == EAGAIN ||
         errno == ETIMEDOUT || errno == EINTR;
}

}  // namespace

CompletionWaiter::CompletionWaiter(std::function<Result<void>()> check)
    : check_(std::move(check)), thread_(std::make_unique<std::thread>([this] { run(); })) {}

CompletionWaiter::~CompletionWaiter() {
  if (!mark_.is_this_process()) {
    // The thread exists in the parent only: it can be neither joined nor detached here, nor destroyed.
    std::ignore = thread_.release();
    return;
  }
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  poke();
  thread_->join();
}

void CompletionWaiter::poke() noexcept {
  changed_.fetch_add(1, std::memory_order_seq_cst);  // A1: before the wake, as W4 is
  futex_wake(reinterpret_cast<std::uint32_t*>(&changed_), FutexScope::process);
}

void CompletionWaiter::arm(const Watch& watch) {
  {
    const std::scoped_lock lock(mutex_);
    watches_.push_back(watch);
  }
  poke();
}

void CompletionWaiter::disarm(std::uint32_t channel) noexcept {
  const std::scoped_lock lock(mutex_);
  std::erase_if(watches_, [channel](const Watch& watch) { return watch.channel == channel; });
}

void CompletionWaiter::wait(const std::vector<Watch>& watches, std::uint32_t ticket,
                            std::chrono::nanoseconds interval) noexcept {
  const bool can_be_woken = std::ranges::all_of(watches, [](const Watch& watch) { return watch.doorbell != nullptr; });
  if (can_be_woken && watches.size() < most_futexes) {
    std::vector<FutexWaitV> futexes;
    futexes.push_back({.val = ticket,
                       .uaddr = reinterpret_cast<std::uintptr_t>(&changed_),
                       .flags = futex_32_bits | futex_private,
                       .reserved = 0});
    for (const Watch& watch : watches) {
      futexes.push_back({.val = watch.ticket,
                         .uaddr = reinterpret_cast<std::uintptr_t>(watch.doorbell->address()),
                         .flags = futex_32_bits,
                         .reserved = 0});
    }
    if (wait_for_any(futexes, longest_wait)) {
      return;
    }
  }
  futex_wait(reinterpret_cast<std::uint32_t*>(&changed_), ticket, watches.empty() ? longest_wait : interval,
             FutexScope::process);
}

void CompletionWaiter::run() {
  std::chrono::nanoseconds interval = shortest_interval;
  auto next_check = std::chrono::steady_clock::now() + longest_wait;
  for (;;) {
    const std::uint32_t ticket = changed_.load(std::memory_order_acquire);
    const auto now = std::chrono::steady_clock::now();
    bool over = false;
    if (now >= next_check) {
      // Without the mutex: who closes a channel holds the lane's, which this takes, and then asks for ours.
      next_check = now + longest_wait;
      over = !check_();
    }
    std::vector<Watch> left;
    {
      const std::scoped_lock lock(mutex_);
      if (stop_) {
        return;
      }
      const auto fired = [over](Watch& watch) {
        // The ticket before the look, as in Sleeper::wait(); a new one each time, since the host rings for credit, too.
        if (watch.doorbell != nullptr) {
          watch.ticket = watch.doorbell->load_acquire().any();  // S0
        }
        if (!over && !RingConsumer::is_there(watch.reply)) {  // S3
          return false;
        }
        static_cast<void>(eventfd_write(watch.eventfd, 1));
        return true;
      };
      const bool any = std::erase_if(watches_, fired) != 0;
      left = watches_;
      interval = any ? std::chrono::nanoseconds(shortest_interval)
                     : std::min<std::chrono::nanoseconds>(interval * 5 / 4, longest_interval);
    }
    wait(left, ticket, interval);
  }
}

}  // namespace isthmus
