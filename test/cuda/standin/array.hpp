// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <vector>

#include "test/cuda/standin/copy.hpp"

namespace isthmus::standin {

class Context;

/// An array: rows in host memory that no address of the device leads to.
struct Array {
  Context* context = nullptr;
  CUDA_ARRAY3D_DESCRIPTOR about{};
  std::size_t row = 0;   ///< bytes
  std::size_t rows = 0;  ///< of a slice
  bool is_level = false;
  std::vector<std::byte> bytes;
};

struct MipmappedArray {
  Context* context = nullptr;
  std::vector<CUarray> levels;
};

/// A texture or surface. No kernel can look into it here.
struct Texture {
  Context* context = nullptr;
  CUDA_RESOURCE_DESC resource{};
  CUDA_TEXTURE_DESC texture{};
};

/// A part of an array, for a copy. Fails with CUDA_ERROR_INVALID_HANDLE, CUDA_ERROR_INVALID_VALUE.
Side side_of(CUarray array, std::size_t x, std::size_t y, std::size_t z, const Extent& extent);

/// What lived in a context that goes.
void drop_arrays(const Context& context);

}  // namespace isthmus::standin
