// SPDX-License-Identifier: Apache-2.0
// Entry points of streams and of the functions that they call.
#include <cuda.h>

#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/graph.hpp"
#include "test/cuda/standin/shared_file.hpp"

namespace isthmus::standin {
namespace {

constexpr int most_urgent = -5;

CUresult create(const char* name, CUstream* result, unsigned flags, int priority) {
  return in_context(name, [&](Context& context) {
    auto& to = out(result);
    require(flags <= CU_STREAM_NON_BLOCKING, CUDA_ERROR_INVALID_VALUE, "flags");
    const int nearest = std::min(0, std::max(most_urgent, priority));
    to = driver().streams.add(context.create_stream(flags, nearest));
  });
}

}  // namespace
}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuStreamCreate(CUstream* stream, unsigned flags) { return create(__func__, stream, flags, 0); }

CUresult cuStreamCreateWithPriority(CUstream* stream, unsigned flags, int priority) {
  return create(__func__, stream, flags, priority);
}

CUresult cuStreamDestroy(CUstream stream) {
  return in_context(__func__, [&](Context& context) {
    require(stream != nullptr && stream != CU_STREAM_LEGACY && stream != CU_STREAM_PER_THREAD,
            CUDA_ERROR_INVALID_HANDLE, "a default stream");
    context.stream(stream);
    const auto gone = driver().streams.take(stream);
    leave_captures(context, &*gone);
    context.forget_stream(gone);
  });
}

CUresult cuStreamSynchronize(CUstream stream) {
  return in_context(__func__, [&](Context& context) {
    const auto which = context.stream(stream);
    refuse_while_captured(*which);
    // The legacy stream waits for the blocking ones before it does anything, so also before it does nothing.
    context.wait(which->kind == Stream::Kind::legacy ? context.enqueue(*which, {}) : context.newest(*which));
  });
}

CUresult cuStreamQuery(CUstream stream) {
  return in_context(__func__, [&](Context& context) {
    const auto which = context.stream(stream);
    refuse_while_captured(*which);
    const Done newest = which->kind == Stream::Kind::legacy ? context.enqueue(*which, {}) : context.newest(*which);
    require(newest == nullptr || newest->done(), CUDA_ERROR_NOT_READY);
  });
}

CUresult cuStreamGetFlags(CUstream stream, unsigned* flags) {
  return in_context(__func__, [&](Context& context) { out(flags) = context.stream(stream)->flags; });
}

CUresult cuStreamGetPriority(CUstream stream, int* priority) {
  return in_context(__func__, [&](Context& context) { out(priority) = context.stream(stream)->priority; });
}

CUresult cuStreamGetId(CUstream stream, unsigned long long* id) {
  return in_context(__func__, [&](Context& context) { out(id) = context.stream(stream)->id; });
}

CUresult cuStreamGetCtx(CUstream stream, CUcontext* handle) {
  return in_context(__func__, [&](Context& context) { out(handle) = context.stream(stream)->context.handle; });
}

CUresult cuStreamGetDevice(CUstream stream, CUdevice* device) {
  return in_context(__func__, [&](Context& context) { out(device) = context.stream(stream)->context.device; });
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  return in_context(__func__, [&](Context& context) {
    require(flags <= CU_EVENT_WAIT_EXTERNAL, CUDA_ERROR_INVALID_VALUE, "flags");
    const auto which = context.stream(stream);
    const auto awaited = driver().events.get(event);
    if (join_capture(which, *awaited)) {
      return;
    }
    if (awaited->shared != nullptr) {
      context.enqueue(*which,
                      [records = awaited->shared, number = awaited->shared->newest()] { records->wait(number); });
      return;
    }
    Done recorded;
    {
      const std::scoped_lock lock(awaited->mutex);
      recorded = awaited->recorded;
    }
    if (recorded != nullptr) {
      context.enqueue(*which, {}, {recorded});
    }
  });
}

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void* data) {
  return in_context(__func__, [&](Context& context) {
    require(function != nullptr, CUDA_ERROR_INVALID_VALUE);
    submit(context, *context.stream(stream),
           {.type = CU_GRAPH_NODE_TYPE_HOST, .work = [function, data] { function(data); }});
  });
}

CUresult cuStreamAddCallback(CUstream stream, CUstreamCallback callback, void* data, unsigned flags) {
  return in_context(__func__, [&](Context& context) {
    require(callback != nullptr && flags == 0, CUDA_ERROR_INVALID_VALUE);
    const auto which = context.stream(stream);
    require(!captured(*which), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    // Unlike a host function, it is called after an error, too.
    context.enqueue_always(*which, [&context, callback, stream, data] { callback(stream, context.fault(), data); });
  });
}

CUresult cuStreamAttachMemAsync(CUstream stream, CUdeviceptr address, size_t /*size*/, unsigned /*flags*/) {
  return in_context(__func__, [&](Context& context) {
    context.stream(stream);
    const auto block = driver().memory.find(address);
    require(block.has_value() && block->kind == Block::Kind::managed, CUDA_ERROR_INVALID_VALUE, "no managed memory");
  });
}
