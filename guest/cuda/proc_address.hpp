// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "src/gpu/cuda/cu.hpp"

namespace isthmus::cuda {

/// A function as cuGetProcAddress finds it.
struct EntryPoint {
  std::string_view name;  ///< without the version's and default stream's endings
  int since = 0;          ///< version of CUDA that brought this form of it, as in cudaTypedefs.h
  void* (*address)() = nullptr;
};

/// The functions of per_stream.cpp, in its two forms.
[[nodiscard]] std::span<const EntryPoint> legacy_entries() noexcept;
[[nodiscard]] std::span<const EntryPoint> per_thread_entries() noexcept;
/// Older forms of functions that have newer ones.
[[nodiscard]] std::span<const EntryPoint> older_entries() noexcept;

}  // namespace isthmus::cuda

// Names are often macros of cuda.h: as text (#name, in the macro that is passed) they stay, as functions they become
// the symbols.

// clang-format off
/// What per_stream.cpp defines: X(name, since).
#define ISTHMUS_CUDA_STREAM_ENTRIES(X) \
  X(cuMemcpy, 4000) X(cuMemcpyAsync, 4000) X(cuMemcpyHtoD, 3020) X(cuMemcpyHtoDAsync, 3020)                    \
  X(cuMemcpyDtoH, 3020) X(cuMemcpyDtoHAsync, 3020) X(cuMemcpyDtoD, 3020) X(cuMemcpyDtoDAsync, 3020)            \
  X(cuMemcpyPeer, 4000) X(cuMemcpyPeerAsync, 4000) X(cuMemcpy2D, 3020) X(cuMemcpy2DUnaligned, 3020)            \
  X(cuMemcpyHtoA, 3020) X(cuMemcpyHtoAAsync, 3020) X(cuMemcpyAtoH, 3020) X(cuMemcpyAtoHAsync, 3020)            \
  X(cuMemcpyDtoA, 3020) X(cuMemcpyAtoD, 3020) X(cuMemcpyAtoA, 3020)                                            \
  X(cuMemcpy2DAsync, 3020) X(cuMemcpy3D, 3020) X(cuMemcpy3DAsync, 3020) X(cuMemsetD8, 3020)                    \
  X(cuMemsetD16, 3020) X(cuMemsetD32, 3020) X(cuMemsetD8Async, 3020) X(cuMemsetD16Async, 3020)                 \
  X(cuMemsetD32Async, 3020) X(cuMemsetD2D8, 3020) X(cuMemsetD2D16, 3020) X(cuMemsetD2D32, 3020)                \
  X(cuMemsetD2D8Async, 3020) X(cuMemsetD2D16Async, 3020) X(cuMemsetD2D32Async, 3020) X(cuLaunchKernel, 4000)   \
  X(cuLaunchCooperativeKernel, 9000) X(cuLaunchKernelEx, 11060) X(cuLaunchHostFunc, 10000)                     \
  X(cuStreamAddCallback, 5000) X(cuStreamSynchronize, 2000) X(cuStreamQuery, 2000) X(cuStreamWaitEvent, 3020)  \
  X(cuEventRecord, 2000) X(cuEventRecordWithFlags, 11010) X(cuStreamGetFlags, 5050)                            \
  X(cuStreamGetPriority, 5050) X(cuStreamGetCtx, 9020) X(cuStreamGetDevice, 12080) X(cuStreamGetId, 12000)     \
  X(cuMemPrefetchAsync, 12020) X(cuStreamAttachMemAsync, 6000) X(cuMemAllocAsync, 11020) X(cuMemAllocFromPoolAsync, 11020) X(cuMemFreeAsync, 11020) X(cuStreamSetAttribute, 11000) X(cuStreamGetAttribute, 11000) X(cuStreamBeginCapture, 10010) X(cuStreamEndCapture, 10000) X(cuGraphLaunch, 10000) X(cuGraphUpload, 11010) X(cuStreamIsCapturing, 10000) \
  X(cuStreamBeginCaptureToGraph, 12030) X(cuStreamGetCaptureInfo, 12030) X(cuStreamUpdateCaptureDependencies, 12030)
/// What the other files define.
#define ISTHMUS_CUDA_PLAIN_ENTRIES(X) \
  X(cuInit, 2000) X(cuDriverGetVersion, 2020) X(cuDeviceGetCount, 2000) X(cuDeviceGet, 2000)                   \
  X(cuDeviceGetName, 2000) X(cuDeviceGetUuid, 11040) X(cuDeviceTotalMem, 3020) X(cuDeviceGetAttribute, 2000)   \
  X(cuDeviceComputeCapability, 2000) X(cuDeviceGetProperties, 2000) X(cuDeviceGetPCIBusId, 4010)               \
  X(cuDeviceGetByPCIBusId, 4010) X(cuDeviceCanAccessPeer, 4000) X(cuDeviceGetP2PAttribute, 8000)               \
  X(cuDeviceGetExecAffinitySupport, 11040) X(cuDevicePrimaryCtxRetain, 7000)                                   \
  X(cuDevicePrimaryCtxRelease, 11000) X(cuDevicePrimaryCtxReset, 11000) X(cuDevicePrimaryCtxSetFlags, 11000)   \
  X(cuDevicePrimaryCtxGetState, 7000) X(cuCtxCreate, 12050) X(cuCtxDestroy, 4000) X(cuCtxPushCurrent, 4000)    \
  X(cuCtxPopCurrent, 4000) X(cuCtxSetCurrent, 4000) X(cuCtxGetCurrent, 4000) X(cuCtxGetDevice, 2000)           \
  X(cuCtxGetFlags, 7000) X(cuCtxGetId, 12000) X(cuCtxGetApiVersion, 3020) X(cuCtxGetStreamPriorityRange, 5050) \
  X(cuCtxSynchronize, 2000) X(cuCtxGetLimit, 3010) X(cuCtxSetLimit, 3010) X(cuCtxGetCacheConfig, 3020)         \
  X(cuCtxSetCacheConfig, 3020) X(cuCtxResetPersistingL2Cache, 11000) X(cuCtxEnablePeerAccess, 4000)            \
  X(cuCtxDisablePeerAccess, 4000) X(cuMemGetInfo, 3020) X(cuMemAlloc, 3020) X(cuMemAllocPitch, 3020)           \
  X(cuMemFree, 3020) X(cuMemGetAddressRange, 3020) X(cuMemHostAlloc, 2020) X(cuMemAllocHost, 3020)             \
  X(cuMemFreeHost, 2000) X(cuMemHostGetDevicePointer, 3020) X(cuDeviceGetDefaultMemPool, 11020) X(cuDeviceGetMemPool, 11020) X(cuDeviceSetMemPool, 11020) X(cuMemPoolTrimTo, 11020) X(cuMemPoolGetAttribute, 11020) X(cuMemPoolSetAttribute, 11020) \
  X(cuMemExportToShareableHandle, 10020) X(cuMemImportFromShareableHandle, 10020) \
  X(cuMemPoolExportToShareableHandle, 11020) X(cuMemPoolImportFromShareableHandle, 11020) \
  X(cuMemPoolExportPointer, 11020) X(cuMemPoolImportPointer, 11020) \
  X(cuIpcGetMemHandle, 4010) X(cuIpcOpenMemHandle, 11000) X(cuIpcCloseMemHandle, 4010) \
  X(cuIpcGetEventHandle, 4010) X(cuIpcOpenEventHandle, 4010) \
  X(cuMemAddressReserve, 10020) X(cuMemAddressFree, 10020) X(cuMemCreate, 10020) X(cuMemRelease, 10020) \
  X(cuMemMap, 10020) X(cuMemUnmap, 10020) X(cuMemSetAccess, 10020) X(cuMemGetAccess, 10020) \
  X(cuMemGetAllocationGranularity, 10020) X(cuMemGetAllocationPropertiesFromHandle, 10020) \
  X(cuMemRetainAllocationHandle, 11000) \
  X(cuMemPoolCreate, 11020) X(cuMemPoolDestroy, 11020) X(cuMemPoolSetAccess, 11020) X(cuMemPoolGetAccess, 11020) \
  X(cuMemGetDefaultMemPool, 13000) X(cuMemGetMemPool, 13000) X(cuMemSetMemPool, 13000) \
  X(cuProfilerStart, 4000) X(cuProfilerStop, 4000) X(cuGraphCreate, 10000) X(cuGraphDestroy, 10000) X(cuGraphAddEmptyNode, 10000) X(cuGraphAddKernelNode, 12000) X(cuGraphAddMemcpyNode, 10000) X(cuGraphAddMemsetNode, 10000) X(cuGraphGetNodes, 10000) X(cuGraphInstantiate, 11040) X(cuGraphExecDestroy, 10000) X(cuMemHostRegister, 6050) X(cuMemHostUnregister, 4000) X(cuMemAllocManaged, 6000) X(cuMemAdvise, 12020) X(cuMemHostGetFlags, 2030)                         \
  X(cuPointerGetAttribute, 4000) X(cuPointerGetAttributes, 7000) X(cuModuleLoadData, 2000)                     \
  X(cuModuleLoadDataEx, 2010) X(cuModuleLoadFatBinary, 2000) X(cuModuleLoad, 2000) X(cuModuleUnload, 2000)     \
  X(cuModuleGetLoadingMode, 11070) X(cuModuleGetFunction, 2000) X(cuModuleGetGlobal, 3020)                     \
  X(cuLibraryLoadData, 12000) X(cuLibraryLoadFromFile, 12000) X(cuLibraryUnload, 12000)                        \
  X(cuLibraryGetKernel, 12000) X(cuLibraryGetModule, 12000) X(cuLibraryGetGlobal, 12000) X(cuLibraryGetManaged, 12000)                       \
  X(cuKernelGetFunction, 12000) X(cuKernelGetLibrary, 12050) X(cuKernelGetAttribute, 12000)                    \
  X(cuKernelSetAttribute, 12000) X(cuKernelSetCacheConfig, 12000) X(cuFuncGetName, 12030)                      \
  X(cuKernelGetName, 12030) X(cuFuncGetParamInfo, 12040) X(cuKernelGetParamInfo, 12040)                        \
  X(cuFuncGetModule, 11000) X(cuFuncGetAttribute, 2020) X(cuFuncSetAttribute, 9000)                            \
  X(cuFuncSetCacheConfig, 3000) X(cuFuncIsLoaded, 12040) X(cuFuncLoad, 12040)                                  \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags, 7000)                                                \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessor, 6050) X(cuOccupancyMaxPotentialBlockSizeWithFlags, 7000)      \
  X(cuOccupancyMaxPotentialBlockSize, 6050) X(cuOccupancyAvailableDynamicSMemPerBlock, 10020)                  \
  X(cuStreamCreate, 2000) X(cuStreamCreateWithPriority, 5050) X(cuStreamDestroy, 4000) X(cuEventCreate, 2000)  \
  X(cuEventDestroy, 4000) X(cuEventQuery, 2000) X(cuEventSynchronize, 2000) X(cuEventElapsedTime, 12080)       \
  X(cuThreadExchangeStreamCaptureMode, 10010) X(cuGetErrorString, 6000) X(cuGetErrorName, 6000)                \
  X(cuGetProcAddress, 12000) X(cuGetExportTable, 3000) X(cuLinkCreate, 6050) X(cuLinkAddData, 6050)         \
  X(cuLinkAddFile, 6050) X(cuLinkComplete, 5050) X(cuLinkDestroy, 5050)                                                                                       \
  X(cuArrayCreate, 3020) X(cuArray3DCreate, 3020) X(cuArrayDestroy, 2000) X(cuArrayGetDescriptor, 3020)        \
  X(cuArray3DGetDescriptor, 3020) X(cuMipmappedArrayCreate, 5000) X(cuMipmappedArrayDestroy, 5000)             \
  X(cuMipmappedArrayGetLevel, 5000) X(cuTexObjectCreate, 5000) X(cuTexObjectDestroy, 5000)                     \
  X(cuTexObjectGetResourceDesc, 5000) X(cuTexObjectGetTextureDesc, 5000)                                       \
  X(cuTexObjectGetResourceViewDesc, 5000) X(cuSurfObjectCreate, 5000) X(cuSurfObjectDestroy, 5000)             \
  X(cuSurfObjectGetResourceDesc, 5000) X(cuGraphClone, 10000) X(cuGraphGetRootNodes, 10000)                   \
  X(cuGraphNodeGetDependencies, 12030) X(cuGraphNodeGetDependentNodes, 12030) X(cuGraphAddDependencies, 12030) \
  X(cuGraphRemoveDependencies, 12030) X(cuGraphNodeFindInClone, 10000) X(cuGraphInstantiateWithParams, 12000)  \
  X(cuGraphExecGetFlags, 12000) X(cuGraphExecUpdate, 12000) X(cuGraphConditionalHandleCreate, 12030)           \
  X(cuDeviceGetGraphMemAttribute, 11040) X(cuDeviceSetGraphMemAttribute, 11040) X(cuDeviceGraphMemTrim, 11040) \
  X(cuGraphKernelNodeSetParams, 12000) X(cuGraphExecKernelNodeSetParams, 12000)                                \
  X(cuGraphMemcpyNodeSetParams, 10000) X(cuGraphExecMemcpyNodeSetParams, 10020)                                \
  X(cuGraphMemsetNodeSetParams, 10000) X(cuGraphExecMemsetNodeSetParams, 10020) X(cuGraphAddHostNode, 10000)   \
  X(cuGraphHostNodeSetParams, 10000) X(cuGraphExecHostNodeSetParams, 10020) X(cuGraphAddChildGraphNode, 10000) \
  X(cuGraphExecChildGraphNodeSetParams, 11010) X(cuGraphAddEventRecordNode, 11010)                             \
  X(cuGraphAddEventWaitNode, 11010) X(cuGraphEventRecordNodeSetEvent, 11010)                                   \
  X(cuGraphEventWaitNodeSetEvent, 11010) X(cuGraphExecEventRecordNodeSetEvent, 11010)                          \
  X(cuGraphExecEventWaitNodeSetEvent, 11010) X(cuGraphAddMemAllocNode, 11040) X(cuGraphAddMemFreeNode, 11040)  \
  X(cuGraphAddNode, 12030) X(cuGraphNodeSetParams, 12020) X(cuGraphExecNodeSetParams, 12020)                   \
  X(cuGraphNodeGetType, 10000) X(cuGraphDestroyNode, 10000) X(cuGraphNodeSetEnabled, 11060)                    \
  X(cuGraphNodeGetEnabled, 11060)
// clang-format on
