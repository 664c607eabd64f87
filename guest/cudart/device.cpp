// SPDX-License-Identifier: Apache-2.0

// Devices, versions, limits, and access between devices.

#include "guest/cudart/call.hpp"

using namespace isthmus::cudart;  // NOLINT(google-build-using-namespace): the names below are C's

cudaError_t cudaGetDeviceCount(int* count) {
  if (count == nullptr) {
    return report(cudaErrorInvalidValue);
  }
  *count = 0;
  return forward_without_context(cuDeviceGetCount, count);
}

cudaError_t cudaGetDevice(int* device) {
  return report(device != nullptr ? current_device(*device) : cudaErrorInvalidValue);
}

cudaError_t cudaSetDevice(int device) { return report(choose_device(device)); }

namespace {

/// The driver maps host memory for every context, and refuses the flag that once asked for it.
cudaError_t set_primary_flags(int device, unsigned flags) {
  return driver(cuDevicePrimaryCtxSetFlags, device, flags & ~unsigned{cudaDeviceMapHost});
}

}  // namespace

cudaError_t cudaInitDevice(int device, unsigned device_flags, unsigned flags) {
  cudaError_t error = check_device(device);
  if (error == cudaSuccess && (flags & ~unsigned{cudaInitDeviceFlagsAreValid}) != 0) {
    error = cudaErrorInvalidValue;
  }
  if (error == cudaSuccess && (flags & cudaInitDeviceFlagsAreValid) != 0) {
    error = set_primary_flags(device, device_flags);
  }
  CUcontext context = nullptr;
  return report(error == cudaSuccess ? primary_context(device, context) : error);
}

cudaError_t cudaSetDeviceFlags(unsigned flags) {
  if ((flags & ~unsigned{cudaDeviceMask}) != 0) {
    return report(cudaErrorInvalidValue);
  }
  int device = 0;
  cudaError_t error = current_device(device);
  if (error == cudaSuccess) {
    error = set_primary_flags(device, flags);
  }
  return report(error == cudaSuccess ? ready() : error);
}

cudaError_t cudaGetDeviceFlags(unsigned* flags) {
  return report(flags != nullptr ? device_flags(*flags) : cudaErrorInvalidValue);
}

cudaError_t cudaDeviceReset() { return report(reset_device()); }
cudaError_t cudaDeviceSynchronize() { return forward(cuCtxSynchronize); }

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  const cudaError_t error = check_device(device);
  return error == cudaSuccess ? forward_without_context(cuDeviceGetAttribute, value, attribute, device) : report(error);
}

cudaError_t cudaDeviceGetByPCIBusId(int* device, const char* bus_id) {
  return forward_without_context(cuDeviceGetByPCIBusId, device, bus_id);
}
cudaError_t cudaDeviceGetPCIBusId(char* bus_id, int length, int device) {
  return forward_without_context(cuDeviceGetPCIBusId, bus_id, length, device);
}
cudaError_t cudaDeviceGetHostAtomicCapabilities(unsigned* capabilities, const cudaAtomicOperation* operations,
                                                unsigned count, int device) {
  return forward_without_context(cuDeviceGetHostAtomicCapabilities, capabilities, operations, count, device);
}
cudaError_t cudaDeviceGetNvSciSyncAttributes(void* attributes, int device, int flags) {
  return forward_without_context(cuDeviceGetNvSciSyncAttributes, attributes, device, flags);
}

cudaError_t cudaDeviceSetLimit(cudaLimit limit, std::size_t value) { return forward(cuCtxSetLimit, limit, value); }
cudaError_t cudaDeviceGetLimit(std::size_t* value, cudaLimit limit) { return forward(cuCtxGetLimit, value, limit); }
cudaError_t cudaDeviceGetCacheConfig(cudaFuncCache* config) { return forward(cuCtxGetCacheConfig, config); }
cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache config) { return forward(cuCtxSetCacheConfig, config); }
// No GPU of today has banks of more than one width; the driver keeps the setting.
cudaError_t cudaDeviceGetSharedMemConfig(cudaSharedMemConfig* config) {
  return forward(cuCtxGetSharedMemConfig, config);
}
cudaError_t cudaDeviceSetSharedMemConfig(cudaSharedMemConfig config) {
  return forward(cuCtxSetSharedMemConfig, config);
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return forward(cuCtxGetStreamPriorityRange, least, greatest);
}
cudaError_t cudaCtxResetPersistingL2Cache() { return forward(cuCtxResetPersistingL2Cache); }
cudaError_t cudaDeviceFlushGPUDirectRDMAWrites(cudaFlushGPUDirectRDMAWritesTarget target,
                                               cudaFlushGPUDirectRDMAWritesScope scope) {
  return forward(cuFlushGPUDirectRDMAWrites, target, scope);
}

cudaError_t cudaDriverGetVersion(int* version) {
  if (version == nullptr) {
    return report(cudaErrorInvalidValue);
  }
  *version = 0;  // "no driver" is an answer, no error
  return cuDriverGetVersion != nullptr ? report(driver(cuDriverGetVersion, version)) : cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  if (version == nullptr) {
    return report(cudaErrorInvalidValue);
  }
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaProfilerStart() { return forward(cuProfilerStart); }
cudaError_t cudaProfilerStop() { return forward(cuProfilerStop); }

// --- between devices ---

cudaError_t cudaDeviceCanAccessPeer(int* can_access, int device, int peer) {
  return forward_without_context(cuDeviceCanAccessPeer, can_access, device, peer);
}
cudaError_t cudaDeviceGetP2PAttribute(int* value, cudaDeviceP2PAttr attribute, int source, int destination) {
  return forward_without_context(cuDeviceGetP2PAttribute, value, attribute, source, destination);
}
cudaError_t cudaDeviceGetP2PAtomicCapabilities(unsigned* capabilities, const cudaAtomicOperation* operations,
                                               unsigned count, int source, int destination) {
  return forward_without_context(cuDeviceGetP2PAtomicCapabilities, capabilities, operations, count, source,
                                 destination);
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags) {
  return with_context([&] {
    CUcontext context = nullptr;
    const cudaError_t error = primary_context(peer, context);
    return error == cudaSuccess ? driver(cuCtxEnablePeerAccess, context, flags) : error;
  });
}

cudaError_t cudaDeviceDisablePeerAccess(int peer) {
  return with_context([&] {
    CUcontext context = nullptr;
    const cudaError_t error = primary_context(peer, context);
    return error == cudaSuccess ? driver(cuCtxDisablePeerAccess, context) : error;
  });
}

// --- between processes ---

cudaError_t cudaIpcGetEventHandle(cudaIpcEventHandle_t* handle, cudaEvent_t event) {
  return forward(cuIpcGetEventHandle, handle, event);
}
cudaError_t cudaIpcOpenEventHandle(cudaEvent_t* event, cudaIpcEventHandle_t handle) {
  return forward(cuIpcOpenEventHandle, event, handle);
}
cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* pointer) {
  return forward(cuIpcGetMemHandle, handle, pointer);
}
cudaError_t cudaIpcOpenMemHandle(void** pointer, cudaIpcMemHandle_t handle, unsigned flags) {
  return forward(cuIpcOpenMemHandle, pointer, handle, flags);
}
cudaError_t cudaIpcCloseMemHandle(void* pointer) { return forward(cuIpcCloseMemHandle, pointer); }
