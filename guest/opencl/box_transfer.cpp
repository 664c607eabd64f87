// SPDX-License-Identifier: Apache-2.0
#include "guest/opencl/box_transfer.hpp"

#include <cstring>

#include "src/gpu/opencl/bounds.hpp"

namespace isthmus::opencl {

void copy_box(std::byte* to, const Box& to_box, const std::byte* from, const Box& from_box,
              const std::array<std::uint64_t, 3>& region) {
  const auto place = [](const Box& box, std::uint64_t y, std::uint64_t z) {
    return box.origin[0] + (box.origin[1] + y) * box.row_pitch + (box.origin[2] + z) * box.slice_pitch;
  };
  for (std::uint64_t z = 0; z < region[2]; ++z) {
    for (std::uint64_t y = 0; y < region[1]; ++y) {
      // An application may pass a part of the mapped memory itself.
      std::memmove(to + place(to_box, y, z), from + place(from_box, y, z), region[0]);
    }
  }
}

cl_int transfer(Enqueue& enqueue, const std::shared_ptr<Memory>& memory, const BoxTransfer& box, bool writes,
                bool blocking, std::byte* host) {
  const auto extent = extent_of(box.memory, box.region);
  if (!extent || !extent_of(box.host, box.region) || !lies_within(extent->begin, extent->size, memory->size)) {
    return CL_INVALID_VALUE;
  }
  if (!(writes ? memory->host_may_write() : memory->host_may_read())) {
    return CL_INVALID_OPERATION;
  }
  return enqueue.host_access(memory, extent->begin, extent->size, writes, blocking, [memory, box, host, writes] {
    if (writes) {
      copy_box(memory->bytes, box.memory, host, box.host, box.region);
    } else {
      copy_box(host, box.host, memory->bytes, box.memory, box.region);
    }
  });
}

}  // namespace isthmus::opencl
