// SPDX-License-Identifier: Apache-2.0
// Entry points that copy.
#include <cuda.h>

#include <cstring>

#include "test/cuda/standin/address.hpp"
#include "test/cuda/standin/copy.hpp"
#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/graph.hpp"

namespace isthmus::standin {
namespace {

CUresult copy_in(const char* name, CUstream stream, const CUDA_MEMCPY3D& what) {
  return in_context(name, [&](Context& context) { copy(context, *context.stream(stream), what); });
}

// For functions without a stream: in the default stream; it returns when the host may look, which between two pieces
// of device memory is at once.
CUresult copy_now(const char* name, const CUDA_MEMCPY3D& what) {
  return in_context(name, [&](Context& context) {
    const auto stream = context.stream(nullptr);
    refuse_while_captured(*stream);
    copy(context, *stream, what);
    const auto is_devices = [](CUmemorytype type) {
      return type == CU_MEMORYTYPE_DEVICE || type == CU_MEMORYTYPE_ARRAY;
    };
    const bool on_device = is_devices(what.dstMemoryType) && is_devices(what.srcMemoryType);
    if (!on_device) {
      context.wait(context.newest(*stream));
    }
  });
}

CUDA_MEMCPY3D in_three_dimensions(const CUDA_MEMCPY2D* flat) {
  CUDA_MEMCPY3D whole{};
  if (flat == nullptr) {
    return whole;  // refused by the caller
  }
  whole.srcXInBytes = flat->srcXInBytes;
  whole.srcY = flat->srcY;
  whole.srcMemoryType = flat->srcMemoryType;
  whole.srcHost = flat->srcHost;
  whole.srcDevice = flat->srcDevice;
  whole.srcArray = flat->srcArray;
  whole.srcPitch = flat->srcPitch;
  whole.dstXInBytes = flat->dstXInBytes;
  whole.dstY = flat->dstY;
  whole.dstMemoryType = flat->dstMemoryType;
  whole.dstHost = flat->dstHost;
  whole.dstDevice = flat->dstDevice;
  whole.dstArray = flat->dstArray;
  whole.dstPitch = flat->dstPitch;
  whole.WidthInBytes = flat->WidthInBytes;
  whole.Height = flat->Height;
  whole.Depth = 1;
  return whole;
}

CUDA_MEMCPY3D to_device(CUdeviceptr to, const void* from, std::size_t bytes) {
  return in_a_row(CU_MEMORYTYPE_DEVICE, to, CU_MEMORYTYPE_HOST, address_of(from), bytes);
}

CUDA_MEMCPY3D to_host(void* to, CUdeviceptr from, std::size_t bytes) {
  return in_a_row(CU_MEMORYTYPE_HOST, address_of(to), CU_MEMORYTYPE_DEVICE, from, bytes);
}

CUDA_MEMCPY3D on_device(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  return in_a_row(CU_MEMORYTYPE_DEVICE, to, CU_MEMORYTYPE_DEVICE, from, bytes);
}

CUDA_MEMCPY3D by_address(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  return in_a_row(CU_MEMORYTYPE_UNIFIED, to, CU_MEMORYTYPE_UNIFIED, from, bytes);
}

void require_contexts(CUcontext to, CUcontext from) {
  driver().contexts.get(to, CUDA_ERROR_INVALID_CONTEXT);
  driver().contexts.get(from, CUDA_ERROR_INVALID_CONTEXT);
}

}  // namespace
}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return copy_now(__func__, by_address(to, from, bytes));
}

CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return copy_in(__func__, stream, by_address(to, from, bytes));
}

CUresult cuMemcpyHtoD(CUdeviceptr to, const void* from, size_t bytes) {
  return copy_now(__func__, to_device(to, from, bytes));
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
  return copy_in(__func__, stream, to_device(to, from, bytes));
}

CUresult cuMemcpyDtoH(void* to, CUdeviceptr from, size_t bytes) { return copy_now(__func__, to_host(to, from, bytes)); }

CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return copy_in(__func__, stream, to_host(to, from, bytes));
}

CUresult cuMemcpyDtoD(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return copy_now(__func__, on_device(to, from, bytes));
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return copy_in(__func__, stream, on_device(to, from, bytes));
}

CUresult cuMemcpyPeer(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context, size_t bytes) {
  return answer(__func__, [&] {
    require_contexts(to_context, from_context);
    const CUresult code = copy_now("cuMemcpyPeer", on_device(to, from, bytes));
    require(code == CUDA_SUCCESS, code);
  });
}

CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context, size_t bytes,
                           CUstream stream) {
  return answer(__func__, [&] {
    require_contexts(to_context, from_context);
    const CUresult code = copy_in("cuMemcpyPeerAsync", stream, on_device(to, from, bytes));
    require(code == CUDA_SUCCESS, code);
  });
}

CUresult cuMemcpy2D(const CUDA_MEMCPY2D* what) {
  return what == nullptr ? CUDA_ERROR_INVALID_VALUE : copy_now(__func__, in_three_dimensions(what));
}

CUresult cuMemcpy2DUnaligned(const CUDA_MEMCPY2D* what) {
  return what == nullptr ? CUDA_ERROR_INVALID_VALUE : copy_now(__func__, in_three_dimensions(what));
}

CUresult cuMemcpy2DAsync(const CUDA_MEMCPY2D* what, CUstream stream) {
  return what == nullptr ? CUDA_ERROR_INVALID_VALUE : copy_in(__func__, stream, in_three_dimensions(what));
}

CUresult cuMemcpy3D(const CUDA_MEMCPY3D* what) {
  return what == nullptr ? CUDA_ERROR_INVALID_VALUE : copy_now(__func__, *what);
}

CUresult cuMemcpy3DAsync(const CUDA_MEMCPY3D* what, CUstream stream) {
  return what == nullptr ? CUDA_ERROR_INVALID_VALUE : copy_in(__func__, stream, *what);
}
