// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>
#include <cudaProfiler.h>

/// \file
/// The driver's entry points that this library calls: all public ones, by the names that cuda.h's macros give them. The
/// references are weak: a libcuda.so.1 that lacks one still loads, and what needs it answers cudaErrorNotSupported.
/// An entry point that is called and not listed here would be a strong reference; a test looks for those.

// clang-format off
#define ISTHMUS_CUDART_DRIVER_CALLS(X) \
  X(cuArray3DCreate) X(cuArray3DGetDescriptor) X(cuArrayDestroy) X(cuArrayGetMemoryRequirements) X(cuArrayGetPlane)   \
  X(cuArrayGetSparseProperties) X(cuCtxDisablePeerAccess) X(cuCtxEnablePeerAccess) X(cuCtxGetCacheConfig)             \
  X(cuCtxGetCurrent) X(cuCtxGetDevice) X(cuCtxGetFlags) X(cuCtxGetLimit) X(cuCtxGetSharedMemConfig) X(cuCtxGetStreamPriorityRange)     \
  X(cuCtxResetPersistingL2Cache) X(cuCtxSetCacheConfig) X(cuCtxSetCurrent) X(cuCtxSetLimit)                           \
  X(cuCtxSetSharedMemConfig) X(cuCtxSynchronize) X(cuDestroyExternalMemory) X(cuDestroyExternalSemaphore)             \
  X(cuDeviceCanAccessPeer) X(cuDeviceGetAttribute) X(cuDeviceGetByPCIBusId) X(cuDeviceGetCount)                       \
  X(cuDeviceGetDefaultMemPool) X(cuDeviceGetGraphMemAttribute) X(cuDeviceGetHostAtomicCapabilities)                   \
  X(cuDeviceGetMemPool) X(cuDeviceGetName) X(cuDeviceGetNvSciSyncAttributes) X(cuDeviceGetP2PAtomicCapabilities)      \
  X(cuDeviceGetP2PAttribute) X(cuDeviceGetPCIBusId) X(cuDeviceGetTexture1DLinearMaxWidth) X(cuDeviceGetUuid)          \
  X(cuDeviceGraphMemTrim) X(cuDevicePrimaryCtxGetState) X(cuDevicePrimaryCtxReset) X(cuDevicePrimaryCtxRetain)        \
  X(cuDevicePrimaryCtxSetFlags) X(cuDeviceSetGraphMemAttribute) X(cuDeviceSetMemPool) X(cuDeviceTotalMem)             \
  X(cuDriverGetVersion) X(cuEventCreate) X(cuEventDestroy) X(cuEventElapsedTime) X(cuEventQuery) X(cuEventRecord)     \
  X(cuEventRecordWithFlags) X(cuEventSynchronize) X(cuExternalMemoryGetMappedBuffer)                                  \
  X(cuExternalMemoryGetMappedMipmappedArray) X(cuFlushGPUDirectRDMAWrites) X(cuFuncSetSharedMemConfig)                \
  X(cuGetErrorString) X(cuGetProcAddress) X(cuGraphAddChildGraphNode) X(cuGraphAddDependencies)                       \
  X(cuGraphAddEmptyNode) X(cuGraphAddEventRecordNode) X(cuGraphAddEventWaitNode)                                      \
  X(cuGraphAddExternalSemaphoresSignalNode) X(cuGraphAddExternalSemaphoresWaitNode) X(cuGraphAddHostNode)             \
  X(cuGraphAddKernelNode) X(cuGraphAddMemAllocNode) X(cuGraphAddMemFreeNode) X(cuGraphAddMemcpyNode)                  \
  X(cuGraphAddMemsetNode) X(cuGraphAddNode) X(cuGraphChildGraphNodeGetGraph) X(cuGraphClone)                          \
  X(cuGraphConditionalHandleCreate) X(cuGraphCreate) X(cuGraphDebugDotPrint) X(cuGraphDestroy)                        \
  X(cuGraphDestroyNode) X(cuGraphEventRecordNodeGetEvent) X(cuGraphEventRecordNodeSetEvent)                           \
  X(cuGraphEventWaitNodeGetEvent) X(cuGraphEventWaitNodeSetEvent) X(cuGraphExecChildGraphNodeSetParams)               \
  X(cuGraphExecDestroy) X(cuGraphExecEventRecordNodeSetEvent) X(cuGraphExecEventWaitNodeSetEvent)                     \
  X(cuGraphExecExternalSemaphoresSignalNodeSetParams) X(cuGraphExecExternalSemaphoresWaitNodeSetParams)               \
  X(cuGraphExecGetFlags) X(cuGraphExecHostNodeSetParams) X(cuGraphExecKernelNodeSetParams)                            \
  X(cuGraphExecMemcpyNodeSetParams) X(cuGraphExecMemsetNodeSetParams) X(cuGraphExecNodeSetParams)                     \
  X(cuGraphExecUpdate) X(cuGraphExternalSemaphoresSignalNodeGetParams)                                                \
  X(cuGraphExternalSemaphoresSignalNodeSetParams) X(cuGraphExternalSemaphoresWaitNodeGetParams)                       \
  X(cuGraphExternalSemaphoresWaitNodeSetParams) X(cuGraphGetEdges) X(cuGraphGetNodes) X(cuGraphGetRootNodes)          \
  X(cuGraphHostNodeGetParams) X(cuGraphHostNodeSetParams) X(cuGraphInstantiate) X(cuGraphInstantiateWithParams)       \
  X(cuGraphKernelNodeCopyAttributes) X(cuGraphKernelNodeGetAttribute) X(cuGraphKernelNodeGetParams)                   \
  X(cuGraphKernelNodeSetAttribute) X(cuGraphKernelNodeSetParams) X(cuGraphLaunch) X(cuGraphMemAllocNodeGetParams)     \
  X(cuGraphMemFreeNodeGetParams) X(cuGraphMemcpyNodeGetParams) X(cuGraphMemcpyNodeSetParams)                          \
  X(cuGraphMemsetNodeGetParams) X(cuGraphMemsetNodeSetParams) X(cuGraphNodeFindInClone)                               \
  X(cuGraphNodeGetDependencies) X(cuGraphNodeGetDependentNodes) X(cuGraphNodeGetEnabled) X(cuGraphNodeGetType)        \
  X(cuGraphNodeSetEnabled) X(cuGraphNodeSetParams) X(cuGraphReleaseUserObject) X(cuGraphRemoveDependencies)           \
  X(cuGraphRetainUserObject) X(cuGraphUpload) X(cuImportExternalMemory) X(cuImportExternalSemaphore) X(cuInit)        \
  X(cuIpcCloseMemHandle) X(cuIpcGetEventHandle) X(cuIpcGetMemHandle) X(cuIpcOpenEventHandle) X(cuIpcOpenMemHandle)    \
  X(cuKernelGetAttribute) X(cuKernelGetFunction) X(cuKernelGetName) X(cuKernelGetParamInfo) X(cuKernelSetAttribute)   \
  X(cuKernelSetCacheConfig) X(cuLaunchCooperativeKernel) X(cuLaunchHostFunc) X(cuLaunchKernel) X(cuLaunchKernelEx)    \
  X(cuLibraryEnumerateKernels) X(cuLibraryGetGlobal) X(cuLibraryGetKernel) X(cuLibraryGetKernelCount)                 \
  X(cuLibraryGetManaged) X(cuLibraryGetUnifiedFunction) X(cuLibraryLoadData) X(cuLibraryLoadFromFile)                 \
  X(cuLibraryUnload) X(cuLinkAddData) X(cuLinkComplete) X(cuLinkCreate) X(cuLinkDestroy) X(cuMemAdvise) X(cuMemAlloc) X(cuMemAllocAsync) X(cuMemAllocFromPoolAsync)                       \
  X(cuMemAllocManaged) X(cuMemAllocPitch) X(cuMemDiscardAndPrefetchBatchAsync) X(cuMemDiscardBatchAsync)              \
  X(cuMemFree) X(cuMemFreeAsync) X(cuMemFreeHost) X(cuMemGetDefaultMemPool) X(cuMemGetInfo) X(cuMemGetMemPool)        \
  X(cuMemHostAlloc) X(cuMemHostGetDevicePointer) X(cuMemHostGetFlags) X(cuMemHostRegister) X(cuMemHostUnregister)     \
  X(cuMemPoolCreate) X(cuMemPoolDestroy) X(cuMemPoolExportPointer) X(cuMemPoolExportToShareableHandle)                \
  X(cuMemPoolGetAccess) X(cuMemPoolGetAttribute) X(cuMemPoolImportFromShareableHandle) X(cuMemPoolImportPointer)      \
  X(cuMemPoolSetAccess) X(cuMemPoolSetAttribute) X(cuMemPoolTrimTo) X(cuMemPrefetchAsync)                             \
  X(cuMemPrefetchBatchAsync) X(cuMemRangeGetAttribute) X(cuMemRangeGetAttributes) X(cuMemSetMemPool) X(cuMemcpy)      \
  X(cuMemcpy2DAsync) X(cuMemcpy2DUnaligned) X(cuMemcpy3D) X(cuMemcpy3DAsync) X(cuMemcpy3DBatchAsync)                  \
  X(cuMemcpy3DPeer) X(cuMemcpy3DPeerAsync) X(cuMemcpyAsync) X(cuMemcpyBatchAsync) X(cuMemcpyDtoD)                     \
  X(cuMemcpyDtoDAsync) X(cuMemcpyDtoH) X(cuMemcpyDtoHAsync) X(cuMemcpyHtoD) X(cuMemcpyHtoDAsync) X(cuMemcpyPeer)      \
  X(cuMemcpyPeerAsync) X(cuMemsetD2D8) X(cuMemsetD2D8Async) X(cuMemsetD8) X(cuMemsetD8Async)                          \
  X(cuMipmappedArrayCreate) X(cuMipmappedArrayDestroy) X(cuMipmappedArrayGetLevel)                                    \
  X(cuMipmappedArrayGetMemoryRequirements) X(cuMipmappedArrayGetSparseProperties)                                     \
  X(cuOccupancyAvailableDynamicSMemPerBlock) X(cuOccupancyMaxActiveBlocksPerMultiprocessor)                           \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags) X(cuOccupancyMaxActiveClusters)                             \
  X(cuOccupancyMaxPotentialClusterSize) X(cuPointerGetAttributes) X(cuProfilerStart) X(cuProfilerStop)                \
  X(cuSignalExternalSemaphoresAsync) X(cuStreamAddCallback) X(cuStreamAttachMemAsync) X(cuStreamBeginCapture)         \
  X(cuStreamBeginCaptureToGraph) X(cuStreamCopyAttributes) X(cuStreamCreate) X(cuStreamCreateWithPriority)            \
  X(cuStreamDestroy) X(cuStreamEndCapture) X(cuStreamGetAttribute) X(cuStreamGetCaptureInfo) X(cuStreamGetDevice)     \
  X(cuStreamGetFlags) X(cuStreamGetId) X(cuStreamGetPriority) X(cuStreamIsCapturing) X(cuStreamQuery)                 \
  X(cuStreamSetAttribute) X(cuStreamSynchronize) X(cuStreamUpdateCaptureDependencies) X(cuStreamWaitEvent)            \
  X(cuSurfObjectCreate) X(cuSurfObjectDestroy) X(cuSurfObjectGetResourceDesc) X(cuTexObjectCreate)                    \
  X(cuTexObjectDestroy) X(cuTexObjectGetResourceDesc) X(cuTexObjectGetResourceViewDesc)                               \
  X(cuTexObjectGetTextureDesc) X(cuThreadExchangeStreamCaptureMode) X(cuUserObjectCreate) X(cuUserObjectRelease)      \
  X(cuUserObjectRetain) X(cuWaitExternalSemaphoresAsync)
// clang-format on

// NOLINTNEXTLINE(bugprone-macro-parentheses): what is declared
#define ISTHMUS_CUDART_WEAK(entry) extern "C" __attribute__((weak)) decltype(entry) entry;
ISTHMUS_CUDART_DRIVER_CALLS(ISTHMUS_CUDART_WEAK)
#undef ISTHMUS_CUDART_WEAK
