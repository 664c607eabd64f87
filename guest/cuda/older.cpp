// SPDX-License-Identifier: Apache-2.0

// Functions in the forms that programs built with older headers call. The newer forms stand elsewhere; cuda.h's macros
// would turn these names into theirs.

#include <cstddef>

#include "guest/cuda/frontend.hpp"
#include "guest/cuda/proc_address.hpp"

namespace {

constexpr auto newest_context_create = &cuCtxCreate;
constexpr auto newest_elapsed_time = &cuEventElapsedTime;
constexpr auto newest_open_memory = &cuIpcOpenMemHandle;
constexpr auto newest_uuid = &cuDeviceGetUuid;
constexpr auto newest_primary_release = &cuDevicePrimaryCtxRelease;
constexpr auto newest_primary_reset = &cuDevicePrimaryCtxReset;
constexpr auto newest_primary_flags = &cuDevicePrimaryCtxSetFlags;
constexpr auto newest_proc_address = &cuGetProcAddress;
constexpr auto newest_context_destroy = &cuCtxDestroy;
constexpr auto newest_context_push = &cuCtxPushCurrent;
constexpr auto newest_context_pop = &cuCtxPopCurrent;
constexpr auto newest_stream_destroy = &cuStreamDestroy;
constexpr auto newest_event_destroy = &cuEventDestroy;
constexpr auto newest_register = &cuMemHostRegister;

}  // namespace

#undef cuEventElapsedTime
#undef cuDeviceGetUuid
#undef cuIpcOpenMemHandle
#undef cuDevicePrimaryCtxRelease
#undef cuDevicePrimaryCtxReset
#undef cuDevicePrimaryCtxSetFlags
#undef cuGetProcAddress
#undef cuCtxDestroy
#undef cuCtxPushCurrent
#undef cuCtxPopCurrent
#undef cuStreamDestroy
#undef cuEventDestroy
#undef cuMemHostRegister

// NOLINTBEGIN(readability-identifier-naming): the interface's names
#pragma GCC visibility push(default)
extern "C" {

CUresult CUDAAPI cuCtxCreate_v2(CUcontext* context, unsigned int flags, CUdevice device);
CUresult CUDAAPI cuCtxCreate_v2(CUcontext* context, unsigned int flags, CUdevice device) {
  return newest_context_create(context, nullptr, flags, device);
}

CUresult CUDAAPI cuCtxCreate_v3(CUcontext* context, CUexecAffinityParam* affinity, int count, unsigned int flags,
                                CUdevice device);
CUresult CUDAAPI cuCtxCreate_v3(CUcontext* context, CUexecAffinityParam* affinity, int count, unsigned int flags,
                                CUdevice device) {
  if (count < 0 || (affinity == nullptr && count != 0)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return count != 0 ? CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY : newest_context_create(context, nullptr, flags, device);
}

CUresult CUDAAPI cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end);
CUresult CUDAAPI cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  return newest_elapsed_time(milliseconds, start, end);
}

CUresult CUDAAPI cuDeviceGetUuid(CUuuid* uuid, CUdevice device);
CUresult CUDAAPI cuDeviceGetUuid(CUuuid* uuid, CUdevice device) { return newest_uuid(uuid, device); }

CUresult CUDAAPI cuIpcOpenMemHandle(CUdeviceptr* address, CUipcMemHandle handle, unsigned int flags);
CUresult CUDAAPI cuIpcOpenMemHandle(CUdeviceptr* address, CUipcMemHandle handle, unsigned int flags) {
  return newest_open_memory(address, handle, flags);
}

CUresult CUDAAPI cuDevicePrimaryCtxRelease(CUdevice device);
CUresult CUDAAPI cuDevicePrimaryCtxRelease(CUdevice device) { return newest_primary_release(device); }

CUresult CUDAAPI cuDevicePrimaryCtxReset(CUdevice device);
CUresult CUDAAPI cuDevicePrimaryCtxReset(CUdevice device) { return newest_primary_reset(device); }

CUresult CUDAAPI cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned int flags);
CUresult CUDAAPI cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned int flags) {
  return newest_primary_flags(device, flags);
}

CUresult CUDAAPI cuGetProcAddress(const char* symbol, void** function, int version, cuuint64_t flags);
CUresult CUDAAPI cuGetProcAddress(const char* symbol, void** function, int version, cuuint64_t flags) {
  return newest_proc_address(symbol, function, version, flags, nullptr);
}

CUresult CUDAAPI cuCtxDestroy(CUcontext context);
CUresult CUDAAPI cuCtxDestroy(CUcontext context) { return newest_context_destroy(context); }

CUresult CUDAAPI cuCtxPushCurrent(CUcontext context);
CUresult CUDAAPI cuCtxPushCurrent(CUcontext context) { return newest_context_push(context); }

CUresult CUDAAPI cuCtxPopCurrent(CUcontext* context);
CUresult CUDAAPI cuCtxPopCurrent(CUcontext* context) { return newest_context_pop(context); }

CUresult CUDAAPI cuStreamDestroy(CUstream stream);
CUresult CUDAAPI cuStreamDestroy(CUstream stream) { return newest_stream_destroy(stream); }

CUresult CUDAAPI cuEventDestroy(CUevent event);
CUresult CUDAAPI cuEventDestroy(CUevent event) { return newest_event_destroy(event); }

CUresult CUDAAPI cuMemHostRegister(void* start, std::size_t bytes, unsigned int flags);
CUresult CUDAAPI cuMemHostRegister(void* start, std::size_t bytes, unsigned int flags) {
  return newest_register(start, bytes, flags);
}

}  // extern "C"
#pragma GCC visibility pop
// NOLINTEND(readability-identifier-naming)

namespace isthmus::cuda {
namespace {

// NOLINTBEGIN(bugprone-macro-parentheses): a name
#define ISTHMUS_CUDA_OLDER(text, since, symbol) {text, since, [] { return reinterpret_cast<void*>(&symbol); }},
constexpr EntryPoint entries[] = {
    ISTHMUS_CUDA_OLDER("cuCtxCreate", 3020, cuCtxCreate_v2)                             //
    ISTHMUS_CUDA_OLDER("cuCtxCreate", 11040, cuCtxCreate_v3)                            //
    ISTHMUS_CUDA_OLDER("cuEventElapsedTime", 2000, cuEventElapsedTime)                  //
    ISTHMUS_CUDA_OLDER("cuDeviceGetUuid", 9020, cuDeviceGetUuid)                        //
    ISTHMUS_CUDA_OLDER("cuIpcOpenMemHandle", 4010, cuIpcOpenMemHandle)                  //
    ISTHMUS_CUDA_OLDER("cuDevicePrimaryCtxRelease", 7000, cuDevicePrimaryCtxRelease)    //
    ISTHMUS_CUDA_OLDER("cuDevicePrimaryCtxReset", 7000, cuDevicePrimaryCtxReset)        //
    ISTHMUS_CUDA_OLDER("cuDevicePrimaryCtxSetFlags", 7000, cuDevicePrimaryCtxSetFlags)  //
    ISTHMUS_CUDA_OLDER("cuGetProcAddress", 11030, cuGetProcAddress)                     //
    ISTHMUS_CUDA_OLDER("cuCtxDestroy", 2000, cuCtxDestroy)                              //
    ISTHMUS_CUDA_OLDER("cuCtxPushCurrent", 2000, cuCtxPushCurrent)                      //
    ISTHMUS_CUDA_OLDER("cuCtxPopCurrent", 2000, cuCtxPopCurrent)                        //
    ISTHMUS_CUDA_OLDER("cuStreamDestroy", 2000, cuStreamDestroy)                        //
    ISTHMUS_CUDA_OLDER("cuEventDestroy", 2000, cuEventDestroy)                          //
    ISTHMUS_CUDA_OLDER("cuMemHostRegister", 4000, cuMemHostRegister)                    //
};
#undef ISTHMUS_CUDA_OLDER
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace

std::span<const EntryPoint> older_entries() noexcept { return entries; }

}  // namespace isthmus::cuda
