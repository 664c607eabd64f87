// SPDX-License-Identifier: Apache-2.0

// Streams and events: what does not depend on the default stream. Making one, recording and waiting are posts, because
// the client chooses the names.

#include <algorithm>

#include "guest/cuda/frontend.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

CUresult create_stream(CUstream* stream, unsigned flags, int priority) {
  return entry_here([&](const Here& here) -> CUresult {
    if (stream == nullptr || (flags & ~unsigned{CU_STREAM_NON_BLOCKING}) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const ContextInfo& info = here.record.info;
    const int taken = std::clamp(priority, std::min(info.greatest_priority, info.least_priority),
                                 std::max(info.greatest_priority, info.least_priority));
    const auto id = here.cuda.streams.make({.context = here.context, .flags = flags, .priority = taken});
    if (!id) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const CUresult code =
        here.lane().post<CreateStream>({.id = *id, .context = here.context, .flags = flags, .priority = taken});
    if (code != CUDA_SUCCESS) {
      here.cuda.streams.remove(*id);
      return code;
    }
    return give(stream, handle_of<CUstream>(*id));
  });
}

// Runs `function(Frontend&, EventRecord, Id)`.
template <class F>
CUresult with_event(CUevent event, F function) {
  return entry([&](Frontend& cuda) -> CUresult {
    const EventRecord* const record = cuda.events.find(event);
    return record == nullptr ? CUDA_ERROR_INVALID_HANDLE
                             : function(cuda, *record, reinterpret_cast<std::uintptr_t>(event));
  });
}

}  // namespace

CUresult CUDAAPI cuStreamCreate(CUstream* stream, unsigned int flags) { return create_stream(stream, flags, 0); }

CUresult CUDAAPI cuStreamCreateWithPriority(CUstream* stream, unsigned int flags, int priority) {
  return create_stream(stream, flags, priority);
}

CUresult CUDAAPI cuStreamDestroy(CUstream stream) {
  return entry_here([&](const Here& here) -> CUresult {
    const auto id = reinterpret_cast<std::uintptr_t>(stream);
    if (!here.cuda.streams.remove(id)) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    here.cuda.captures.forget_stream(id);
    {
      const std::scoped_lock lock(here.cuda.capture_nodes_mutex);
      std::erase_if(here.cuda.capture_nodes, [id](const auto& entry) { return entry.first.second == id; });
    }
    return here.lane().post<Release>({.kind = ObjectKind::stream, .id = id});
  });
}

CUresult CUDAAPI cuEventCreate(CUevent* event, unsigned int flags) {
  return entry_here([&](const Here& here) -> CUresult {
    constexpr unsigned known = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
    if (event == nullptr || (flags & ~known) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // One for other processes keeps no time.
    if ((flags & CU_EVENT_INTERPROCESS) != 0 && (flags & CU_EVENT_DISABLE_TIMING) == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto id = here.cuda.events.make({.context = here.context, .flags = flags});
    if (!id) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const CUresult code = here.lane().post<CreateEvent>({.id = *id, .context = here.context, .flags = flags});
    if (code != CUDA_SUCCESS) {
      here.cuda.events.remove(*id);
      return code;
    }
    return give(event, handle_of<CUevent>(*id));
  });
}

CUresult CUDAAPI cuEventDestroy(CUevent event) {
  return entry([&](Frontend& cuda) -> CUresult {
    const auto id = reinterpret_cast<std::uintptr_t>(event);
    if (!cuda.events.remove(id)) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    cuda.unshare_object(id);
    return cuda.lane->post<Release>({.kind = ObjectKind::event, .id = id});
  });
}

namespace {

// Asks whether an event is done, or waits for it; what was seen to be done once is not asked again.
template <class M>
CUresult reach(CUevent event) {
  return with_event(event, [](Frontend& cuda, const EventRecord& record, Id id) -> CUresult {
    if (record.is_done()) {
      return cuda.lane->failure();
    }
    const std::uint64_t recordings = record.recordings();
    const CUresult code = cuda.lane->tell<M>({.event = id});
    if (code == CUDA_SUCCESS) {
      record.note_done(recordings);
    }
    return code;
  });
}

}  // namespace

CUresult CUDAAPI cuEventQuery(CUevent event) { return reach<QueryEvent>(event); }

CUresult CUDAAPI cuEventSynchronize(CUevent event) { return reach<SyncEvent>(event); }

CUresult CUDAAPI cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  return with_event(start, [&](Frontend& cuda, const EventRecord& from, Id id) -> CUresult {
    const EventRecord* const to = cuda.events.find(end);
    if (to == nullptr || ((from.flags | to->flags) & CU_EVENT_DISABLE_TIMING) != 0) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if (milliseconds == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto asked = cuda.lane->call<ElapsedTime>({.start = id, .end = reinterpret_cast<std::uintptr_t>(end)});
    return asked ? give(milliseconds, asked->reply.milliseconds) : asked.error();
  });
}

CUresult CUDAAPI cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  return entry([&](Frontend& cuda) -> CUresult {
    constinit thread_local CUstreamCaptureMode mine = CU_STREAM_CAPTURE_MODE_GLOBAL;
    if (mode == nullptr || *mode < CU_STREAM_CAPTURE_MODE_GLOBAL || *mode > CU_STREAM_CAPTURE_MODE_RELAXED) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (*mode != mine) {
      // The thread's own in the worker has it, too.
      if (const CUresult code = cuda.lane->tell<Configure>(
              {.question = {.subject = Subject::capture_mode}, .value = static_cast<std::uint64_t>(*mode)});
          code != CUDA_SUCCESS) {
        return code;
      }
    }
    std::swap(mine, *mode);
    return CUDA_SUCCESS;
  });
}
