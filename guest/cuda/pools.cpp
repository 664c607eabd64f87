// SPDX-License-Identifier: Apache-2.0

// The pool that each device has. Others cannot be made.

#include "guest/cuda/pools.hpp"

#include <cstring>

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

// Handles of pools: this, and the device's number.
constexpr std::uint64_t first_pool = std::uint64_t{9} << 52;

// Runs `function(Frontend&, device)`.
template <class F>
CUresult with_pool(CUmemoryPool pool, F function) {
  return entry([&](Frontend& cuda) -> CUresult {
    const auto device = device_of_pool(cuda, pool);
    return device ? function(cuda, *device) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult default_pool(CUmemoryPool* pool, CUdevice device) {
  return entry([&](Frontend& cuda) -> CUresult {
    return cuda.device(device) == nullptr
               ? CUDA_ERROR_INVALID_DEVICE
               : give(pool, handle_of<CUmemoryPool>(first_pool + static_cast<std::uint64_t>(device)));
  });
}

// Bytes of an attribute's value, as cuda.h has them; 0 for one that is not known.
std::size_t size_of(CUmemPool_attribute attribute) {
  switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
      return sizeof(int);
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      return sizeof(cuuint64_t);
    default:
      return 0;
  }
}

}  // namespace

namespace isthmus::cuda {

std::optional<std::uint32_t> device_of_pool(const Frontend& cuda, CUmemoryPool pool) noexcept {
  const std::uint64_t number = reinterpret_cast<std::uintptr_t>(pool) - first_pool;
  return number < cuda.devices.size() ? std::optional(static_cast<std::uint32_t>(number)) : std::nullopt;
}

}  // namespace isthmus::cuda

CUresult CUDAAPI cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device) { return default_pool(pool, device); }

CUresult CUDAAPI cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice device) { return default_pool(pool, device); }

CUresult CUDAAPI cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool) {
  return with_pool(pool, [&](Frontend& cuda, std::uint32_t of) -> CUresult {
    if (cuda.device(device) == nullptr) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    return of == static_cast<std::uint32_t>(device) ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
  });
}

CUresult CUDAAPI cuMemPoolTrimTo(CUmemoryPool pool, std::size_t bytes) {
  return with_pool(pool, [&](Frontend& cuda, std::uint32_t device) {
    return cuda.lane->tell<Configure>(
        {.question = {.subject = Subject::pool_trim, .detail = {device, 0, 0}}, .value = bytes});
  });
}

CUresult CUDAAPI cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  return with_pool(pool, [&](Frontend& cuda, std::uint32_t device) -> CUresult {
    if (value == nullptr || size_of(attribute) == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto asked = cuda.lane->call<Query>({.question = {.subject = Subject::pool_attribute,
                                                            .parameter = static_cast<std::uint32_t>(attribute),
                                                            .detail = {device, 0, 0}}});
    if (!asked) {
      return asked.error();
    }
    std::memcpy(value, asked->reply.values.data(), size_of(attribute));  // little endian
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  return with_pool(pool, [&](Frontend& cuda, std::uint32_t device) -> CUresult {
    if (value == nullptr || size_of(attribute) == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::uint64_t number = 0;
    std::memcpy(&number, value, size_of(attribute));
    return cuda.lane->tell<Configure>({.question = {.subject = Subject::pool_attribute,
                                                    .parameter = static_cast<std::uint32_t>(attribute),
                                                    .detail = {device, 0, 0}},
                                       .value = number});
  });
}
