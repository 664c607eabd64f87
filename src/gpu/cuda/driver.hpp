// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "isthmus/error.hpp"
#include "src/gpu/cuda/cu.hpp"

namespace isthmus::cuda {

// clang-format off
// One list for declaration and look-up. The names are macros of cuda.h, which add the versions.
#define ISTHMUS_CUDA_FUNCTIONS(X)                                                                                  \
  X(cuInit) X(cuDriverGetVersion) X(cuDeviceGetCount) X(cuDeviceGet) X(cuDeviceGetName) X(cuDeviceGetUuid)         \
  X(cuDeviceTotalMem) X(cuDeviceGetAttribute) X(cuDeviceCanAccessPeer) X(cuDeviceGetP2PAttribute)                  \
  X(cuDevicePrimaryCtxRetain) X(cuDevicePrimaryCtxRelease) X(cuDevicePrimaryCtxReset) X(cuDevicePrimaryCtxSetFlags) \
  X(cuCtxCreate) X(cuCtxDestroy) X(cuCtxSetCurrent) X(cuCtxGetFlags) X(cuCtxGetApiVersion) X(cuCtxGetId)           \
  X(cuCtxSynchronize) X(cuCtxGetLimit) X(cuCtxSetLimit) X(cuCtxGetCacheConfig) X(cuCtxSetCacheConfig)              \
  X(cuCtxGetStreamPriorityRange) X(cuCtxResetPersistingL2Cache) X(cuCtxEnablePeerAccess)                           \
  X(cuCtxDisablePeerAccess) X(cuMemGetInfo) X(cuMemAlloc) X(cuMemAllocPitch) X(cuMemFree) X(cuMemHostRegister)     \
  X(cuMemHostUnregister) X(cuMemcpyHtoDAsync) X(cuMemcpyDtoHAsync) X(cuMemcpyDtoDAsync) X(cuMemcpy3DAsync)         \
  X(cuMemsetD8Async) X(cuMemsetD16Async) X(cuMemsetD32Async) X(cuMemsetD2D8Async) X(cuMemsetD2D16Async)            \
  X(cuMemsetD2D32Async) X(cuPointerGetAttribute) X(cuModuleLoadDataEx) X(cuModuleUnload) X(cuModuleGetFunction)    \
  X(cuModuleGetGlobal) X(cuLibraryLoadData) X(cuLibraryUnload) X(cuLibraryGetKernel) X(cuLibraryGetModule)         \
  X(cuLibraryGetGlobal) X(cuKernelGetFunction) X(cuKernelGetAttribute) X(cuKernelSetAttribute)                     \
  X(cuKernelSetCacheConfig) X(cuKernelGetParamInfo) X(cuFuncGetParamInfo) X(cuFuncGetAttribute)                    \
  X(cuFuncSetAttribute) X(cuFuncSetCacheConfig) X(cuLaunchKernelEx)                                                \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags) X(cuOccupancyMaxPotentialBlockSizeWithFlags)             \
  X(cuOccupancyAvailableDynamicSMemPerBlock) X(cuStreamCreateWithPriority) X(cuStreamDestroy)                      \
  X(cuStreamSynchronize) X(cuStreamQuery) X(cuStreamWaitEvent) X(cuStreamGetId) X(cuStreamAddCallback)             \
  X(cuLaunchHostFunc) X(cuEventCreate) X(cuEventDestroy) X(cuEventRecordWithFlags) X(cuEventSynchronize)           \
  X(cuEventQuery) X(cuEventElapsedTime) X(cuStreamBeginCapture) X(cuStreamEndCapture) X(cuStreamIsCapturing)          \
  X(cuThreadExchangeStreamCaptureMode) X(cuGraphCreate) X(cuGraphDestroy) X(cuGraphGetNodes) X(cuGraphInstantiate) \
  X(cuGraphExecDestroy) X(cuGraphLaunch) X(cuGraphAddEmptyNode) X(cuGraphAddKernelNode) X(cuGraphAddMemcpyNode)     \
  X(cuGraphAddMemsetNode) X(cuStreamSetAttribute) X(cuStreamGetAttribute) X(cuMemAllocAsync) X(cuMemFreeAsync) X(cuDeviceGetDefaultMemPool) X(cuMemPoolGetAttribute) \
  X(cuMemPoolSetAttribute) X(cuMemPoolTrimTo) X(cuMemPoolCreate) X(cuMemPoolDestroy) X(cuMemPoolSetAccess)          \
  X(cuMemExportToShareableHandle) X(cuMemImportFromShareableHandle) X(cuMemPoolExportToShareableHandle)             \
  X(cuMemPoolImportFromShareableHandle) X(cuMemPoolExportPointer) X(cuMemPoolImportPointer)                         \
  X(cuIpcGetMemHandle) X(cuIpcOpenMemHandle) X(cuIpcCloseMemHandle) X(cuIpcGetEventHandle) X(cuIpcOpenEventHandle)  \
  X(cuMemAddressReserve) X(cuMemAddressFree) X(cuMemCreate) X(cuMemRelease) X(cuMemMap) X(cuMemUnmap)               \
  X(cuMemSetAccess) X(cuMemGetAccess) X(cuMemGetAllocationGranularity)                                              \
  X(cuMemGetAllocationPropertiesFromHandle) X(cuMemPoolGetAccess) X(cuMemAllocFromPoolAsync)                                                                  \
  X(cuArray3DCreate) X(cuArrayDestroy) X(cuArray3DGetDescriptor) X(cuMipmappedArrayCreate)                         \
  X(cuMipmappedArrayDestroy) X(cuMipmappedArrayGetLevel) X(cuTexObjectCreate) X(cuTexObjectDestroy)                \
  X(cuSurfObjectCreate) X(cuSurfObjectDestroy)                                                                     \
  X(cuGraphAddHostNode) X(cuGraphAddChildGraphNode) X(cuGraphAddMemAllocNode) X(cuGraphAddMemFreeNode)             \
  X(cuGraphAddEventRecordNode) X(cuGraphAddEventWaitNode) X(cuGraphAddNode) X(cuGraphConditionalHandleCreate)      \
  X(cuGraphClone) X(cuGraphNodeFindInClone) X(cuGraphGetRootNodes) X(cuGraphNodeGetDependencies)                   \
  X(cuGraphNodeGetDependentNodes) X(cuGraphAddDependencies) X(cuGraphRemoveDependencies) X(cuGraphDestroyNode)     \
  X(cuGraphNodeGetType) X(cuGraphKernelNodeSetParams) X(cuGraphMemcpyNodeSetParams) X(cuGraphMemsetNodeSetParams)  \
  X(cuGraphHostNodeSetParams) X(cuGraphEventRecordNodeSetEvent) X(cuGraphEventWaitNodeSetEvent)                    \
  X(cuGraphExecKernelNodeSetParams) X(cuGraphExecMemcpyNodeSetParams) X(cuGraphExecMemsetNodeSetParams)            \
  X(cuGraphExecHostNodeSetParams) X(cuGraphExecChildGraphNodeSetParams) X(cuGraphExecEventRecordNodeSetEvent)      \
  X(cuGraphExecEventWaitNodeSetEvent) X(cuGraphExecUpdate) X(cuGraphNodeSetEnabled) X(cuGraphNodeGetEnabled)       \
  X(cuStreamGetCaptureInfo) X(cuStreamUpdateCaptureDependencies) X(cuStreamBeginCaptureToGraph)                    \
  X(cuUserObjectCreate) X(cuGraphRetainUserObject) X(cuDeviceGetGraphMemAttribute) X(cuDeviceSetGraphMemAttribute) \
  X(cuDeviceGraphMemTrim) X(cuLinkCreate) X(cuLinkAddData) X(cuLinkComplete) X(cuLinkDestroy) X(cuLibraryGetManaged)
// clang-format on

/// The host's driver, found at run time. A function that it has not answers CUDA_ERROR_NOT_SUPPORTED. Never unloaded.
class Driver {
 public:
  /// The driver, loaded and initialised by the first call: the file that the environment variable ISTHMUS_CUDA_DRIVER
  /// names, or libcuda.so.1. Errors: not_found (no driver, no device, or our own frontend in its place).
  [[nodiscard]] static const Result<Driver>& get();

  // NOLINTBEGIN(readability-identifier-naming, bugprone-macro-parentheses): declarations, named as in the interface
#define ISTHMUS_CUDA_DECLARE(name) decltype(&::name) name = nullptr;
  ISTHMUS_CUDA_FUNCTIONS(ISTHMUS_CUDA_DECLARE)
#undef ISTHMUS_CUDA_DECLARE
  // NOLINTEND(readability-identifier-naming, bugprone-macro-parentheses)

  [[nodiscard]] int version() const noexcept { return version_; }
  [[nodiscard]] int devices() const noexcept { return devices_; }
  /// In one line, for the log.
  [[nodiscard]] std::string description() const;

 private:
  [[nodiscard]] static Result<Driver> load();

  int version_ = 0;
  int devices_ = 0;
  int missing_ = 0;
};

}  // namespace isthmus::cuda
