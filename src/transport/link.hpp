// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "isthmus/error.hpp"

namespace isthmus {

/// What a client has of its host besides the region: how to wake the worker's lane thread, and how to learn that the
/// host is gone. One implementation for each kind of endpoint. Any thread.
class Link {
 public:
  Link() = default;
  virtual ~Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  Link(Link&&) = delete;
  Link& operator=(Link&&) = delete;

  /// Wakes the worker's lane thread after a change of claim or directory. May do nothing where that thread polls.
  virtual void kick() noexcept = 0;

  /// An error when the host is known to be gone. Called now and then by those who wait, not on the hot path. Any
  /// thread.
  [[nodiscard]] virtual Result<void> check_host() = 0;

  /// Whether both sides run on one kernel, so that a futex in the region wakes the other.
  [[nodiscard]] virtual bool shares_kernel() const noexcept = 0;

  /// The file whose first bytes the region is, where its memory can be mapped once more only by it; else -1: shared
  /// memory is mapped again without a file.
  [[nodiscard]] virtual int region_file() const noexcept { return -1; }

  /// In a child after fork: drops what would keep the parent's lane alive after the parent's death. Async-signal-safe.
  virtual void forget_in_child() noexcept = 0;
};

}  // namespace isthmus
