// SPDX-License-Identifier: Apache-2.0

// Names and texts of errors. They need no device, and no cuInit.

#include <algorithm>

#include "src/gpu/cuda/cu.hpp"

namespace {

struct ErrorText {
  CUresult code;
  const char* name;
  const char* text;
};

// clang-format off
#define ISTHMUS_CUDA_ERROR(code, text) {code, #code, text},
constexpr ErrorText error_texts[] = {
    ISTHMUS_CUDA_ERROR(CUDA_SUCCESS, "no error")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_DEINITIALIZED, "driver shutting down")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_PROFILER_DISABLED, "profiler disabled while using external profiling tool")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_PROFILER_NOT_INITIALIZED, "profiler not initialized: call cudaProfilerInitialize()")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_PROFILER_ALREADY_STARTED, "profiler already started")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_PROFILER_ALREADY_STOPPED, "profiler already stopped")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_STUB_LIBRARY, "CUDA driver is a stub library")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER, "API call is not supported in the installed CUDA driver")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_DEVICE_UNAVAILABLE, "CUDA-capable device(s) is/are busy or unavailable")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_DEVICE_NOT_LICENSED, "device doesn't have valid Grid license")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_CONTEXT_ALREADY_CURRENT, "context already current")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_MAP_FAILED, "mapping of buffer object failed")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_UNMAP_FAILED, "unmapping of buffer object failed")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_ARRAY_IS_MAPPED, "array is mapped")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_ALREADY_MAPPED, "resource already mapped")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_ALREADY_ACQUIRED, "resource already acquired")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_NOT_MAPPED, "resource not mapped")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_NOT_MAPPED_AS_ARRAY, "resource not mapped as array")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_NOT_MAPPED_AS_POINTER, "resource not mapped as pointer")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_ECC_UNCORRECTABLE, "uncorrectable ECC error encountered")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_UNSUPPORTED_LIMIT, "limit is not supported on this architecture")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_CONTEXT_ALREADY_IN_USE, "exclusive-thread device already in use by a different thread")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, "peer access is not supported between these two devices")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_INVALID_GRAPHICS_CONTEXT, "invalid OpenGL or DirectX context")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_NVLINK_UNCORRECTABLE, "uncorrectable NVLink error detected during the execution")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_JIT_COMPILER_NOT_FOUND, "PTX JIT compiler library not found")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "the provided PTX was compiled with an unsupported toolchain.")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_JIT_COMPILATION_DISABLED, "PTX JIT compilation was disabled")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY, "the provided execution affinity is not supported")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_UNSUPPORTED_DEVSIDE_SYNC, "the provided PTX contains unsupported call to cudaDeviceSynchronize")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_CONTAINED, "an exception occurred on the device that was contained")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_INVALID_SOURCE, "device kernel image is invalid")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_FILE_NOT_FOUND, "file not found")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND, "shared object symbol not found")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, "shared object initialization failed")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_OPERATING_SYSTEM, "OS call failed or operation not supported on this OS")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_ILLEGAL_STATE, "the operation cannot be performed in the present state")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_LOSSY_QUERY, "attempted introspection would be semantically lossy")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_NOT_READY, "device not ready")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_LAUNCH_TIMEOUT, "the launch timed out and was terminated")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_LAUNCH_INCOMPATIBLE_TEXTURING, "launch uses incompatible texturing mode")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, "peer access is already enabled")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, "peer access has not been enabled")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE, "cannot set while device is active in this process")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_CONTEXT_IS_DESTROYED, "context is destroyed")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_ASSERT, "device-side assert triggered")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_TOO_MANY_PEERS, "peer mapping resources exhausted")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "part or all of the requested memory range is already mapped")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "pointer does not correspond to a registered memory region")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_HARDWARE_STACK_ERROR, "hardware stack error")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_ILLEGAL_INSTRUCTION, "an illegal instruction was encountered")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_INVALID_ADDRESS_SPACE, "operation not supported on global/shared address space")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_INVALID_PC, "invalid program counter")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, "too many blocks in cooperative launch")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_TENSOR_MEMORY_LEAK, "tensor memory was not freed")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_NOT_PERMITTED, "operation not permitted")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_SYSTEM_NOT_READY, "system not yet initialized")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "system has unsupported display driver / cuda driver combination")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, "forward compatibility was attempted on non supported HW")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_MPS_CONNECTION_FAILED, "MPS client failed to connect to the MPS control daemon or the MPS server")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_MPS_RPC_FAILURE, "the remote procedural call between the MPS server and the MPS client failed")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_MPS_SERVER_NOT_READY, "MPS server is not ready to accept new MPS client requests")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_MPS_MAX_CLIENTS_REACHED, "the hardware resources required to create MPS client have been exhausted")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED, "the hardware resources required to support device connections have been exhausted")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_MPS_CLIENT_TERMINATED, "the MPS client has been terminated by the server")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_CDP_NOT_SUPPORTED, "dynamic parallelism is not supported on this device")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_CDP_VERSION_MISMATCH, "dynamic parallelism: the versions do not fit each other")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "operation failed due to a previous error during capture")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_STREAM_CAPTURE_MERGE, "operation would result in a merge of separate capture sequences")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "capture was not ended in the same stream as it began")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "capturing stream has unjoined work")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "dependency created on uncaptured work in another stream")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "operation would make the legacy stream depend on a capturing blocking stream")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_CAPTURED_EVENT, "operation not permitted on an event last recorded in a capturing stream")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "attempt to terminate a thread-local capture sequence from another thread")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_TIMEOUT, "wait operation timed out")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, "the graph update was not performed because it included changes which violated constraints specific to instantiated graph update")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_EXTERNAL_DEVICE, "an async error has occured in external entity outside of CUDA")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_INVALID_CLUSTER_SIZE, "a kernel launch error has occurred due to cluster misconfiguration")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_FUNCTION_NOT_LOADED, "the function is not loaded")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_INVALID_RESOURCE_TYPE, "the resource type is not valid for this operation")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION, "the resource configuration is insufficient or not valid")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_KEY_ROTATION, "the key is being rotated")
    ISTHMUS_CUDA_ERROR(CUDA_ERROR_UNKNOWN, "unknown error")
};
#undef ISTHMUS_CUDA_ERROR
// clang-format on

CUresult error_text(CUresult code, const char** to, const char* ErrorText::* which) {
  if (to == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const auto* const found = std::ranges::find(error_texts, code, &ErrorText::code);
  const bool known = found != std::ranges::end(error_texts);
  *to = known ? found->*which : nullptr;
  return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

CUresult CUDAAPI cuGetErrorName(CUresult code, const char** name) { return error_text(code, name, &ErrorText::name); }

CUresult CUDAAPI cuGetErrorString(CUresult code, const char** text) { return error_text(code, text, &ErrorText::text); }
