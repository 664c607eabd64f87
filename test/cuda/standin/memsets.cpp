// SPDX-License-Identifier: Apache-2.0
// Entry points that fill.
#include <cuda.h>

#include "test/cuda/standin/address.hpp"
#include "test/cuda/standin/copy.hpp"
#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/graph.hpp"
#include "test/cuda/standin/memset.hpp"

namespace isthmus::standin {
namespace {

template <class T>
void fill_rows(const Side& to, T value, std::size_t width, std::size_t height) {
  for (std::size_t y = 0; y < height; ++y) {
    std::fill_n(reinterpret_cast<T*>(to.start + y * to.pitch), width, value);
  }
}

template <class T>
Work fill_work(const CUDA_MEMSET_NODE_PARAMS& what) {
  require(what.dst % sizeof(T) == 0 && (what.height == 1 || what.pitch % sizeof(T) == 0), CUDA_ERROR_INVALID_VALUE,
          "an address between elements");
  const Extent extent{.width = what.width * sizeof(T), .height = what.height};
  if (extent.empty()) {
    return {};
  }
  require(what.height == 1 || what.pitch >= extent.width, CUDA_ERROR_INVALID_VALUE, "rows overlap");
  const Side to = side_of(pointer_to(what.dst), what.pitch, 0, extent, Where::device);
  return [to, value = static_cast<T>(what.value), width = what.width, height = what.height] {
    fill_rows(to, value, width, height);
  };
}

// As a real one, it does not wait for the end, with a stream or without.
CUresult fill(const char* name, CUstream stream, const CUDA_MEMSET_NODE_PARAMS& what) {
  return in_context(name, [&](Context& context) {
    if (Work work = memset_work(what)) {
      submit(context, *context.stream(stream),
             {.type = CU_GRAPH_NODE_TYPE_MEMSET, .work = std::move(work), .parameters = what});
    }
  });
}

CUDA_MEMSET_NODE_PARAMS row(CUdeviceptr to, unsigned value, unsigned size, std::size_t count) {
  return {.dst = to, .pitch = 0, .value = value, .elementSize = size, .width = count, .height = 1};
}

CUDA_MEMSET_NODE_PARAMS rows(CUdeviceptr to, std::size_t pitch, unsigned value, unsigned size, std::size_t width,
                             std::size_t height) {
  return {.dst = to, .pitch = pitch, .value = value, .elementSize = size, .width = width, .height = height};
}

}  // namespace

Work memset_work(const CUDA_MEMSET_NODE_PARAMS& what) {
  switch (what.elementSize) {
    case 1:
      return fill_work<unsigned char>(what);
    case 2:
      return fill_work<unsigned short>(what);
    case 4:
      return fill_work<unsigned>(what);
    default:
      fail(CUDA_ERROR_INVALID_VALUE, "an element's size");
  }
}

}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

// Each width of element: with and without a stream, in one and in two dimensions.
#define STANDIN_MEMSETS(bits, type)                                                                        \
  CUresult cuMemsetD##bits##_v2(CUdeviceptr to, type value, size_t count) {                                \
    return fill(__func__, nullptr, row(to, value, (bits) / 8, count));                                     \
  }                                                                                                        \
  CUresult cuMemsetD##bits##Async(CUdeviceptr to, type value, size_t count, CUstream stream) {             \
    return fill(__func__, stream, row(to, value, (bits) / 8, count));                                      \
  }                                                                                                        \
  CUresult cuMemsetD2D##bits##_v2(CUdeviceptr to, size_t pitch, type value, size_t width, size_t height) { \
    return fill(__func__, nullptr, rows(to, pitch, value, (bits) / 8, width, height));                     \
  }                                                                                                        \
  CUresult cuMemsetD2D##bits##Async(CUdeviceptr to, size_t pitch, type value, size_t width, size_t height, \
                                    CUstream stream) {                                                     \
    return fill(__func__, stream, rows(to, pitch, value, (bits) / 8, width, height));                      \
  }

STANDIN_MEMSETS(8, unsigned char)
STANDIN_MEMSETS(16, unsigned short)
STANDIN_MEMSETS(32, unsigned int)
