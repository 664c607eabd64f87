// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace isthmus::cuda {

/// How much work the program has given to the devices, and up to which of it they were seen to have none left. Tells
/// whether memory that is freed may still be in use, without asking the host. Any thread.
class WorkCount {
 public:
  /// Something was handed to the host. To be called after that and not before: else another thread that waits for the
  /// devices in between would count what it did not wait for.
  void note_issued() noexcept { issued_.fetch_add(1, std::memory_order_acq_rel); }
  [[nodiscard]] std::uint64_t issued() const noexcept { return issued_.load(std::memory_order_acquire); }

  /// The devices were waited for after issued() had been `upto`.
  void note_quiet(std::uint64_t upto) noexcept {
    std::uint64_t known = quiet_.load(std::memory_order_acquire);
    while (known < upto && !quiet_.compare_exchange_weak(known, upto, std::memory_order_acq_rel)) {
    }
  }
  /// Whether all is done of what was issued after issued() was `then`.
  [[nodiscard]] bool is_quiet_since(std::uint64_t then) const noexcept {
    const std::uint64_t now = issued();
    return now == then || quiet_.load(std::memory_order_acquire) >= now;
  }

 private:
  std::atomic<std::uint64_t> issued_{0};
  std::atomic<std::uint64_t> quiet_{0};
};

}  // namespace isthmus::cuda
