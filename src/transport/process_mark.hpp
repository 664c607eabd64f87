// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace isthmus {

/// Tells a process from its children: a number that the kernel wipes in a child at fork, whichever way the program
/// forks. Costs one load, where getpid() costs a system call.
class ProcessMark {
 public:
  /// The mark of the calling process.
  [[nodiscard]] static ProcessMark current() noexcept;

  /// Whether the calling process is the one that the mark was taken in.
  [[nodiscard]] bool is_this_process() const noexcept { return *page_ == value_; }

 private:
  ProcessMark(const volatile std::uint64_t* page, std::uint64_t value) noexcept : page_(page), value_(value) {}

  const volatile std::uint64_t* page_;  // volatile: the kernel changes it
  std::uint64_t value_;
};

}  // namespace isthmus
