// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "guest/cuda/frontend.hpp"

namespace isthmus::cuda {

/// Whether other processes can open memory by cuIpcGetMemHandle: what cuMemAlloc and cuMemAllocPitch gave.
[[nodiscard]] inline bool is_shareable(const MemoryInfo& memory) noexcept {
  return memory.is_allocation() && !memory.of_graph && memory.from == nullptr;
}

}  // namespace isthmus::cuda
