// SPDX-License-Identifier: Apache-2.0

// Streams, events, and what a program has run in a stream's order.

#include "guest/cudart/stream.hpp"

#include <memory>
#include <new>

using namespace isthmus::cudart;  // NOLINT(google-build-using-namespace): the names below are C's

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return forward(cuStreamCreate, stream, unsigned{0}); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return forward(cuStreamCreate, stream, flags);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  return forward(cuStreamCreateWithPriority, stream, flags, priority);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return forward(cuStreamDestroy, stream); }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return forward(cuStreamSynchronize, stream); }
cudaError_t cudaStreamQuery(cudaStream_t stream) { return forward(cuStreamQuery, stream); }
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  return forward(cuStreamWaitEvent, stream, event, flags);
}
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  return forward(cuStreamGetPriority, stream, priority);
}
cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned* flags) {
  return forward(cuStreamGetFlags, stream, flags);
}
cudaError_t cudaStreamGetId(cudaStream_t stream, unsigned long long* id) { return forward(cuStreamGetId, stream, id); }
cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) { return forward(cuStreamGetDevice, stream, device); }
cudaError_t cudaStreamCopyAttributes(cudaStream_t to, cudaStream_t from) {
  return forward(cuStreamCopyAttributes, to, from);
}
cudaError_t cudaStreamGetAttribute(cudaStream_t stream, cudaLaunchAttributeID attribute,
                                   cudaLaunchAttributeValue* value) {
  return forward(cuStreamGetAttribute, stream, attribute, value);
}
cudaError_t cudaStreamSetAttribute(cudaStream_t stream, cudaLaunchAttributeID attribute,
                                   const cudaLaunchAttributeValue* value) {
  return forward(cuStreamSetAttribute, stream, attribute, value);
}
cudaError_t cudaStreamAttachMemAsync(cudaStream_t stream, void* pointer, std::size_t length, unsigned flags) {
  return forward(cuStreamAttachMemAsync, stream, pointer, length, flags);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return forward(cuLaunchHostFunc, stream, function, data);
}

namespace {

/// A callback on its way through the driver, whose own callbacks are told a CUresult. Freed by its one run.
struct StreamCallback {
  cudaStreamCallback_t function;
  cudaStream_t stream;
  void* data;

  static void run(CUstream /*stream*/, CUresult status, void* self) {
    const std::unique_ptr<StreamCallback> callback(static_cast<StreamCallback*>(self));
    callback->function(callback->stream, to_runtime(status), callback->data);
  }
};

}  // namespace

cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t function, void* data, unsigned flags) {
  return with_context([&] {
    if (function == nullptr || flags != 0) {
      return cudaErrorInvalidValue;
    }
    std::unique_ptr<StreamCallback> callback(new (std::nothrow) StreamCallback{function, stream, data});
    if (callback == nullptr) {
      return cudaErrorMemoryAllocation;
    }
    const cudaError_t error =
        driver(cuStreamAddCallback, stream, &StreamCallback::run, static_cast<void*>(callback.get()), flags);
    if (error == cudaSuccess) {
      callback.release();  // NOLINT(bugprone-unused-return-value): it belongs to its run now
    }
    return error;
  });
}

// --- events ---

cudaError_t cudaEventCreate(cudaEvent_t* event) { return forward(cuEventCreate, event, unsigned{0}); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return forward(cuEventCreate, event, flags);
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) { return forward(cuEventRecord, event, stream); }
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  return forward(cuEventRecordWithFlags, event, stream, flags);
}
cudaError_t cudaEventQuery(cudaEvent_t event) { return forward(cuEventQuery, event); }
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return forward(cuEventSynchronize, event); }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return forward(cuEventDestroy, event); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return forward(cuEventElapsedTime, milliseconds, start, end);
}

// --- capture ---

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return forward(cuStreamBeginCapture, stream, mode);
}
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t stream, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                          const cudaGraphEdgeData* edges, std::size_t count,
                                          cudaStreamCaptureMode mode) {
  return forward(cuStreamBeginCaptureToGraph, stream, graph, dependencies, edges, count, mode);
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return forward(cuStreamEndCapture, stream, graph);
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return forward(cuStreamIsCapturing, stream, status);
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t* graph, const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edges, std::size_t* count) {
  return forward(cuStreamGetCaptureInfo, stream, status, as<cuuint64_t*>(id), graph, dependencies,
                 reinterpret_cast<const CUgraphEdgeData**>(edges), count);
}
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t stream, cudaGraphNode_t* dependencies,
                                                const cudaGraphEdgeData* edges, std::size_t count, unsigned flags) {
  return forward(cuStreamUpdateCaptureDependencies, stream, dependencies, edges, count, flags);
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return forward(cuThreadExchangeStreamCaptureMode, mode);
}
