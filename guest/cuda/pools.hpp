// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "guest/cuda/frontend.hpp"

namespace isthmus::cuda {

/// A pool of memory in the order of streams.
struct Pool {
  std::uint32_t device = 0;
  Id id = 0;  ///< 0: the device's own
  CUmemoryPool handle = nullptr;
};
[[nodiscard]] std::optional<Pool> find_pool(const Frontend& cuda, CUmemoryPool handle) noexcept;
/// The pool that cuMemAllocAsync takes from on a device.
[[nodiscard]] Pool pool_in_use(const Frontend& cuda, std::uint32_t device) noexcept;

/// Memory from a pool, in the order of a stream; its address, 0 for no bytes, goes to `*address`.
[[nodiscard]] CUresult allocate_in_order(const Here& here, const Place& place, std::uint64_t bytes, const Pool& pool,
                                         CUdeviceptr* address);

}  // namespace isthmus::cuda
