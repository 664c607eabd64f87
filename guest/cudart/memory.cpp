// SPDX-License-Identifier: Apache-2.0

// Memory: device, host, managed, and what a pointer is.

#include <array>

#include "guest/cudart/call.hpp"

using namespace isthmus::cudart;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

/// Nothing of nothing: the runtime gives null for an allocation without bytes, where the driver refuses.
template <class Allocate>
cudaError_t allocate(void** pointer, std::size_t size, Allocate call) {
  return with_context([&] {
    if (pointer == nullptr) {
      return cudaErrorInvalidValue;
    }
    *pointer = nullptr;
    return size != 0 ? call() : cudaSuccess;
  });
}

}  // namespace

cudaError_t cudaMalloc(void** pointer, std::size_t size) {
  return allocate(pointer, size, [&] { return driver(cuMemAlloc, pointer, size); });
}

cudaError_t cudaFree(void* pointer) {
  return with_context([&] { return pointer != nullptr ? driver(cuMemFree, pointer) : cudaSuccess; });
}

cudaError_t cudaMallocManaged(void** pointer, std::size_t size, unsigned flags) {
  return forward(cuMemAllocManaged, pointer, size, flags);
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t size, unsigned flags) {
  return allocate(pointer, size, [&] { return driver(cuMemHostAlloc, pointer, size, flags); });
}
cudaError_t cudaMallocHost(void** pointer, std::size_t size) {
  return cudaHostAlloc(pointer, size, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void* pointer) {
  return with_context([&] { return pointer != nullptr ? driver(cuMemFreeHost, pointer) : cudaSuccess; });
}

cudaError_t cudaHostRegister(void* pointer, std::size_t size, unsigned flags) {
  return forward(cuMemHostRegister, pointer, size, flags);
}
cudaError_t cudaHostUnregister(void* pointer) { return forward(cuMemHostUnregister, pointer); }
cudaError_t cudaHostGetDevicePointer(void** device_pointer, void* pointer, unsigned flags) {
  return forward(cuMemHostGetDevicePointer, device_pointer, pointer, flags);
}
cudaError_t cudaHostGetFlags(unsigned* flags, void* pointer) { return forward(cuMemHostGetFlags, flags, pointer); }

cudaError_t cudaMallocPitch(void** pointer, std::size_t* pitch, std::size_t width, std::size_t height) {
  constexpr unsigned element_bytes = 4;  // the smallest that the driver takes; the pitch is the same for all
  return allocate(pointer, width != 0 ? height : 0,
                  [&] { return driver(cuMemAllocPitch, pointer, pitch, width, height, element_bytes); });
}

cudaError_t cudaMalloc3D(cudaPitchedPtr* pitched, cudaExtent extent) {
  if (pitched == nullptr) {
    return report(cudaErrorInvalidValue);
  }
  *pitched = {.ptr = nullptr, .pitch = 0, .xsize = extent.width, .ysize = extent.height};
  std::size_t rows = 0;
  if (__builtin_mul_overflow(extent.height, extent.depth, &rows)) {
    return report(cudaErrorMemoryAllocation);
  }
  return cudaMallocPitch(&pitched->ptr, &pitched->pitch, extent.width, rows);
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) { return forward(cuMemGetInfo, free, total); }

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return with_context([&] {
    if (attributes == nullptr) {
      return cudaErrorInvalidValue;
    }
    // The driver's plural form answers zero for what it does not know, and no error.
    unsigned type = 0;
    unsigned is_managed = 0;
    int device = cudaInvalidDeviceId;
    CUdeviceptr device_pointer = 0;
    void* host_pointer = nullptr;
    std::array names{CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_IS_MANAGED,
                     CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, CU_POINTER_ATTRIBUTE_DEVICE_POINTER,
                     CU_POINTER_ATTRIBUTE_HOST_POINTER};
    std::array<void*, names.size()> values{&type, &is_managed, &device, &device_pointer,
                                           static_cast<void*>(&host_pointer)};
    const cudaError_t error =
        driver(cuPointerGetAttributes, static_cast<unsigned>(names.size()), names.data(), values.data(), pointer);
    if (error != cudaSuccess) {
      return error;
    }
    *attributes = {};
    if (is_managed != 0) {
      attributes->type = cudaMemoryTypeManaged;
    } else if (type == CU_MEMORYTYPE_HOST) {
      attributes->type = cudaMemoryTypeHost;
    } else if (type == CU_MEMORYTYPE_DEVICE) {
      attributes->type = cudaMemoryTypeDevice;
    } else {
      attributes->type = cudaMemoryTypeUnregistered;
      attributes->device = cudaInvalidDeviceId;
      attributes->hostPointer = const_cast<void*>(pointer);
      return cudaSuccess;
    }
    attributes->device = device;
    attributes->devicePointer = reinterpret_cast<void*>(device_pointer);  // NOLINT(performance-no-int-to-ptr): so it is
    attributes->hostPointer = host_pointer;
    return cudaSuccess;
  });
}

// --- advice ---

cudaError_t cudaMemPrefetchAsync(const void* pointer, std::size_t size, cudaMemLocation location, unsigned flags,
                                 cudaStream_t stream) {
  return forward(cuMemPrefetchAsync, pointer, size, location, flags, stream);
}
cudaError_t cudaMemPrefetchBatchAsync(void** pointers, std::size_t* sizes, std::size_t count,
                                      cudaMemLocation* locations, std::size_t* location_indices,
                                      std::size_t location_count, unsigned long long flags, cudaStream_t stream) {
  return forward(cuMemPrefetchBatchAsync, pointers, sizes, count, locations, location_indices, location_count, flags,
                 stream);
}
cudaError_t cudaMemDiscardBatchAsync(void** pointers, std::size_t* sizes, std::size_t count, unsigned long long flags,
                                     cudaStream_t stream) {
  return forward(cuMemDiscardBatchAsync, pointers, sizes, count, flags, stream);
}
cudaError_t cudaMemDiscardAndPrefetchBatchAsync(void** pointers, std::size_t* sizes, std::size_t count,
                                                cudaMemLocation* locations, std::size_t* location_indices,
                                                std::size_t location_count, unsigned long long flags,
                                                cudaStream_t stream) {
  return forward(cuMemDiscardAndPrefetchBatchAsync, pointers, sizes, count, locations, location_indices, location_count,
                 flags, stream);
}
cudaError_t cudaMemAdvise(const void* pointer, std::size_t size, cudaMemoryAdvise advice, cudaMemLocation location) {
  return forward(cuMemAdvise, pointer, size, advice, location);
}
cudaError_t cudaMemRangeGetAttribute(void* data, std::size_t data_size, cudaMemRangeAttribute attribute,
                                     const void* pointer, std::size_t size) {
  return forward(cuMemRangeGetAttribute, data, data_size, attribute, pointer, size);
}
cudaError_t cudaMemRangeGetAttributes(void** data, std::size_t* data_sizes, cudaMemRangeAttribute* attributes,
                                      std::size_t count, const void* pointer, std::size_t size) {
  return forward(cuMemRangeGetAttributes, data, data_sizes, attributes, count, pointer, size);
}

// --- pools ---

cudaError_t cudaMallocAsync(void** pointer, std::size_t size, cudaStream_t stream) {
  return allocate(pointer, size, [&] { return driver(cuMemAllocAsync, pointer, size, stream); });
}
cudaError_t cudaMallocFromPoolAsync(void** pointer, std::size_t size, cudaMemPool_t pool, cudaStream_t stream) {
  return allocate(pointer, size, [&] { return driver(cuMemAllocFromPoolAsync, pointer, size, pool, stream); });
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  return with_context([&] { return pointer != nullptr ? driver(cuMemFreeAsync, pointer, stream) : cudaSuccess; });
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  return forward_without_context(cuDeviceGetDefaultMemPool, pool, device);
}
cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* pool, int device) {
  return forward_without_context(cuDeviceGetMemPool, pool, device);
}
cudaError_t cudaDeviceSetMemPool(int device, cudaMemPool_t pool) {
  return forward_without_context(cuDeviceSetMemPool, device, pool);
}
cudaError_t cudaMemGetDefaultMemPool(cudaMemPool_t* pool, cudaMemLocation* location, cudaMemAllocationType type) {
  return forward(cuMemGetDefaultMemPool, pool, location, type);
}
cudaError_t cudaMemGetMemPool(cudaMemPool_t* pool, cudaMemLocation* location, cudaMemAllocationType type) {
  return forward(cuMemGetMemPool, pool, location, type);
}
cudaError_t cudaMemSetMemPool(cudaMemLocation* location, cudaMemAllocationType type, cudaMemPool_t pool) {
  return forward(cuMemSetMemPool, location, type, pool);
}
cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  return forward(cuMemPoolCreate, pool, properties);
}
cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) { return forward(cuMemPoolDestroy, pool); }
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, std::size_t keep) { return forward(cuMemPoolTrimTo, pool, keep); }
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return forward(cuMemPoolSetAttribute, pool, attribute, value);
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return forward(cuMemPoolGetAttribute, pool, attribute, value);
}
cudaError_t cudaMemPoolSetAccess(cudaMemPool_t pool, const cudaMemAccessDesc* access, std::size_t count) {
  return forward(cuMemPoolSetAccess, pool, access, count);
}
cudaError_t cudaMemPoolGetAccess(cudaMemAccessFlags* flags, cudaMemPool_t pool, cudaMemLocation* location) {
  return forward(cuMemPoolGetAccess, flags, pool, location);
}
cudaError_t cudaMemPoolExportToShareableHandle(void* handle, cudaMemPool_t pool, cudaMemAllocationHandleType type,
                                               unsigned flags) {
  return forward(cuMemPoolExportToShareableHandle, handle, pool, type, flags);
}
cudaError_t cudaMemPoolImportFromShareableHandle(cudaMemPool_t* pool, void* handle, cudaMemAllocationHandleType type,
                                                 unsigned flags) {
  return forward(cuMemPoolImportFromShareableHandle, pool, handle, type, flags);
}
cudaError_t cudaMemPoolExportPointer(cudaMemPoolPtrExportData* data, void* pointer) {
  return forward(cuMemPoolExportPointer, data, pointer);
}
cudaError_t cudaMemPoolImportPointer(void** pointer, cudaMemPool_t pool, cudaMemPoolPtrExportData* data) {
  return forward(cuMemPoolImportPointer, pointer, pool, data);
}
