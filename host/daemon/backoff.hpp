// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

namespace isthmus::host {

/// How long to wait before something that has failed is tried again: twice as long each time, up to a limit, until it
/// succeeds.
class Backoff {
 public:
  constexpr Backoff(std::chrono::milliseconds first, std::chrono::milliseconds longest) noexcept
      : first_(first), longest_(longest), next_(first) {}

  /// It has failed: the delay before the next attempt.
  [[nodiscard]] std::chrono::milliseconds failed() noexcept {
    return std::exchange(next_, std::min(next_ * 2, longest_));
  }
  void succeeded() noexcept { next_ = first_; }

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds longest_;
  std::chrono::milliseconds next_;
};

}  // namespace isthmus::host
