// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <map>
#include <memory>
#include <thread>
#include <variant>
#include <vector>

#include "test/cuda/standin/stream.hpp"

namespace isthmus::standin {

class Context;
struct Event;
struct Graph;

/// One thing that a stream does, such that it can be done again.
struct Operation {
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
  Work work;
  /// As they were given, for those who ask a node for them.
  std::variant<std::monostate, CUDA_MEMCPY3D, CUDA_MEMSET_NODE_PARAMS, CUDA_HOST_NODE_PARAMS, CUDA_KERNEL_NODE_PARAMS>
      parameters{};  // NOLINT(readability-redundant-member-init): GCC warns of initializers that leave it out
};

struct GraphNode {
  Operation operation;
  std::weak_ptr<Graph> graph;
  std::vector<std::shared_ptr<GraphNode>> after;
  CUgraphNode handle = nullptr;
};

struct Graph {
  CUgraph handle = nullptr;
  std::vector<std::shared_ptr<GraphNode>> nodes;  ///< each behind all that it depends on
};

/// A graph as it was when it was instantiated.
struct GraphExec {
  Context* context = nullptr;
  std::vector<std::pair<CUgraphNode, Operation>> steps;
};

/// What streams record into a graph instead of doing it.
struct Capture {
  std::shared_ptr<Graph> graph;
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  std::thread::id thread;
  Stream* origin = nullptr;
  unsigned long long id = 0;
  bool broken = false;
  /// What the next operation of each stream comes after.
  std::map<Stream*, std::vector<std::shared_ptr<GraphNode>>> tips;
};

/// Does it, or records it. Null where it was recorded.
Done submit(Context& context, Stream& stream, Operation operation);

[[nodiscard]] bool captured(Stream& stream);
/// Fails, and spoils the capture, where the stream is captured: for what cannot be recorded.
void refuse_while_captured(Stream& stream);
/// Fails where a stream of the context is captured.
void refuse_in_capture(Context& context);
/// Whether the record was one of a capture.
bool record_in_capture(Stream& stream, Event& event);
/// Whether the event was recorded in a capture, of which the stream then is a part.
bool join_capture(const std::shared_ptr<Stream>& stream, Event& event);

std::shared_ptr<GraphNode> add_node(const std::shared_ptr<Graph>& graph, Operation operation,
                                    std::vector<std::shared_ptr<GraphNode>> after);

}  // namespace isthmus::standin
