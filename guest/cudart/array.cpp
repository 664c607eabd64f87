// SPDX-License-Identifier: Apache-2.0

// Arrays and mipmapped arrays.

#include "guest/cudart/call.hpp"
#include "guest/cudart/format.hpp"

using namespace isthmus::cudart;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

cudaError_t to_descriptor(const cudaChannelFormatDesc* channels, cudaExtent extent, unsigned flags,
                          CUDA_ARRAY3D_DESCRIPTOR& out) {
  if (channels == nullptr) {
    return cudaErrorInvalidValue;
  }
  Format format;
  const cudaError_t error = to_format(*channels, format);
  out = {.Width = extent.width,
         .Height = extent.height,
         .Depth = extent.depth,
         .Format = format.format,
         .NumChannels = format.channels,
         .Flags = flags};  // the runtime's flags are the driver's
  return error;
}

cudaError_t descriptor_of(cudaArray_const_t array, CUDA_ARRAY3D_DESCRIPTOR& out) {
  return driver(cuArray3DGetDescriptor, &out, const_cast<cudaArray_t>(array));
}

}  // namespace

cudaError_t cudaMalloc3DArray(cudaArray_t* array, const cudaChannelFormatDesc* channels, cudaExtent extent,
                              unsigned flags) {
  return with_context([&] {
    CUDA_ARRAY3D_DESCRIPTOR descriptor{};
    const cudaError_t error = to_descriptor(channels, extent, flags, descriptor);
    return error == cudaSuccess ? driver(cuArray3DCreate, array, &descriptor) : error;
  });
}

cudaError_t cudaMallocArray(cudaArray_t* array, const cudaChannelFormatDesc* channels, std::size_t width,
                            std::size_t height, unsigned flags) {
  return cudaMalloc3DArray(array, channels, {.width = width, .height = height, .depth = 0}, flags);
}

cudaError_t cudaMallocMipmappedArray(cudaMipmappedArray_t* array, const cudaChannelFormatDesc* channels,
                                     cudaExtent extent, unsigned levels, unsigned flags) {
  return with_context([&] {
    CUDA_ARRAY3D_DESCRIPTOR descriptor{};
    const cudaError_t error = to_descriptor(channels, extent, flags, descriptor);
    return error == cudaSuccess ? driver(cuMipmappedArrayCreate, array, &descriptor, levels) : error;
  });
}

cudaError_t cudaFreeArray(cudaArray_t array) {
  return with_context([&] { return array != nullptr ? driver(cuArrayDestroy, array) : cudaSuccess; });
}
cudaError_t cudaFreeMipmappedArray(cudaMipmappedArray_t array) {
  return with_context([&] { return array != nullptr ? driver(cuMipmappedArrayDestroy, array) : cudaSuccess; });
}
cudaError_t cudaGetMipmappedArrayLevel(cudaArray_t* level, cudaMipmappedArray_const_t array, unsigned index) {
  return forward(cuMipmappedArrayGetLevel, level, array, index);
}

cudaError_t cudaArrayGetInfo(cudaChannelFormatDesc* channels, cudaExtent* extent, unsigned* flags, cudaArray_t array) {
  return with_context([&] {
    CUDA_ARRAY3D_DESCRIPTOR descriptor{};
    const cudaError_t error = descriptor_of(array, descriptor);
    if (error != cudaSuccess) {
      return error;
    }
    if (channels != nullptr) {
      *channels = to_channels({.format = descriptor.Format, .channels = descriptor.NumChannels});
    }
    if (extent != nullptr) {
      *extent = {.width = descriptor.Width, .height = descriptor.Height, .depth = descriptor.Depth};
    }
    if (flags != nullptr) {
      *flags = descriptor.Flags;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaGetChannelDesc(cudaChannelFormatDesc* channels, cudaArray_const_t array) {
  return channels != nullptr ? cudaArrayGetInfo(channels, nullptr, nullptr, const_cast<cudaArray_t>(array))
                             : report(cudaErrorInvalidValue);
}

cudaChannelFormatDesc cudaCreateChannelDesc(int x, int y, int z, int w, cudaChannelFormatKind kind) {
  return {.x = x, .y = y, .z = z, .w = w, .f = kind};
}

cudaError_t cudaArrayGetPlane(cudaArray_t* plane, cudaArray_t array, unsigned index) {
  return forward(cuArrayGetPlane, plane, array, index);
}
cudaError_t cudaArrayGetMemoryRequirements(cudaArrayMemoryRequirements* requirements, cudaArray_t array, int device) {
  return forward(cuArrayGetMemoryRequirements, requirements, array, device);
}
cudaError_t cudaMipmappedArrayGetMemoryRequirements(cudaArrayMemoryRequirements* requirements,
                                                    cudaMipmappedArray_t array, int device) {
  return forward(cuMipmappedArrayGetMemoryRequirements, requirements, array, device);
}
cudaError_t cudaArrayGetSparseProperties(cudaArraySparseProperties* properties, cudaArray_t array) {
  return forward(cuArrayGetSparseProperties, properties, array);
}
cudaError_t cudaMipmappedArrayGetSparseProperties(cudaArraySparseProperties* properties, cudaMipmappedArray_t array) {
  return forward(cuMipmappedArrayGetSparseProperties, properties, array);
}

cudaError_t cudaDeviceGetTexture1DLinearMaxWidth(std::size_t* width, const cudaChannelFormatDesc* channels,
                                                 int device) {
  return with_context([&] {
    Format format;
    const cudaError_t error = channels != nullptr ? to_format(*channels, format) : cudaErrorInvalidValue;
    return error == cudaSuccess
               ? driver(cuDeviceGetTexture1DLinearMaxWidth, width, format.format, format.channels, device)
               : error;
  });
}

// --- memory and semaphores of other APIs ---

cudaError_t cudaImportExternalMemory(cudaExternalMemory_t* memory, const cudaExternalMemoryHandleDesc* handle) {
  return forward(cuImportExternalMemory, memory, handle);
}
cudaError_t cudaExternalMemoryGetMappedBuffer(void** pointer, cudaExternalMemory_t memory,
                                              const cudaExternalMemoryBufferDesc* buffer) {
  return forward(cuExternalMemoryGetMappedBuffer, pointer, memory, buffer);
}
cudaError_t cudaExternalMemoryGetMappedMipmappedArray(cudaMipmappedArray_t* array, cudaExternalMemory_t memory,
                                                      const cudaExternalMemoryMipmappedArrayDesc* description) {
  return with_context([&] {
    if (description == nullptr) {
      return cudaErrorInvalidValue;
    }
    CUDA_EXTERNAL_MEMORY_MIPMAPPED_ARRAY_DESC driver_description{};
    driver_description.offset = description->offset;
    driver_description.numLevels = description->numLevels;
    const cudaError_t error =
        to_descriptor(&description->formatDesc, description->extent, description->flags, driver_description.arrayDesc);
    return error == cudaSuccess ? driver(cuExternalMemoryGetMappedMipmappedArray, array, memory, &driver_description)
                                : error;
  });
}
cudaError_t cudaDestroyExternalMemory(cudaExternalMemory_t memory) { return forward(cuDestroyExternalMemory, memory); }
cudaError_t cudaImportExternalSemaphore(cudaExternalSemaphore_t* semaphore,
                                        const cudaExternalSemaphoreHandleDesc* handle) {
  return forward(cuImportExternalSemaphore, semaphore, handle);
}
cudaError_t cudaDestroyExternalSemaphore(cudaExternalSemaphore_t semaphore) {
  return forward(cuDestroyExternalSemaphore, semaphore);
}
cudaError_t cudaSignalExternalSemaphoresAsync(const cudaExternalSemaphore_t* semaphores,
                                              const cudaExternalSemaphoreSignalParams* parameters, unsigned count,
                                              cudaStream_t stream) {
  return forward(cuSignalExternalSemaphoresAsync, semaphores, parameters, count, stream);
}
cudaError_t cudaWaitExternalSemaphoresAsync(const cudaExternalSemaphore_t* semaphores,
                                            const cudaExternalSemaphoreWaitParams* parameters, unsigned count,
                                            cudaStream_t stream) {
  return forward(cuWaitExternalSemaphoresAsync, semaphores, parameters, count, stream);
}
