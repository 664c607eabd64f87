// SPDX-License-Identifier: Apache-2.0

// The names that end in _ptsz, for programs whose stream 0 is the thread's own; those of copies, fills and launches
// stand beside their twins (copies.cpp, launch.cpp).

#include "guest/cudart/stream.hpp"

using namespace isthmus::cudart;  // NOLINT(google-build-using-namespace): the names below are C's

// NOLINTBEGIN(readability-identifier-naming): the API's names
// NOLINTBEGIN(bugprone-macro-parentheses): a list of parameters is no expression

/// `name_ptsz`: `name`, with what stands for the argument `stream`.
#define ISTHMUS_PER_THREAD(name, parameters, ...) \
  extern "C" __attribute__((visibility("default"))) cudaError_t name##_ptsz parameters { return name(__VA_ARGS__); }

ISTHMUS_PER_THREAD(cudaEventRecord, (cudaEvent_t event, cudaStream_t stream), event, or_per_thread(stream))
ISTHMUS_PER_THREAD(cudaEventRecordWithFlags, (cudaEvent_t event, cudaStream_t stream, unsigned flags), event,
                   or_per_thread(stream), flags)
ISTHMUS_PER_THREAD(cudaStreamQuery, (cudaStream_t stream), or_per_thread(stream))
ISTHMUS_PER_THREAD(cudaStreamSynchronize, (cudaStream_t stream), or_per_thread(stream))
ISTHMUS_PER_THREAD(cudaStreamWaitEvent, (cudaStream_t stream, cudaEvent_t event, unsigned flags), or_per_thread(stream),
                   event, flags)
ISTHMUS_PER_THREAD(cudaStreamGetDevice, (cudaStream_t stream, int* device), or_per_thread(stream), device)
ISTHMUS_PER_THREAD(cudaStreamGetFlags, (cudaStream_t stream, unsigned* flags), or_per_thread(stream), flags)
ISTHMUS_PER_THREAD(cudaStreamGetId, (cudaStream_t stream, unsigned long long* id), or_per_thread(stream), id)
ISTHMUS_PER_THREAD(cudaStreamGetPriority, (cudaStream_t stream, int* priority), or_per_thread(stream), priority)
ISTHMUS_PER_THREAD(cudaStreamCopyAttributes, (cudaStream_t to, cudaStream_t from), or_per_thread(to),
                   or_per_thread(from))
ISTHMUS_PER_THREAD(cudaStreamGetAttribute,
                   (cudaStream_t stream, cudaLaunchAttributeID attribute, cudaLaunchAttributeValue* value),
                   or_per_thread(stream), attribute, value)
ISTHMUS_PER_THREAD(cudaStreamSetAttribute,
                   (cudaStream_t stream, cudaLaunchAttributeID attribute, const cudaLaunchAttributeValue* value),
                   or_per_thread(stream), attribute, value)
ISTHMUS_PER_THREAD(cudaStreamAttachMemAsync, (cudaStream_t stream, void* pointer, std::size_t size, unsigned flags),
                   or_per_thread(stream), pointer, size, flags)
ISTHMUS_PER_THREAD(cudaStreamAddCallback,
                   (cudaStream_t stream, cudaStreamCallback_t function, void* data, unsigned flags),
                   or_per_thread(stream), function, data, flags)
ISTHMUS_PER_THREAD(cudaLaunchHostFunc, (cudaStream_t stream, cudaHostFn_t function, void* data), or_per_thread(stream),
                   function, data)

ISTHMUS_PER_THREAD(cudaMemcpyBatchAsync,
                   (void* const* to, const void* const* from, const std::size_t* sizes, std::size_t count,
                    cudaMemcpyAttributes* attributes, std::size_t* indices, std::size_t attribute_count,
                    cudaStream_t stream),
                   to, from, sizes, count, attributes, indices, attribute_count, or_per_thread(stream))
ISTHMUS_PER_THREAD(cudaMemcpy3DBatchAsync,
                   (std::size_t count, cudaMemcpy3DBatchOp* operations, unsigned long long flags, cudaStream_t stream),
                   count, operations, flags, or_per_thread(stream))
ISTHMUS_PER_THREAD(cudaMemPrefetchAsync,
                   (const void* pointer, std::size_t size, cudaMemLocation location, unsigned flags,
                    cudaStream_t stream),
                   pointer, size, location, flags, or_per_thread(stream))
ISTHMUS_PER_THREAD(cudaMemPrefetchBatchAsync,
                   (void** pointers, std::size_t* sizes, std::size_t count, cudaMemLocation* locations,
                    std::size_t* indices, std::size_t location_count, unsigned long long flags, cudaStream_t stream),
                   pointers, sizes, count, locations, indices, location_count, flags, or_per_thread(stream))
ISTHMUS_PER_THREAD(cudaMemDiscardBatchAsync,
                   (void** pointers, std::size_t* sizes, std::size_t count, unsigned long long flags,
                    cudaStream_t stream),
                   pointers, sizes, count, flags, or_per_thread(stream))
ISTHMUS_PER_THREAD(cudaMemDiscardAndPrefetchBatchAsync,
                   (void** pointers, std::size_t* sizes, std::size_t count, cudaMemLocation* locations,
                    std::size_t* indices, std::size_t location_count, unsigned long long flags, cudaStream_t stream),
                   pointers, sizes, count, locations, indices, location_count, flags, or_per_thread(stream))
ISTHMUS_PER_THREAD(cudaMallocAsync, (void** pointer, std::size_t size, cudaStream_t stream), pointer, size,
                   or_per_thread(stream))
ISTHMUS_PER_THREAD(cudaMallocFromPoolAsync, (void** pointer, std::size_t size, cudaMemPool_t pool, cudaStream_t stream),
                   pointer, size, pool, or_per_thread(stream))
ISTHMUS_PER_THREAD(cudaFreeAsync, (void* pointer, cudaStream_t stream), pointer, or_per_thread(stream))

ISTHMUS_PER_THREAD(cudaSignalExternalSemaphoresAsync,
                   (const cudaExternalSemaphore_t* semaphores, const cudaExternalSemaphoreSignalParams* parameters,
                    unsigned count, cudaStream_t stream),
                   semaphores, parameters, count, or_per_thread(stream))
ISTHMUS_PER_THREAD(cudaWaitExternalSemaphoresAsync,
                   (const cudaExternalSemaphore_t* semaphores, const cudaExternalSemaphoreWaitParams* parameters,
                    unsigned count, cudaStream_t stream),
                   semaphores, parameters, count, or_per_thread(stream))

ISTHMUS_PER_THREAD(cudaStreamBeginCapture, (cudaStream_t stream, cudaStreamCaptureMode mode), or_per_thread(stream),
                   mode)
ISTHMUS_PER_THREAD(cudaStreamBeginCaptureToGraph,
                   (cudaStream_t stream, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                    const cudaGraphEdgeData* edges, std::size_t count, cudaStreamCaptureMode mode),
                   or_per_thread(stream), graph, dependencies, edges, count, mode)
ISTHMUS_PER_THREAD(cudaStreamEndCapture, (cudaStream_t stream, cudaGraph_t* graph), or_per_thread(stream), graph)
ISTHMUS_PER_THREAD(cudaStreamIsCapturing, (cudaStream_t stream, cudaStreamCaptureStatus* status), or_per_thread(stream),
                   status)
ISTHMUS_PER_THREAD(cudaStreamGetCaptureInfo,
                   (cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id, cudaGraph_t* graph,
                    const cudaGraphNode_t** dependencies, const cudaGraphEdgeData** edges, std::size_t* count),
                   or_per_thread(stream), status, id, graph, dependencies, edges, count)
ISTHMUS_PER_THREAD(cudaStreamUpdateCaptureDependencies,
                   (cudaStream_t stream, cudaGraphNode_t* dependencies, const cudaGraphEdgeData* edges,
                    std::size_t count, unsigned flags),
                   or_per_thread(stream), dependencies, edges, count, flags)
ISTHMUS_PER_THREAD(cudaGraphUpload, (cudaGraphExec_t executable, cudaStream_t stream), executable,
                   or_per_thread(stream))
ISTHMUS_PER_THREAD(cudaGraphLaunch, (cudaGraphExec_t executable, cudaStream_t stream), executable,
                   or_per_thread(stream))

#undef ISTHMUS_PER_THREAD
// NOLINTEND(bugprone-macro-parentheses)

extern "C" __attribute__((visibility("default"))) cudaError_t cudaGraphInstantiateWithParams_ptsz(
    cudaGraphExec_t* executable, cudaGraph_t graph, cudaGraphInstantiateParams* parameters) {
  if (parameters == nullptr) {
    return report(cudaErrorInvalidValue);
  }
  cudaGraphInstantiateParams with = *parameters;
  with.uploadStream = or_per_thread(with.uploadStream);
  const cudaError_t error = cudaGraphInstantiateWithParams(executable, graph, &with);
  parameters->errNode_out = with.errNode_out;
  parameters->result_out = with.result_out;
  return error;
}
// NOLINTEND(readability-identifier-naming)
