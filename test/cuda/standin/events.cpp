// SPDX-License-Identifier: Apache-2.0
// Entry points of events.
#include <cuda.h>

#include <chrono>

#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/graph.hpp"
#include "test/cuda/standin/shared_file.hpp"

namespace isthmus::standin {
namespace {

constexpr unsigned known_event_flags = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;

// Of the newest record; null before the first.
Done record_of(CUevent handle) {
  const auto event = driver().events.get(handle);
  const std::scoped_lock lock(event->mutex);
  require(event->capture == nullptr, CUDA_ERROR_CAPTURED_EVENT);
  return event->recorded;
}

CUresult record(const char* name, CUevent handle, CUstream stream, unsigned flags) {
  return in_context(name, [&](Context& context) {
    require(flags <= CU_EVENT_RECORD_EXTERNAL, CUDA_ERROR_INVALID_VALUE, "flags");
    const auto event = driver().events.get(handle);
    const auto in = context.stream(stream);
    require(&event->context == &context, CUDA_ERROR_INVALID_HANDLE, "the event belongs to another context");
    if (record_in_capture(*in, *event)) {
      return;
    }
    // One lock over both, so that the newest record is the one that was enqueued last.
    const std::scoped_lock lock(event->mutex);
    event->capture = nullptr;
    if (event->shared != nullptr) {
      event->recorded = context.enqueue(
          *in, [records = event->shared, number = event->shared->record()] { records->finish(number); });
      return;
    }
    event->recorded = context.enqueue(*in, {});
  });
}

}  // namespace
}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuEventCreate(CUevent* event, unsigned flags) {
  return in_context(__func__, [&](Context& context) {
    auto& to = out(event);
    require((flags & ~known_event_flags) == 0, CUDA_ERROR_INVALID_VALUE, "flags");
    require((flags & CU_EVENT_INTERPROCESS) == 0 || (flags & CU_EVENT_DISABLE_TIMING) != 0, CUDA_ERROR_INVALID_VALUE,
            "an event for other processes keeps no time");
    to = driver().events.add(std::make_shared<Event>(context, flags));
  });
}

CUresult cuEventDestroy(CUevent event) {
  return in_context(__func__, [&](Context& /*context*/) { driver().events.take(event); });
}

CUresult cuEventRecord(CUevent event, CUstream stream) { return record(__func__, event, stream, 0); }

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned flags) {
  return record(__func__, event, stream, flags);
}

CUresult cuEventQuery(CUevent event) {
  return in_context(__func__, [&](Context& /*context*/) {
    if (const auto shared = driver().events.get(event)->shared) {
      require(shared->is_done(shared->newest()), CUDA_ERROR_NOT_READY);
      return;
    }
    const Done recorded = record_of(event);
    require(recorded == nullptr || recorded->done(), CUDA_ERROR_NOT_READY);
  });
}

CUresult cuEventSynchronize(CUevent event) {
  return in_context(__func__, [&](Context& context) {
    if (const auto shared = driver().events.get(event)->shared) {
      shared->wait(shared->newest());
      return;
    }
    context.wait(record_of(event));
  });
}

CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  return in_context(__func__, [&](Context& /*context*/) {
    auto& to = out(milliseconds);
    for (CUevent event : {start, end}) {
      require((driver().events.get(event)->flags & CU_EVENT_DISABLE_TIMING) == 0, CUDA_ERROR_INVALID_HANDLE,
              "the event keeps no time");
    }
    const Done first = record_of(start);
    const Done last = record_of(end);
    require(first != nullptr && last != nullptr, CUDA_ERROR_INVALID_HANDLE, "the event was never recorded");
    require(first->done() && last->done(), CUDA_ERROR_NOT_READY);
    to = std::chrono::duration<float, std::milli>(last->when() - first->when()).count();
  });
}
