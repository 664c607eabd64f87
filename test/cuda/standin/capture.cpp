// SPDX-License-Identifier: Apache-2.0
// Stream capture: what goes to a captured stream becomes a graph.
#include <cuda.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/graph.hpp"

namespace isthmus::standin {
namespace {

// Guards Stream::capture and all that hangs on it.
std::mutex& captures_mutex() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

std::set<std::shared_ptr<Capture>>& captures() {
  static auto& all = *new std::set<std::shared_ptr<Capture>>;
  return all;
}

thread_local CUstreamCaptureMode thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

// The legacy stream waits for blocking streams, and a captured one has nothing to wait for.
void check_legacy(Stream& stream) {
  if (stream.kind != Stream::Kind::legacy) {
    return;
  }
  for (const auto& capture : captures()) {
    for (const auto& [other, tips] : capture->tips) {
      if (&other->context == &stream.context && other->blocking()) {
        capture->broken = true;
        fail(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "the legacy stream, while a blocking one is captured");
      }
    }
  }
}

// Whether the calling thread must not do what is unsafe beside this capture.
bool forbids(const Capture& capture) {
  if (capture.mode == CU_STREAM_CAPTURE_MODE_RELAXED || thread_mode == CU_STREAM_CAPTURE_MODE_RELAXED) {
    return false;
  }
  const bool own = capture.thread == std::this_thread::get_id();
  return own || (capture.mode == CU_STREAM_CAPTURE_MODE_GLOBAL && thread_mode == CU_STREAM_CAPTURE_MODE_GLOBAL);
}

void check_whole(const Capture& capture) { require(!capture.broken, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED); }

}  // namespace

std::shared_ptr<GraphNode> add_node(const std::shared_ptr<Graph>& graph, Operation operation,
                                    std::vector<std::shared_ptr<GraphNode>> after) {
  auto node = std::make_shared<GraphNode>();
  node->operation = std::move(operation);
  node->graph = graph;
  node->after = std::move(after);
  node->handle = driver().graph_nodes.add(node);
  graph->nodes.push_back(node);
  return node;
}

Done submit(Context& context, Stream& stream, Operation operation) {
  {
    const std::scoped_lock lock(captures_mutex());
    if (stream.capture != nullptr) {
      check_whole(*stream.capture);
      auto& tips = stream.capture->tips[&stream];
      tips = {add_node(stream.capture->graph, std::move(operation), tips)};
      return nullptr;
    }
    check_legacy(stream);
  }
  return context.enqueue(stream, std::move(operation.work));
}

bool captured(Stream& stream) {
  const std::scoped_lock lock(captures_mutex());
  return stream.capture != nullptr;
}

void refuse_while_captured(Stream& stream) {
  const std::scoped_lock lock(captures_mutex());
  if (stream.capture != nullptr) {
    stream.capture->broken = true;
    fail(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the stream is captured");
  }
  check_legacy(stream);
}

void leave_captures(Context& context, const Stream* only) {
  const std::scoped_lock lock(captures_mutex());
  std::erase_if(captures(), [&](const std::shared_ptr<Capture>& capture) {
    std::erase_if(capture->tips, [&](const auto& entry) {
      Stream& stream = *entry.first;
      const bool goes = only != nullptr ? &stream == only : &stream.context == &context;
      if (goes) {
        stream.capture = nullptr;
        capture->broken = true;
      }
      return goes;
    });
    const bool ends = !capture->tips.contains(capture->origin);
    for (const auto& [other, tips] : capture->tips) {
      other->capture = ends ? nullptr : other->capture;
    }
    return ends;
  });
}

void refuse_in_capture(Context& context) {
  const std::scoped_lock lock(captures_mutex());
  for (const auto& capture : captures()) {
    if (&capture->origin->context == &context && forbids(*capture)) {
      capture->broken = true;
      fail(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a stream of the context is captured");
    }
  }
}

bool record_in_capture(Stream& stream, Event& event) {
  const std::scoped_lock lock(captures_mutex(), event.mutex);
  event.capture = stream.capture;
  event.captured_after.clear();
  if (stream.capture == nullptr) {
    check_legacy(stream);
    return false;
  }
  check_whole(*stream.capture);
  event.captured_after = stream.capture->tips[&stream];
  return true;
}

bool join_capture(const std::shared_ptr<Stream>& stream, Event& event) {
  const std::scoped_lock lock(captures_mutex(), event.mutex);
  if (event.capture == nullptr) {
    require(stream->capture == nullptr, CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "an event from outside the capture");
    return false;
  }
  check_whole(*event.capture);
  require(stream->capture == nullptr || stream->capture == event.capture, CUDA_ERROR_STREAM_CAPTURE_MERGE);
  stream->capture = event.capture;
  auto& tips = stream->capture->tips[&*stream];
  for (const auto& node : event.captured_after) {
    if (std::ranges::find(tips, node) == tips.end()) {
      tips.push_back(node);
    }
  }
  return true;
}

}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

namespace {

CUresult begin_capture(const char* name, CUstream handle, CUstreamCaptureMode mode, CUgraph into,
                       const CUgraphNode* after, std::size_t count) {
  return in_context(name, [&](Context& context) {
    const auto stream = context.stream(handle);
    require(stream->kind != Stream::Kind::legacy, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the legacy stream");
    require(mode <= CU_STREAM_CAPTURE_MODE_RELAXED, CUDA_ERROR_INVALID_VALUE);
    const std::scoped_lock lock(captures_mutex());
    require(stream->capture == nullptr, CUDA_ERROR_ILLEGAL_STATE, "captured already");
    static unsigned long long last_id = 0;
    auto capture = std::make_shared<Capture>();
    capture->graph = into != nullptr ? driver().graphs.get(into, CUDA_ERROR_INVALID_VALUE) : std::make_shared<Graph>();
    capture->mode = mode;
    capture->thread = std::this_thread::get_id();
    capture->origin = &*stream;
    capture->id = ++last_id;
    auto& tips = capture->tips[&*stream];
    for (std::size_t i = 0; i < count; ++i) {
      tips.push_back(driver().graph_nodes.get(after[i], CUDA_ERROR_INVALID_VALUE));
    }
    stream->capture = capture;
    captures().insert(std::move(capture));
  });
}

}  // namespace

CUresult cuStreamBeginCapture(CUstream handle, CUstreamCaptureMode mode) {
  return begin_capture(__func__, handle, mode, nullptr, nullptr, 0);
}

CUresult cuStreamBeginCaptureToGraph(CUstream handle, CUgraph graph, const CUgraphNode* nodes,
                                     const CUgraphEdgeData* /*edges*/, size_t count, CUstreamCaptureMode mode) {
  return graph == nullptr ? CUDA_ERROR_INVALID_VALUE : begin_capture(__func__, handle, mode, graph, nodes, count);
}

CUresult cuStreamUpdateCaptureDependencies(CUstream handle, CUgraphNode* nodes, const CUgraphEdgeData* /*edges*/,
                                           size_t count, unsigned flags) {
  return in_context(__func__, [&](Context& context) {
    const auto stream = context.stream(handle);
    const std::scoped_lock lock(captures_mutex());
    require(stream->capture != nullptr, CUDA_ERROR_ILLEGAL_STATE, "not captured");
    auto& tips = stream->capture->tips[&*stream];
    if (flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES) {
      tips.clear();
    }
    for (std::size_t i = 0; i < count; ++i) {
      tips.push_back(driver().graph_nodes.get(nodes[i], CUDA_ERROR_INVALID_VALUE));
    }
  });
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph* graph) {
  return in_context(__func__, [&](Context& context) {
    if (graph != nullptr) {
      *graph = nullptr;
    }
    const auto stream = context.stream(handle);
    const std::scoped_lock lock(captures_mutex());
    const auto capture = stream->capture;
    require(capture != nullptr, CUDA_ERROR_ILLEGAL_STATE, "not captured");
    require(capture->origin == &*stream, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    require(capture->mode == CU_STREAM_CAPTURE_MODE_RELAXED || capture->thread == std::this_thread::get_id(),
            CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
    std::set<GraphNode*> joined;
    for (auto pending = capture->tips[&*stream]; !pending.empty();) {
      const auto node = pending.back();
      pending.pop_back();
      if (joined.insert(&*node).second) {
        pending.insert(pending.end(), node->after.begin(), node->after.end());
      }
    }
    bool unjoined = false;
    for (const auto& [other, tips] : capture->tips) {
      other->capture = nullptr;
      unjoined |= !std::ranges::all_of(tips, [&](const auto& node) { return joined.contains(&*node); });
    }
    captures().erase(capture);
    check_whole(*capture);
    require(!unjoined, CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
    if (capture->graph->handle == nullptr) {
      capture->graph->handle = driver().graphs.add(capture->graph);
    }
    if (graph != nullptr) {  // who gave the graph to record into needs no answer
      *graph = capture->graph->handle;
    }
  });
}

CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus* status) {
  return in_context(__func__, [&](Context& context) {
    const auto stream = context.stream(handle);
    const std::scoped_lock lock(captures_mutex());
    check_legacy(*stream);
    out(status) = stream->capture == nullptr ? CU_STREAM_CAPTURE_STATUS_NONE
                  : stream->capture->broken  ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                             : CU_STREAM_CAPTURE_STATUS_ACTIVE;
  });
}

CUresult cuStreamGetCaptureInfo(CUstream handle, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph,
                                const CUgraphNode** nodes, const CUgraphEdgeData** edges, size_t* count) {
  return in_context(__func__, [&](Context& context) {
    const auto stream = context.stream(handle);
    const std::scoped_lock lock(captures_mutex());
    check_legacy(*stream);
    const auto capture = stream->capture;
    out(status) = capture == nullptr ? CU_STREAM_CAPTURE_STATUS_NONE
                  : capture->broken  ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                     : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    if (capture == nullptr || capture->broken) {
      return;
    }
    if (id != nullptr) {
      *id = capture->id;
    }
    if (graph != nullptr) {
      if (capture->graph->handle == nullptr) {
        capture->graph->handle = driver().graphs.add(capture->graph);
      }
      *graph = capture->graph->handle;
    }
    thread_local std::vector<CUgraphNode> mine;  // valid until the stream's next call, says the documentation
    mine.clear();
    for (const auto& node : capture->tips[&*stream]) {
      mine.push_back(node->handle);
    }
    if (nodes != nullptr) {
      *nodes = mine.data();
    }
    if (edges != nullptr) {
      *edges = nullptr;
    }
    if (count != nullptr) {
      *count = mine.size();
    }
  });
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  return initialised(__func__, [&] {
    require(out(mode) <= CU_STREAM_CAPTURE_MODE_RELAXED, CUDA_ERROR_INVALID_VALUE);
    std::swap(*mode, thread_mode);
  });
}
