// SPDX-License-Identifier: Apache-2.0
// Entry points of occupancy: an H100's limits of threads, blocks and shared memory; registers are not looked at.
#include <cuda.h>

#include <algorithm>

#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/module.hpp"

namespace isthmus::standin {
namespace {

constexpr int multiprocessors = 132;
constexpr int resident_threads = 2048;
constexpr int resident_blocks = 32;
constexpr std::size_t resident_shared = 233472;
constexpr std::size_t reserved_for_a_block = 1024;

int active_blocks(const Function& function, int block_size, std::size_t dynamic) {
  require(block_size > 0, CUDA_ERROR_INVALID_VALUE, "the block's size");
  if (block_size > 1024 || dynamic > static_cast<std::size_t>(function.most_dynamic_shared)) {
    return 0;
  }
  const int threads = (block_size + 31) / 32 * 32;
  const std::size_t shared = dynamic + function.image.static_shared + reserved_for_a_block;
  return std::min({resident_threads / threads, resident_blocks, static_cast<int>(resident_shared / shared)});
}

}  // namespace
}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction function, int block_size,
                                                              size_t dynamic, unsigned flags) {
  return in_context(__func__, [&](Context& context) {
    require(flags <= CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE, CUDA_ERROR_INVALID_VALUE, "flags");
    out(blocks) = active_blocks(*function_for(function, context), block_size, dynamic);
  });
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int block_size, size_t dynamic) {
  return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, block_size, dynamic, 0);
}

CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int* grid, int* block, CUfunction function,
                                                   CUoccupancyB2DSize dynamic_of, size_t dynamic, int limit,
                                                   unsigned flags) {
  return in_context(__func__, [&](Context& context) {
    require(flags <= CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE, CUDA_ERROR_INVALID_VALUE, "flags");
    const auto kernel = function_for(function, context);
    const int most = limit > 0 ? std::min(limit, 1024) : 1024;
    int best = 0;
    for (int size = most; size > 0; size -= size % 32 == 0 ? 32 : size % 32) {
      const int blocks = active_blocks(*kernel, size, dynamic_of != nullptr ? dynamic_of(size) : dynamic);
      if (blocks * size > best) {
        best = blocks * size;
        out(block) = size;
        out(grid) = blocks * multiprocessors;
      }
    }
  });
}

CUresult cuOccupancyMaxPotentialBlockSize(int* grid, int* block, CUfunction function, CUoccupancyB2DSize dynamic_of,
                                          size_t dynamic, int limit) {
  return cuOccupancyMaxPotentialBlockSizeWithFlags(grid, block, function, dynamic_of, dynamic, limit, 0);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, CUfunction function, int blocks, int block_size) {
  return in_context(__func__, [&](Context& context) {
    const auto kernel = function_for(function, context);
    require(blocks > 0 && active_blocks(*kernel, block_size, 0) >= blocks, CUDA_ERROR_INVALID_VALUE);
    const std::size_t each = resident_shared / static_cast<std::size_t>(blocks) - reserved_for_a_block;
    out(bytes) = std::min<std::size_t>(each, 232448) - kernel->image.static_shared;
  });
}
