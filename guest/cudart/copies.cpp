// SPDX-License-Identifier: Apache-2.0

// The entry points of copies and fills: each is one function, run in one of four orders.

#include "guest/cudart/transfer.hpp"

using namespace isthmus::cudart;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

Lines lines(const void* memory, std::size_t pitch) { return {.memory = const_cast<void*>(memory), .pitch = pitch}; }

Lines lines(cudaArray_const_t array, std::size_t x, std::size_t y) {
  return {.array = const_cast<cudaArray_t>(array), .x = x, .y = y};
}

}  // namespace

// NOLINTBEGIN(readability-identifier-naming): the API's names
// NOLINTBEGIN(bugprone-macro-parentheses): a list of parameters is no expression

/// `name` and `name_ptds`: `function`, in the given order and with the arguments that follow.
#define ISTHMUS_BLOCKING(name, parameters, function, ...)                                \
  cudaError_t name parameters {                                                          \
    return with_context([&] { return function(blocking, __VA_ARGS__); });                \
  }                                                                                      \
  extern "C" __attribute__((visibility("default"))) cudaError_t name##_ptds parameters { \
    return with_context([&] { return function(on_thread, __VA_ARGS__); });               \
  }

/// `nameAsync` and `nameAsync_ptsz`, whose parameters end with a stream.
#define ISTHMUS_POSTED(name, parameters, function, ...)                                        \
  cudaError_t name parameters {                                                                \
    return with_context([&] { return function(posted(stream), __VA_ARGS__); });                \
  }                                                                                            \
  extern "C" __attribute__((visibility("default"))) cudaError_t name##_ptsz parameters {       \
    return with_context([&] { return function(posted(or_per_thread(stream)), __VA_ARGS__); }); \
  }

ISTHMUS_BLOCKING(cudaMemcpy, (void* to, const void* from, std::size_t size, cudaMemcpyKind kind), copy, to, from, size,
                 kind)
ISTHMUS_BLOCKING(cudaMemcpyToSymbol,
                 (const void* symbol, const void* from, std::size_t size, std::size_t offset, cudaMemcpyKind kind),
                 copy_to_symbol, symbol, from, size, offset, kind)
ISTHMUS_BLOCKING(cudaMemcpyFromSymbol,
                 (void* to, const void* symbol, std::size_t size, std::size_t offset, cudaMemcpyKind kind),
                 copy_from_symbol, to, symbol, size, offset, kind)
ISTHMUS_BLOCKING(cudaMemcpy2D,
                 (void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch, std::size_t width,
                  std::size_t height, cudaMemcpyKind kind),
                 copy_2d, lines(to, to_pitch), lines(from, from_pitch), width, height, kind)
ISTHMUS_BLOCKING(cudaMemcpy2DToArray,
                 (cudaArray_t to, std::size_t x, std::size_t y, const void* from, std::size_t pitch, std::size_t width,
                  std::size_t height, cudaMemcpyKind kind),
                 copy_2d, lines(to, x, y), lines(from, pitch), width, height, kind)
ISTHMUS_BLOCKING(cudaMemcpy2DFromArray,
                 (void* to, std::size_t pitch, cudaArray_const_t from, std::size_t x, std::size_t y, std::size_t width,
                  std::size_t height, cudaMemcpyKind kind),
                 copy_2d, lines(to, pitch), lines(from, x, y), width, height, kind)
ISTHMUS_BLOCKING(cudaMemcpyToArray,
                 (cudaArray_t to, std::size_t x, std::size_t y, const void* from, std::size_t size,
                  cudaMemcpyKind kind),
                 copy_through_lines, lines(to, x, y), lines(from, size), size, kind)
ISTHMUS_BLOCKING(cudaMemcpyFromArray,
                 (void* to, cudaArray_const_t from, std::size_t x, std::size_t y, std::size_t size,
                  cudaMemcpyKind kind),
                 copy_through_lines, lines(to, size), lines(from, x, y), size, kind)
ISTHMUS_BLOCKING(cudaMemcpy3D, (const cudaMemcpy3DParms* parameters), copy_3d, parameters)
ISTHMUS_BLOCKING(cudaMemcpy3DPeer, (const cudaMemcpy3DPeerParms* parameters), copy_3d_peer, parameters)
ISTHMUS_BLOCKING(cudaMemset, (void* memory, int value, std::size_t size), fill, memory, value, size)
ISTHMUS_BLOCKING(cudaMemset2D, (void* memory, std::size_t pitch, int value, std::size_t width, std::size_t height),
                 fill_2d, memory, pitch, value, width, height)
ISTHMUS_BLOCKING(cudaMemset3D, (cudaPitchedPtr memory, int value, cudaExtent extent), fill_3d, memory, value, extent)
ISTHMUS_BLOCKING(cudaMemcpyArrayToArray,
                 (cudaArray_t to, std::size_t to_x, std::size_t to_y, cudaArray_const_t from, std::size_t from_x,
                  std::size_t from_y, std::size_t size, cudaMemcpyKind kind),
                 copy_through_lines, lines(to, to_x, to_y), lines(from, from_x, from_y), size, kind)
ISTHMUS_BLOCKING(cudaMemcpy2DArrayToArray,
                 (cudaArray_t to, std::size_t to_x, std::size_t to_y, cudaArray_const_t from, std::size_t from_x,
                  std::size_t from_y, std::size_t width, std::size_t height, cudaMemcpyKind kind),
                 copy_2d, lines(to, to_x, to_y), lines(from, from_x, from_y), width, height, kind)

ISTHMUS_POSTED(cudaMemcpyAsync,
               (void* to, const void* from, std::size_t size, cudaMemcpyKind kind, cudaStream_t stream), copy, to, from,
               size, kind)
ISTHMUS_POSTED(cudaMemcpyToSymbolAsync,
               (const void* symbol, const void* from, std::size_t size, std::size_t offset, cudaMemcpyKind kind,
                cudaStream_t stream),
               copy_to_symbol, symbol, from, size, offset, kind)
ISTHMUS_POSTED(cudaMemcpyFromSymbolAsync,
               (void* to, const void* symbol, std::size_t size, std::size_t offset, cudaMemcpyKind kind,
                cudaStream_t stream),
               copy_from_symbol, to, symbol, size, offset, kind)
ISTHMUS_POSTED(cudaMemcpy2DAsync,
               (void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch, std::size_t width,
                std::size_t height, cudaMemcpyKind kind, cudaStream_t stream),
               copy_2d, lines(to, to_pitch), lines(from, from_pitch), width, height, kind)
ISTHMUS_POSTED(cudaMemcpy2DToArrayAsync,
               (cudaArray_t to, std::size_t x, std::size_t y, const void* from, std::size_t pitch, std::size_t width,
                std::size_t height, cudaMemcpyKind kind, cudaStream_t stream),
               copy_2d, lines(to, x, y), lines(from, pitch), width, height, kind)
ISTHMUS_POSTED(cudaMemcpy2DFromArrayAsync,
               (void* to, std::size_t pitch, cudaArray_const_t from, std::size_t x, std::size_t y, std::size_t width,
                std::size_t height, cudaMemcpyKind kind, cudaStream_t stream),
               copy_2d, lines(to, pitch), lines(from, x, y), width, height, kind)
ISTHMUS_POSTED(cudaMemcpyToArrayAsync,
               (cudaArray_t to, std::size_t x, std::size_t y, const void* from, std::size_t size, cudaMemcpyKind kind,
                cudaStream_t stream),
               copy_through_lines, lines(to, x, y), lines(from, size), size, kind)
ISTHMUS_POSTED(cudaMemcpyFromArrayAsync,
               (void* to, cudaArray_const_t from, std::size_t x, std::size_t y, std::size_t size, cudaMemcpyKind kind,
                cudaStream_t stream),
               copy_through_lines, lines(to, size), lines(from, x, y), size, kind)
ISTHMUS_POSTED(cudaMemcpy3DAsync, (const cudaMemcpy3DParms* parameters, cudaStream_t stream), copy_3d, parameters)
ISTHMUS_POSTED(cudaMemcpy3DPeerAsync, (const cudaMemcpy3DPeerParms* parameters, cudaStream_t stream), copy_3d_peer,
               parameters)
ISTHMUS_POSTED(cudaMemsetAsync, (void* memory, int value, std::size_t size, cudaStream_t stream), fill, memory, value,
               size)
ISTHMUS_POSTED(cudaMemset2DAsync,
               (void* memory, std::size_t pitch, int value, std::size_t width, std::size_t height, cudaStream_t stream),
               fill_2d, memory, pitch, value, width, height)
ISTHMUS_POSTED(cudaMemset3DAsync, (cudaPitchedPtr memory, int value, cudaExtent extent, cudaStream_t stream), fill_3d,
               memory, value, extent)

#undef ISTHMUS_BLOCKING
#undef ISTHMUS_POSTED
// NOLINTEND(bugprone-macro-parentheses)
// NOLINTEND(readability-identifier-naming)

namespace {

/// Copies between devices go from context to context.
cudaError_t with_peers(int to_device, int from_device, auto body) {
  return with_context([&] {
    CUcontext to = nullptr;
    CUcontext from = nullptr;
    cudaError_t error = primary_context(to_device, to);
    if (error == cudaSuccess) {
      error = primary_context(from_device, from);
    }
    return error == cudaSuccess ? body(to, from) : error;
  });
}

}  // namespace

cudaError_t cudaMemcpyPeer(void* to, int to_device, const void* from, int from_device, std::size_t size) {
  return with_peers(to_device, from_device, [&](CUcontext to_context, CUcontext from_context) {
    return driver(cuMemcpyPeer, to, to_context, from, from_context, size);
  });
}

cudaError_t cudaMemcpyPeerAsync(void* to, int to_device, const void* from, int from_device, std::size_t size,
                                cudaStream_t stream) {
  return with_peers(to_device, from_device, [&](CUcontext to_context, CUcontext from_context) {
    return driver(cuMemcpyPeerAsync, to, to_context, from, from_context, size, stream);
  });
}

cudaError_t cudaMemcpyBatchAsync(void* const* to, const void* const* from, const std::size_t* sizes, std::size_t count,
                                 cudaMemcpyAttributes* attributes, std::size_t* attribute_indices,
                                 std::size_t attribute_count, cudaStream_t stream) {
  return forward(cuMemcpyBatchAsync, to, from, const_cast<std::size_t*>(sizes), count, attributes, attribute_indices,
                 attribute_count, stream);
}

cudaError_t cudaMemcpy3DBatchAsync(std::size_t count, cudaMemcpy3DBatchOp* operations, unsigned long long flags,
                                   cudaStream_t stream) {
  return forward(cuMemcpy3DBatchAsync, count, operations, flags, stream);
}
