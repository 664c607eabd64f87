// SPDX-License-Identifier: Apache-2.0

// Functions that CUDA 13 still exports, for interfaces that it has given up or that need a display. Programs that load
// every name before they use one find these; whoever calls one is told CUDA_ERROR_NOT_SUPPORTED, and cuGetProcAddress
// does not find them. Their parameters do not matter: the caller cleans up.

#include "src/gpu/cuda/cu.hpp"

// clang-format off
#define ISTHMUS_CUDA_REFUSED(X) \
  /* What a launch was before cuLaunchKernel. */ \
  X(cuFuncSetBlockShape) X(cuFuncSetSharedSize) X(cuParamSetSize) X(cuParamSeti) X(cuParamSetf) X(cuParamSetv) \
  X(cuParamSetTexRef) X(cuLaunch) X(cuLaunchGrid) X(cuLaunchGridAsync) \
  /* Contexts that count their users, and banks of shared memory. */ \
  X(cuCtxAttach) X(cuCtxDetach) X(cuCtxGetSharedMemConfig) X(cuCtxSetSharedMemConfig) \
  X(cuFuncSetSharedMemConfig) \
  /* References to textures and surfaces. */ \
  X(cuModuleGetTexRef) X(cuModuleGetSurfRef) X(cuSurfRefSetArray) X(cuSurfRefGetArray) X(cuTexRefCreate) \
  X(cuTexRefDestroy) X(cuTexRefSetArray) X(cuTexRefSetFormat) X(cuTexRefSetAddressMode) \
  X(cuTexRefSetFilterMode) X(cuTexRefSetFlags) X(cuTexRefSetAddress_v2) X(cuTexRefSetAddress2D_v3) \
  X(cuTexRefGetArray) X(cuTexRefGetAddressMode) X(cuTexRefGetFilterMode) X(cuTexRefGetFormat) \
  X(cuTexRefGetFlags) X(cuTexRefGetAddress_v2) \
  /* What is shared with graphics. */ \
  X(cuGraphicsMapResources) X(cuGraphicsUnmapResources) X(cuGraphicsUnregisterResource) \
  X(cuGraphicsResourceSetMapFlags) X(cuGraphicsResourceSetMapFlags_v2) X(cuGraphicsResourceGetMappedPointer_v2) \
  X(cuGraphicsSubResourceGetMappedArray) \
  /* Addresses and sizes of 32 bits, as before CUDA 3.2. */ \
  X(cuDeviceTotalMem) X(cuCtxCreate) X(cuModuleGetGlobal) X(cuMemGetInfo) X(cuMemAlloc) X(cuMemAllocPitch) \
  X(cuMemFree) X(cuMemGetAddressRange) X(cuMemAllocHost) X(cuMemHostGetDevicePointer) X(cuMemcpyHtoD) \
  X(cuMemcpyDtoH) X(cuMemcpyDtoD) X(cuMemcpyDtoA) X(cuMemcpyAtoD) X(cuMemcpyHtoA) X(cuMemcpyAtoH) \
  X(cuMemcpyAtoA) X(cuMemcpy2D) X(cuMemcpy2DUnaligned) X(cuMemcpy3D) X(cuMemcpyHtoDAsync) X(cuMemcpyDtoHAsync) \
  X(cuMemcpyDtoDAsync) X(cuMemcpyHtoAAsync) X(cuMemcpyAtoHAsync) X(cuMemcpy2DAsync) X(cuMemcpy3DAsync) \
  X(cuMemsetD8) X(cuMemsetD16) X(cuMemsetD32) X(cuMemsetD2D8) X(cuMemsetD2D16) X(cuMemsetD2D32) \
  X(cuArrayCreate) X(cuArrayGetDescriptor) X(cuArray3DCreate) X(cuArray3DGetDescriptor) X(cuTexRefSetAddress) \
  X(cuTexRefSetAddress2D) X(cuTexRefSetAddress2D_v2) X(cuTexRefGetAddress) \
  X(cuGraphicsResourceGetMappedPointer)
// clang-format on

// NOLINTBEGIN(readability-identifier-naming, bugprone-macro-parentheses): the interface's names
#define ISTHMUS_CUDA_REFUSE(name)                                                         \
  extern "C" __attribute__((visibility("default"))) CUresult refused_##name() asm(#name); \
  CUresult refused_##name() { return CUDA_ERROR_NOT_SUPPORTED; }
ISTHMUS_CUDA_REFUSED(ISTHMUS_CUDA_REFUSE)
// NOLINTEND(readability-identifier-naming, bugprone-macro-parentheses)
