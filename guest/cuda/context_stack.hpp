// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

#include "src/gpu/cuda/messages.hpp"

namespace isthmus::cuda {

/// The contexts that a thread has made current, the last one on top. No destructor: programs call from exit handlers.
class ContextStack {
 public:
  [[nodiscard]] static ContextStack& mine() noexcept;
  [[nodiscard]] Id top() const noexcept { return depth_ == 0 ? 0 : contexts_.at(depth_ - 1); }
  /// False when it is full.
  [[nodiscard]] bool push(Id context) noexcept {
    if (depth_ == contexts_.size()) {
      return false;
    }
    contexts_.at(depth_++) = context;
    return true;
  }
  Id pop() noexcept { return depth_ == 0 ? 0 : contexts_.at(--depth_); }

 private:
  std::array<Id, 64> contexts_{};
  std::size_t depth_ = 0;
};

}  // namespace isthmus::cuda
