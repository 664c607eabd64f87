// SPDX-License-Identifier: Apache-2.0

// cudaMemset and its like.

#include "guest/cudart/transfer.hpp"

namespace isthmus::cudart {

cudaError_t fill(Order order, void* memory, int value, std::size_t size) {
  if (size == 0) {
    return cudaSuccess;
  }
  return in_order(order, cuMemsetD8, cuMemsetD8Async, memory, static_cast<unsigned char>(value), size);
}

cudaError_t fill_2d(Order order, void* memory, std::size_t pitch, int value, std::size_t width, std::size_t height) {
  if (width == 0 || height == 0) {
    return cudaSuccess;
  }
  return in_order(order, cuMemsetD2D8, cuMemsetD2D8Async, memory, pitch, static_cast<unsigned char>(value), width,
                  height);
}

cudaError_t fill_3d(Order order, cudaPitchedPtr memory, int value, cudaExtent extent) {
  if (extent.height > memory.ysize && extent.depth > 1) {
    return cudaErrorInvalidValue;
  }
  if (extent.height == memory.ysize) {  // the slices follow each other without a gap
    return fill_2d(order, memory.ptr, memory.pitch, value, extent.width, extent.height * extent.depth);
  }
  auto* slice = static_cast<std::byte*>(memory.ptr);
  for (std::size_t z = 0; z < extent.depth; ++z) {
    const cudaError_t error = fill_2d(order, slice, memory.pitch, value, extent.width, extent.height);
    if (error != cudaSuccess) {
      return error;
    }
    slice += memory.pitch * memory.ysize;
  }
  return cudaSuccess;
}

}  // namespace isthmus::cudart
