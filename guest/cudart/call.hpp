// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "guest/cudart/context.hpp"
#include "guest/cudart/driver.hpp"
#include "guest/cudart/error.hpp"
#include "guest/cudart/runtime.hpp"

/// \file
/// How an entry point of the runtime becomes one of the driver: each argument takes the driver's type, and the result
/// the runtime's. A conversion that is not written down here does not compile.

namespace isthmus::cudart {

/// Structures that the two headers lay out alike, field by field, under two names.
template <class Runtime, class Driver>
struct LaidOutAlike : std::false_type {};

#define ISTHMUS_LAID_OUT_ALIKE(Runtime, Driver)                                              \
  template <>                                                                                \
  struct LaidOutAlike<Runtime, Driver> : std::true_type {                                    \
    static_assert(sizeof(Runtime) == sizeof(Driver) && alignof(Runtime) == alignof(Driver)); \
  }
ISTHMUS_LAID_OUT_ALIKE(cudaAccessPolicyWindow, CUaccessPolicyWindow);
ISTHMUS_LAID_OUT_ALIKE(cudaArrayMemoryRequirements, CUDA_ARRAY_MEMORY_REQUIREMENTS);
ISTHMUS_LAID_OUT_ALIKE(cudaArraySparseProperties, CUDA_ARRAY_SPARSE_PROPERTIES);
ISTHMUS_LAID_OUT_ALIKE(cudaExternalMemoryBufferDesc, CUDA_EXTERNAL_MEMORY_BUFFER_DESC);
ISTHMUS_LAID_OUT_ALIKE(cudaExternalMemoryHandleDesc, CUDA_EXTERNAL_MEMORY_HANDLE_DESC);
ISTHMUS_LAID_OUT_ALIKE(cudaExternalSemaphoreHandleDesc, CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC);
ISTHMUS_LAID_OUT_ALIKE(cudaExternalSemaphoreSignalNodeParams, CUDA_EXT_SEM_SIGNAL_NODE_PARAMS);
ISTHMUS_LAID_OUT_ALIKE(cudaExternalSemaphoreSignalParams, CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS);
ISTHMUS_LAID_OUT_ALIKE(cudaExternalSemaphoreWaitNodeParams, CUDA_EXT_SEM_WAIT_NODE_PARAMS);
ISTHMUS_LAID_OUT_ALIKE(cudaExternalSemaphoreWaitParams, CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS);
ISTHMUS_LAID_OUT_ALIKE(cudaGraphEdgeData, CUgraphEdgeData);
ISTHMUS_LAID_OUT_ALIKE(cudaGraphExecUpdateResultInfo, CUgraphExecUpdateResultInfo);
ISTHMUS_LAID_OUT_ALIKE(cudaGraphInstantiateParams, CUDA_GRAPH_INSTANTIATE_PARAMS);
ISTHMUS_LAID_OUT_ALIKE(cudaHostNodeParams, CUDA_HOST_NODE_PARAMS);
ISTHMUS_LAID_OUT_ALIKE(cudaIpcEventHandle_t, CUipcEventHandle);
ISTHMUS_LAID_OUT_ALIKE(cudaIpcMemHandle_t, CUipcMemHandle);
ISTHMUS_LAID_OUT_ALIKE(cudaLaunchAttribute, CUlaunchAttribute);
ISTHMUS_LAID_OUT_ALIKE(cudaLaunchAttributeValue, CUlaunchAttributeValue);
ISTHMUS_LAID_OUT_ALIKE(cudaMemAccessDesc, CUmemAccessDesc);
ISTHMUS_LAID_OUT_ALIKE(cudaMemAllocNodeParams, CUDA_MEM_ALLOC_NODE_PARAMS);
ISTHMUS_LAID_OUT_ALIKE(cudaMemcpy3DBatchOp, CUDA_MEMCPY3D_BATCH_OP);
ISTHMUS_LAID_OUT_ALIKE(cudaMemcpyAttributes, CUmemcpyAttributes);
ISTHMUS_LAID_OUT_ALIKE(cudaMemLocation, CUmemLocation);
ISTHMUS_LAID_OUT_ALIKE(cudaMemPoolProps, CUmemPoolProps);
ISTHMUS_LAID_OUT_ALIKE(cudaMemPoolPtrExportData, CUmemPoolPtrExportData);
ISTHMUS_LAID_OUT_ALIKE(cudaMemsetParams, CUDA_MEMSET_NODE_PARAMS);
ISTHMUS_LAID_OUT_ALIKE(cudaResourceViewDesc, CUDA_RESOURCE_VIEW_DESC);
#undef ISTHMUS_LAID_OUT_ALIKE

/// Handles that are the same under two names.
template <>
struct LaidOutAlike<cudaArray, CUarray_st> : std::true_type {};
template <>
struct LaidOutAlike<cudaMipmappedArray, CUmipmappedArray_st> : std::true_type {};
template <>
struct LaidOutAlike<CUexternalMemory_st, CUextMemory_st> : std::true_type {};
template <>
struct LaidOutAlike<CUexternalSemaphore_st, CUextSemaphore_st> : std::true_type {};

/// A pointer, or the number that the driver calls a device pointer.
template <class T>
concept Address = std::is_pointer_v<T> || std::is_same_v<T, CUdeviceptr>;

/// Numbers of the same range under two names, as `unsigned long` and `unsigned long long`.
template <class A, class B>
concept SameNumber = (std::is_enum_v<A> == std::is_enum_v<B>) && (std::is_enum_v<A> || std::is_integral_v<A>) &&
                     (std::is_enum_v<B> || std::is_integral_v<B>) && (sizeof(A) == sizeof(B)) &&
                     (std::is_signed_v<A> == std::is_signed_v<B>);

/// Whether memory that holds a `From` may be read and written as a `To`. A handle is a pointer to something that no
/// header defines, so that pointers to pointers are.
template <class To, class From>
concept SameMemory = std::is_same_v<To, From> || std::is_void_v<To> || std::is_void_v<From> || SameNumber<To, From> ||
                     (Address<To> && Address<From>) || LaidOutAlike<From, To>::value;

/// `from` with the type `To` that the driver's function wants.
template <class To, class From>
To as(From from) {
  if constexpr (std::is_convertible_v<From, To> && !std::is_integral_v<To>) {
    return from;
  } else if constexpr (std::is_same_v<To, CUdeviceptr> && std::is_pointer_v<From>) {
    return reinterpret_cast<std::uintptr_t>(from);
  } else if constexpr (std::is_integral_v<To> && std::is_integral_v<From>) {
    static_assert(sizeof(To) >= sizeof(From));
    return static_cast<To>(from);
  } else if constexpr (std::is_enum_v<To> && (std::is_enum_v<From> || std::is_integral_v<From>)) {
    return static_cast<To>(from);
  } else if constexpr (std::is_pointer_v<To> && std::is_pointer_v<From>) {
    using ToValue = std::remove_cv_t<std::remove_pointer_t<To>>;
    using FromValue = std::remove_cv_t<std::remove_pointer_t<From>>;
    static_assert(SameMemory<ToValue, FromValue>);
    return reinterpret_cast<To>(const_cast<FromValue*>(from));
  } else {
    static_assert(LaidOutAlike<From, To>::value);
    return std::bit_cast<To>(from);
  }
}

/// Calls the driver; cudaErrorNotSupported where the libcuda.so.1 at hand lacks this entry point.
template <class... Parameters, class... Arguments>
cudaError_t driver(CUresult (*entry)(Parameters...), Arguments... arguments) {
  if (entry == nullptr) [[unlikely]] {
    return cudaErrorNotSupported;
  }
  return to_runtime(entry(as<Parameters>(arguments)...));
}

/// A whole entry point: makes a context current if there is none, calls the driver, remembers an error.
template <class... Parameters, class... Arguments>
cudaError_t forward(CUresult (*entry)(Parameters...), Arguments... arguments) {
  cudaError_t error = ready();
  if (error == cudaSuccess) [[likely]] {
    error = driver(entry, arguments...);
  }
  return report(error);
}

/// As `forward`, for what the runtime answers without a context.
template <class... Parameters, class... Arguments>
cudaError_t forward_without_context(CUresult (*entry)(Parameters...), Arguments... arguments) {
  cudaError_t error = initialise();
  if (error == cudaSuccess) [[likely]] {
    error = driver(entry, arguments...);
  }
  return report(error);
}

/// Runs `body`, a function that gives a cudaError_t, with a context current, and remembers an error.
template <class Body>
cudaError_t with_context(Body body) {
  cudaError_t error = ready();
  if (error == cudaSuccess) [[likely]] {
    error = body();
  }
  return report(error);
}

}  // namespace isthmus::cudart
