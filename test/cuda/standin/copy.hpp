// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <cstddef>

#include "test/cuda/standin/stream.hpp"

namespace isthmus::standin {

/// One side of a copy: rows of bytes, slices of rows.
struct Side {
  std::byte* start = nullptr;
  std::size_t pitch = 0;  ///< bytes from row to row
  std::size_t slice = 0;  ///< bytes from slice to slice
  bool device = false;    ///< device memory, as it turned out
  bool pinned = false;    ///< host memory that the device knows
};

struct Extent {
  std::size_t width = 0;  ///< bytes
  std::size_t height = 1;
  std::size_t depth = 1;
  [[nodiscard]] bool empty() const noexcept { return width == 0 || height == 0 || depth == 0; }
};

enum class Where { host, device, either };

/// Looks up where it is; fails with CUDA_ERROR_INVALID_VALUE where it is not what it is said to be, or not all there.
Side side_of(const void* start, std::size_t pitch, std::size_t slice, const Extent& extent, Where said);

/// From one side to the other, behind what is in the stream. Ordinary memory is read before it returns, and written
/// before it returns; pinned memory when it is its turn.
void copy(Context& context, Stream& stream, const Side& to, const Side& from, const Extent& extent,
          const CUDA_MEMCPY3D& parameters);

/// What the functions for 1, 2 and 3 dimensions have in common. Fails as they do.
void copy(Context& context, Stream& stream, const CUDA_MEMCPY3D& parameters);
/// The bytes from a to b.
CUDA_MEMCPY3D in_a_row(CUmemorytype to_type, CUdeviceptr to, CUmemorytype from_type, CUdeviceptr from,
                       std::size_t bytes);
/// For a graph: the copy itself, without a look at ordinary memory before its turn.
Work copy_work(const CUDA_MEMCPY3D& parameters);

}  // namespace isthmus::standin
