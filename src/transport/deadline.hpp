// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace isthmus {

/// The point in time so far ahead. A day is as good as for ever, and keeps the sum from overflowing.
[[nodiscard]] inline std::chrono::steady_clock::time_point deadline_after(std::chrono::milliseconds timeout) {
  constexpr std::chrono::milliseconds longest = std::chrono::hours(24);
  return std::chrono::steady_clock::now() + std::clamp(timeout, std::chrono::milliseconds(0), longest);
}

/// Waits until a descriptor is readable or hung up (true), for so long at most, however many signals come meanwhile.
[[nodiscard]] inline bool wait_readable(int fd, std::chrono::milliseconds timeout) noexcept {
  const auto deadline = deadline_after(timeout);
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd readable{.fd = fd, .events = POLLIN, .revents = 0};
    const int ready = poll(&readable, 1, static_cast<int>(std::max<std::chrono::milliseconds::rep>(left.count(), 0)));
    if (ready >= 0 || errno != EINTR) {
      return ready > 0;
    }
  }
}

}  // namespace isthmus
