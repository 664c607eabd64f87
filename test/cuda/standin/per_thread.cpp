// SPDX-License-Identifier: Apache-2.0
// The functions of programs that were compiled with --default-stream per-thread: the same, but their default stream is
// the calling thread's own.
#define __CUDA_API_VERSION_INTERNAL  // cuda.h names both kinds then, and no macro replaces one by the other
#include <cuda.h>

#include "test/cuda/standin/entry.hpp"

using isthmus::standin::OwnDefaultStream;

namespace {

template <auto Function, class... A>
CUresult in_own_stream(A... arguments) {
  const OwnDefaultStream own;
  return Function(arguments...);
}

}  // namespace

// One line for each function: its name, the ending, its parameters' types.
#define STANDIN_1(name, end, A) \
  CUresult name##end(A a) { return in_own_stream<&(name)>(a); }
#define STANDIN_2(name, end, A, B) \
  CUresult name##end(A a, B b) { return in_own_stream<&(name)>(a, b); }
#define STANDIN_3(name, end, A, B, C) \
  CUresult name##end(A a, B b, C c) { return in_own_stream<&(name)>(a, b, c); }
#define STANDIN_4(name, end, A, B, C, D) \
  CUresult name##end(A a, B b, C c, D d) { return in_own_stream<&(name)>(a, b, c, d); }
#define STANDIN_5(name, end, A, B, C, D, E) \
  CUresult name##end(A a, B b, C c, D d, E e) { return in_own_stream<&(name)>(a, b, c, d, e); }

STANDIN_3(cuMemcpy, _ptds, CUdeviceptr, CUdeviceptr, size_t)
STANDIN_3(cuMemcpyHtoD_v2, _ptds, CUdeviceptr, const void*, size_t)
STANDIN_3(cuMemcpyDtoH_v2, _ptds, void*, CUdeviceptr, size_t)
STANDIN_3(cuMemcpyDtoD_v2, _ptds, CUdeviceptr, CUdeviceptr, size_t)
STANDIN_1(cuMemcpy2D_v2, _ptds, const CUDA_MEMCPY2D*)
STANDIN_1(cuMemcpy2DUnaligned_v2, _ptds, const CUDA_MEMCPY2D*)
STANDIN_1(cuMemcpy3D_v2, _ptds, const CUDA_MEMCPY3D*)
STANDIN_3(cuMemsetD8_v2, _ptds, CUdeviceptr, unsigned char, size_t)
STANDIN_3(cuMemsetD16_v2, _ptds, CUdeviceptr, unsigned short, size_t)
STANDIN_3(cuMemsetD32_v2, _ptds, CUdeviceptr, unsigned int, size_t)
STANDIN_5(cuMemsetD2D8_v2, _ptds, CUdeviceptr, size_t, unsigned char, size_t, size_t)
STANDIN_5(cuMemsetD2D16_v2, _ptds, CUdeviceptr, size_t, unsigned short, size_t, size_t)
STANDIN_5(cuMemsetD2D32_v2, _ptds, CUdeviceptr, size_t, unsigned int, size_t, size_t)
STANDIN_4(cuMemcpyAsync, _ptsz, CUdeviceptr, CUdeviceptr, size_t, CUstream)
STANDIN_4(cuMemcpyHtoDAsync_v2, _ptsz, CUdeviceptr, const void*, size_t, CUstream)
STANDIN_4(cuMemcpyDtoHAsync_v2, _ptsz, void*, CUdeviceptr, size_t, CUstream)
STANDIN_4(cuMemcpyDtoDAsync_v2, _ptsz, CUdeviceptr, CUdeviceptr, size_t, CUstream)
STANDIN_2(cuMemcpy2DAsync_v2, _ptsz, const CUDA_MEMCPY2D*, CUstream)
STANDIN_2(cuMemcpy3DAsync_v2, _ptsz, const CUDA_MEMCPY3D*, CUstream)
STANDIN_4(cuMemsetD8Async, _ptsz, CUdeviceptr, unsigned char, size_t, CUstream)
STANDIN_4(cuMemsetD16Async, _ptsz, CUdeviceptr, unsigned short, size_t, CUstream)
STANDIN_4(cuMemsetD32Async, _ptsz, CUdeviceptr, unsigned int, size_t, CUstream)
STANDIN_2(cuStreamGetPriority, _ptsz, CUstream, int*)
STANDIN_2(cuStreamGetId, _ptsz, CUstream, unsigned long long*)
STANDIN_2(cuStreamGetFlags, _ptsz, CUstream, unsigned int*)
STANDIN_2(cuStreamGetCtx, _ptsz, CUstream, CUcontext*)
STANDIN_3(cuStreamWaitEvent, _ptsz, CUstream, CUevent, unsigned int)
STANDIN_4(cuStreamAddCallback, _ptsz, CUstream, CUstreamCallback, void*, unsigned int)
STANDIN_2(cuStreamBeginCapture_v2, _ptsz, CUstream, CUstreamCaptureMode)
STANDIN_2(cuStreamEndCapture, _ptsz, CUstream, CUgraph*)
STANDIN_2(cuStreamIsCapturing, _ptsz, CUstream, CUstreamCaptureStatus*)
STANDIN_1(cuStreamQuery, _ptsz, CUstream)
STANDIN_1(cuStreamSynchronize, _ptsz, CUstream)
STANDIN_2(cuEventRecord, _ptsz, CUevent, CUstream)
STANDIN_3(cuEventRecordWithFlags, _ptsz, CUevent, CUstream, unsigned int)
STANDIN_3(cuLaunchHostFunc, _ptsz, CUstream, CUhostFn, void*)
STANDIN_4(cuLaunchKernelEx, _ptsz, const CUlaunchConfig*, CUfunction, void**, void**)
STANDIN_2(cuGraphLaunch, _ptsz, CUgraphExec, CUstream)
STANDIN_2(cuMemFreeAsync, _ptsz, CUdeviceptr, CUstream)
STANDIN_3(cuMemAllocAsync, _ptsz, CUdeviceptr*, size_t, CUstream)
STANDIN_4(cuMemAllocFromPoolAsync, _ptsz, CUdeviceptr*, size_t, CUmemoryPool, CUstream)

// NOLINTNEXTLINE(readability-identifier-naming): the driver's name
CUresult cuLaunchKernel_ptsz(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                             unsigned int block_x, unsigned int block_y, unsigned int block_z,
                             unsigned int shared_bytes, CUstream stream, void** parameters, void** extra) {
  return in_own_stream<&cuLaunchKernel>(function, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes,
                                        stream, parameters, extra);
}
