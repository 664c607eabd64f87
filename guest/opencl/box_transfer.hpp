// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "guest/opencl/command.hpp"
#include "src/gpu/opencl/messages.hpp"

namespace isthmus::opencl {

/// Copies a box of `region` (bytes, rows, slices) between two places where it has different pitches.
void copy_box(std::byte* to, const Box& to_box, const std::byte* from, const Box& from_box,
              const std::array<std::uint64_t, 3>& region);

/// Between memory of OpenCL's and the application's. Pitches of 0 have been replaced.
struct BoxTransfer {
  Box memory;
  Box host;
  std::array<std::uint64_t, 3> region{};
};

/// Checks both boxes, and has the copy made at the queue's turn. `host` is only read when the memory is written.
/// Errors: CL_INVALID_VALUE (a box that is none, or lies outside of the memory), CL_INVALID_OPERATION (the memory's
/// flags forbid it), those of Enqueue::host_access().
[[nodiscard]] cl_int transfer(Enqueue& enqueue, const std::shared_ptr<Memory>& memory, const BoxTransfer& box,
                              bool writes, bool blocking, std::byte* host);

}  // namespace isthmus::opencl
