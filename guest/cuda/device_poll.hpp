// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace isthmus::cuda {

/// A place among the threads of this process that may poll while they wait for the device, held while the object lives.
/// A thread that sleeps instead sees the end late: copies of 16 and of 64 MiB on an H100 machine with 16 processors
/// took 27 us longer than native ones, which poll. Each thread that polls has a twin that does the same, so half of the
/// processors poll at most, but for one; with three processors or fewer nobody does. The environment variable
/// ISTHMUS_CUDA_POLLERS gives another number. Any thread.
class DevicePoll {
 public:
  /// After that, waking late is less than a hundredth of the wait.
  static constexpr std::chrono::milliseconds longest{4};

  DevicePoll() noexcept;
  ~DevicePoll();
  DevicePoll(const DevicePoll&) = delete;
  DevicePoll& operator=(const DevicePoll&) = delete;
  DevicePoll(DevicePoll&&) = delete;
  DevicePoll& operator=(DevicePoll&&) = delete;

  /// From now on nobody polls: the program asked for sleep (CU_CTX_SCHED_BLOCKING_SYNC).
  static void forbid() noexcept { forbidden.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool allowed() const noexcept { return allowed_; }

 private:
  static std::atomic<std::uint32_t> polling;
  static std::atomic<bool> forbidden;
  bool allowed_;
};

}  // namespace isthmus::cuda
