// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <functional>

namespace isthmus::perf {

/// A process made by fork. It dies with its parent; and the parent ends at once, with a message, when a child ends
/// badly: it would wait for it for ever.
class Child {
 public:
  /// Runs `body` in a new process, on all processors, and exits with what it returns (1 when it throws).
  explicit Child(const std::function<int()>& body);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  Child(Child&&) = delete;
  Child& operator=(Child&&) = delete;
  /// Waits for its end, which it must have been told of; after two seconds it is killed.
  ~Child();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

 private:
  pid_t pid_;
};

}  // namespace isthmus::perf
