// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <atomic>
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

/// What a conditional node looks at.
struct Condition {
  Condition(unsigned initial, bool assign) : value(initial), start(initial), assigned(assign) {}
  std::atomic<unsigned> value;
  const unsigned start;
  const bool assigned;  ///< to `start`, whenever the graph is launched
};
/// As cudaGraphSetConditional in a kernel.
void set_condition(CUgraphConditionalHandle handle, unsigned value);

/// Something of the program's, which is told when nothing needs it any more.
struct UserObject {
  UserObject(void* of, CUhostFn with) : pointer(of), destroy(with) {}
  UserObject(const UserObject&) = delete;
  UserObject& operator=(const UserObject&) = delete;
  ~UserObject();
  void* const pointer;
  const CUhostFn destroy;
};
using UserObjects = std::vector<std::shared_ptr<UserObject>>;

/// A node that chooses among graphs.
struct Choice {
  CUgraphConditionalNodeType type = CU_GRAPH_COND_TYPE_IF;
  std::shared_ptr<Condition> condition;
  std::vector<std::shared_ptr<Graph>> bodies;
  std::vector<CUgraph> handles;
};

struct GraphNode {
  Operation operation;
  std::shared_ptr<Choice> choice;       ///< null for any other
  std::shared_ptr<GraphNode> original;  ///< of a clone's
  std::weak_ptr<Graph> graph;
  std::vector<std::shared_ptr<GraphNode>> after;
  CUgraphNode handle = nullptr;
};

struct Graph {
  CUgraph handle = nullptr;
  std::vector<std::shared_ptr<GraphNode>> nodes;  ///< each behind all that it depends on
  std::vector<std::shared_ptr<Condition>> conditions;
  UserObjects objects;
};

/// A graph as it was when it was instantiated.
struct GraphExec {
  Context* context = nullptr;
  std::vector<std::pair<CUgraphNode, Operation>> steps;
  std::vector<std::shared_ptr<Condition>> conditions;
  UserObjects objects;
  std::map<CUgraphNode, bool> disabled;
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
/// What is captured from streams of this context, or from that stream of it alone, is spoilt: they go.
void leave_captures(Context& context, const Stream* only = nullptr);
/// Fails where a stream of the context is captured.
void refuse_in_capture(Context& context);
/// Whether the record was one of a capture.
bool record_in_capture(Stream& stream, Event& event);
/// Whether the event was recorded in a capture, of which the stream then is a part.
bool join_capture(const std::shared_ptr<Stream>& stream, Event& event);

std::shared_ptr<GraphNode> add_node(const std::shared_ptr<Graph>& graph, Operation operation,
                                    std::vector<std::shared_ptr<GraphNode>> after);

}  // namespace isthmus::standin
