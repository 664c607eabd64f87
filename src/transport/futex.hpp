// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdint>
#include <ctime>

namespace isthmus {

enum class FutexScope : std::uint8_t {
  process = FUTEX_PRIVATE_FLAG,
  machine = 0,  ///< the word is in memory that several processes map
};

/// Blocks while the word holds `expected`, for at most `timeout`; may wake for no reason.
inline void futex_wait(std::uint32_t* word, std::uint32_t expected, std::chrono::nanoseconds timeout,
                       FutexScope scope) noexcept {
  const auto nanoseconds = std::max<std::chrono::nanoseconds::rep>(timeout.count(), 0);
  const timespec relative{.tv_sec = nanoseconds / 1'000'000'000, .tv_nsec = nanoseconds % 1'000'000'000};
  syscall(SYS_futex, word, FUTEX_WAIT | static_cast<int>(scope), expected, &relative, nullptr, 0);
}

/// The same until a point in time; time_point::max() is no bound, and saves the kernel a timer.
inline void futex_wait_until(std::uint32_t* word, std::uint32_t expected, std::chrono::steady_clock::time_point until,
                             FutexScope scope) noexcept {
  const auto nanoseconds =
      std::chrono::duration_cast<std::chrono::nanoseconds>(until.time_since_epoch()).count();  // CLOCK_MONOTONIC
  const timespec absolute{.tv_sec = nanoseconds / 1'000'000'000, .tv_nsec = nanoseconds % 1'000'000'000};
  const bool bounded = until != std::chrono::steady_clock::time_point::max();
  syscall(SYS_futex, word, FUTEX_WAIT_BITSET | static_cast<int>(scope), expected, bounded ? &absolute : nullptr,
          nullptr, FUTEX_BITSET_MATCH_ANY);
}

/// Wakes everybody who waits on the word.
inline void futex_wake(std::uint32_t* word, FutexScope scope) noexcept {
  syscall(SYS_futex, word, FUTEX_WAKE | static_cast<int>(scope), INT_MAX, nullptr, nullptr, 0);
}

}  // namespace isthmus
