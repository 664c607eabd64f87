// SPDX-License-Identifier: Apache-2.0

// Capture, and graphs as a whole. What nodes do: graph_nodes.cpp.

#include <algorithm>
#include <bit>
#include <tuple>
#include <utility>

#include "src/gpu/cuda/backend.hpp"
#include "src/gpu/cuda/boxes.hpp"
#include "src/gpu/cuda/host_functions.hpp"
#include "src/gpu/cuda/trailing.hpp"

namespace isthmus::cuda {

CUresult LaneBackend::check_capture(CUstream stream, CUresult refusal) const {
  if (!captures_.any()) {
    return CUDA_SUCCESS;
  }
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  const CUresult code = driver_->cuStreamIsCapturing(stream, &status);
  return code != CUDA_SUCCESS ? code : status == CU_STREAM_CAPTURE_STATUS_NONE ? CUDA_SUCCESS : refusal;
}

// ---- names of nodes ------------------------------------------------------------------------------------------------

std::optional<NodeChain> LaneBackend::chain_of(CUgraphNode node) {
  const std::scoped_lock lock(chains_.mutex);
  const auto found = chains_.chains.find(node);
  return found != chains_.chains.end() ? std::optional(found->second) : std::nullopt;
}

void LaneBackend::keep_chain(CUgraphNode seen, NodeChain chain) {
  if (chain.all.size() < 2) {
    return;
  }
  chain.first = chain.all.front();
  chain.last = chain.all.back();
  const std::scoped_lock lock(chains_.mutex);
  for (CUgraphNode node : chain.all) {
    if (node != seen) {
      chains_.seen[node] = seen;
    }
  }
  chains_.chains[seen] = std::move(chain);
}

CUresult LaneBackend::CopyPieces::note(CUresult enqueued) {
  if (enqueued != CUDA_SUCCESS || !backend_->captures_.any()) {
    return enqueued;
  }
  if (const auto now = backend_->captured_at(stream_);
      now && now->status == CU_STREAM_CAPTURE_STATUS_ACTIVE && now->nodes.size() == 1) {
    chain_.graph = now->graph;
    chain_.all.push_back(now->nodes.front());
  }
  return enqueued;
}

void LaneBackend::CopyPieces::end() {
  if (!chain_.all.empty()) {
    CUgraphNode seen = chain_.all.front();
    backend_->keep_chain(seen, std::move(chain_));
  }
}

void LaneBackend::forget_node(CUgraphNode node) {
  const std::scoped_lock lock(chains_.mutex);
  chains_.chains.erase(node);
  chains_.seen.erase(node);
  chains_.names.erase(node);
}

void LaneBackend::forget_chains(CUgraph graph) {
  const std::scoped_lock lock(chains_.mutex);
  std::erase_if(chains_.conditions, [graph](const auto& entry) { return entry.second == graph; });
  std::erase_if(chains_.chains, [&](const auto& entry) {
    const NodeChain& chain = entry.second;
    const bool gone = chain.graph == graph;
    if (gone) {
      std::ranges::for_each(chain.all, [this](CUgraphNode node) { chains_.seen.erase(node); });
    }
    return gone;
  });
}

Id LaneBackend::name_node(const std::shared_ptr<GraphObject>& graph, CUgraphNode node, Id fresh) {
  const std::scoped_lock lock(chains_.mutex);
  if (const auto found = chains_.names.find(node); found != chains_.names.end()) {
    return found->second;
  }
  auto object = std::make_shared<NodeObject>();
  object->graph = graph;
  object->handle = node;
  if (!nodes_.add(fresh, std::move(object))) {
    return 0;
  }
  chains_.names.emplace(node, fresh);
  return fresh;
}

std::optional<std::vector<CUgraphNode>> LaneBackend::take_nodes(std::span<const std::byte>& trailing,
                                                                std::uint32_t count, const GraphObject& graph,
                                                                bool as_earlier) {
  std::vector<CUgraphNode> nodes;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto name = take_request<Id>(trailing);
    const auto node = nodes_.find(name.value_or(0));
    if (node == nullptr || &*node->graph != &graph) {
      return std::nullopt;
    }
    const auto chain = chain_of(node->handle);
    nodes.push_back(!chain ? node->handle : as_earlier ? chain->last : chain->first);
  }
  return nodes;
}

std::vector<CUgraphNode> LaneBackend::seen_nodes(std::span<const CUgraphNode> nodes) {
  std::vector<CUgraphNode> seen;
  const std::scoped_lock lock(chains_.mutex);
  for (CUgraphNode node : nodes) {
    const auto found = chains_.seen.find(node);
    CUgraphNode it = found != chains_.seen.end() ? found->second : node;
    if (std::ranges::find(seen, it) == seen.end()) {
      seen.push_back(it);
    }
  }
  return seen;
}

std::optional<std::span<const std::byte>> LaneBackend::name_nodes(const std::shared_ptr<GraphObject>& graph,
                                                                  std::span<const CUgraphNode> nodes,
                                                                  std::span<const std::byte> fresh) {
  thread_local std::vector<Id> names;  // valid until the reply is written
  names.clear();
  auto next = take_request<Id>(fresh);
  for (CUgraphNode node : nodes) {
    if (!next) {
      break;
    }
    const Id name = name_node(graph, node, *next);
    if (name == 0) {
      return std::nullopt;
    }
    next = name == *next ? take_request<Id>(fresh) : next;
    names.push_back(name);
  }
  return std::as_bytes(std::span(names));
}

// ---- capture -------------------------------------------------------------------------------------------------------

std::shared_ptr<GraphObject> LaneBackend::graph_of(CUgraph handle, Id fresh) {
  std::shared_ptr<GraphObject> found;
  graphs_.each([&](const GraphObject& graph) {
    if (graph.handle == handle) {
      fresh = graph.id;
    }
  });
  if (found = graphs_.find(fresh); found == nullptr) {
    found = std::make_shared<GraphObject>();
    found->id = fresh;
    found->handle = handle;
    return graphs_.add(fresh, found) ? found : nullptr;
  }
  return found->handle == handle ? found : nullptr;
}

void LaneBackend::forget_graph(const std::shared_ptr<GraphObject>& graph) {
  std::vector<CUgraphNode> named;
  nodes_.remove_if([&](const NodeObject& node) {
    if (node.graph == graph) {
      named.push_back(node.handle);
    }
    return node.graph == graph;
  });
  forget_chains(graph->handle);
  for (CUgraphNode node : named) {
    forget_node(node);
  }
  forget_bodies(graph, nullptr);
}

void LaneBackend::forget_bodies(const std::shared_ptr<GraphObject>& graph, CUgraphNode node) {
  std::vector<Id> bodies;
  graphs_.each([&](const GraphObject& other) {
    if (other.whole == graph && (node == nullptr || other.node == node)) {
      bodies.push_back(other.id);
    }
  });
  for (const Id body : bodies) {
    if (const auto gone = graphs_.take(body)) {
      forget_graph(gone);
    }
  }
}

// The driver may refuse, as in graphs that allocate: then all stays as it is.
CUresult LaneBackend::destroy_node(Id id) {
  const auto node = nodes_.find(id);
  if (node == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  const auto chain = chain_of(node->handle);
  for (CUgraphNode part : chain ? chain->all : std::vector{node->handle}) {
    if (const CUresult code = driver_->cuGraphDestroyNode(part); code != CUDA_SUCCESS) {
      return code;
    }
  }
  nodes_.take(id);
  for (CUgraphNode part : chain ? chain->all : std::vector{node->handle}) {
    forget_node(part);
  }
  forget_bodies(node->graph, node->handle);
  return CUDA_SUCCESS;
}

Answer<Nothing> LaneBackend::handle(const BeginCapture::Request& request, marshal::Call& call) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  if (request.mode > CU_STREAM_CAPTURE_MODE_RELAXED) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  const auto mode = static_cast<CUstreamCaptureMode>(request.mode);
  const auto graph = request.graph != 0 ? graphs_.find(request.graph) : nullptr;
  if (request.graph != 0 && graph == nullptr) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  auto trailing = call.trailing();
  const auto after = graph != nullptr ? take_nodes(trailing, request.nodes, *graph, true) : std::vector<CUgraphNode>();
  if (!after) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  const bool is_new = captures_.begin(request.place);  // before it is so: others must not do what would spoil it
  const CUresult code = graph != nullptr
                            ? driver_->cuStreamBeginCaptureToGraph(place->stream, graph->handle, after->data(), nullptr,
                                                                   after->size(), mode)
                            : driver_->cuStreamBeginCapture(place->stream, mode);
  if (code != CUDA_SUCCESS) {
    if (is_new) {
      captures_.end(request.place);
    }
    return refuse(code);
  }
  // By its graph it is known when it fails, and the driver has destroyed that; the client's own graph stays.
  if (const auto captured = captured_at(place->stream); captured && graph == nullptr) {
    captures_.name(request.place, std::bit_cast<std::uint64_t>(captured->graph));
  }
  return Nothing{};
}

Answer<EndCapture::Reply> LaneBackend::handle(const EndCapture::Request& request, marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  CUgraph made = nullptr;
  const CUresult code = driver_->cuStreamEndCapture(place->stream, &made);
  const bool goes_on = code == CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD || code == CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
  if (goes_on) {
    return refuse(code);
  }
  const auto begun = captures_.end(request.place);
  if (code != CUDA_SUCCESS || made == nullptr) {
    forget_capture(std::bit_cast<CUgraph>(begun.value_or(0)));
    return refuse(code != CUDA_SUCCESS ? code : CUDA_ERROR_UNKNOWN);
  }
  const auto graph = graph_of(made, request.graph);
  if (graph == nullptr) {
    std::ignore = driver_->cuGraphDestroy(made);
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  graph->captured.store(false);
  return EndCapture::Reply{.graph = graph->id};
}

// The driver has destroyed the graph of a capture that failed.
void LaneBackend::forget_capture(CUgraph handle) {
  if (handle == nullptr) {
    return;
  }
  forget_chains(handle);
  Id gone = 0;
  graphs_.each([&](const GraphObject& graph) { gone = graph.handle == handle ? graph.id : gone; });
  if (const auto graph = graphs_.take(gone)) {
    forget_graph(graph);
  }
}

Answer<LaneBackend::Captured> LaneBackend::captured_at(CUstream stream) const {
  Captured captured;
  const CUgraphNode* nodes = nullptr;
  const CUgraphEdgeData* edges = nullptr;
  std::size_t count = 0;
  cuuint64_t number = 0;
  const CUresult code =
      driver_->cuStreamGetCaptureInfo(stream, &captured.status, &number, &captured.graph, &nodes, &edges, &count);
  if (code != CUDA_SUCCESS) {
    return refuse(code);
  }
  captured.number = number;
  if (captured.status == CU_STREAM_CAPTURE_STATUS_ACTIVE) {
    captured.nodes.assign(nodes, nodes + count);
  }
  return captured;
}

Answer<CaptureInfo::Reply> LaneBackend::handle(const CaptureInfo::Request& request, marshal::Call& call) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  const auto captured = captured_at(place->stream);
  if (!captured) {
    return std::unexpected(captured.error());
  }
  CaptureInfo::Reply reply{.status = captured->status};
  if (captured->status != CU_STREAM_CAPTURE_STATUS_ACTIVE) {
    return reply;
  }
  reply.number = captured->number;
  bool is_known = false;
  graphs_.each([&](const GraphObject& graph) { is_known = is_known || graph.handle == captured->graph; });
  const auto graph = graph_of(captured->graph, request.graph);
  if (graph == nullptr || request.names > most_nodes || call.trailing().size() < request.names * sizeof(Id)) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  if (!is_known) {
    graph->captured.store(true);
  }
  const auto nodes = seen_nodes(captured->nodes);
  const auto names = name_nodes(graph, nodes, call.trailing());
  if (!names || nodes.size() > request.names) {
    return refuse(names ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_HANDLE);
  }
  reply.graph = graph->id;
  reply.nodes = static_cast<std::uint32_t>(nodes.size());
  call.reply_trailing(*names);
  return reply;
}

Answer<Nothing> LaneBackend::handle(const SetCaptureNodes::Request& request, marshal::Call& call) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  const auto captured = captured_at(place->stream);
  if (!captured) {
    return std::unexpected(captured.error());
  }
  if (captured->status != CU_STREAM_CAPTURE_STATUS_ACTIVE || request.flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES) {
    return refuse(request.flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES ? CUDA_ERROR_INVALID_VALUE
                                                                     : CUDA_ERROR_ILLEGAL_STATE);
  }
  const auto graph = graph_of(captured->graph, 0);  // without a name it has no nodes with names
  auto trailing = call.trailing();
  auto nodes = graph != nullptr ? take_nodes(trailing, request.nodes, *graph, true) : std::nullopt;
  return nodes ? answer(driver_->cuStreamUpdateCaptureDependencies(place->stream, nodes->data(), nullptr, nodes->size(),
                                                                   request.flags))
               : refuse(CUDA_ERROR_INVALID_VALUE);
}

Answer<Nothing> LaneBackend::handle(const CaptureCopy::Request& request, marshal::Call& call) {
  auto trailing = call.trailing();
  const auto box = take_request<CopyBox::Request>(trailing);
  const auto place = box ? enter(box->place) : Answer<Entered>(refuse(CUDA_ERROR_INVALID_VALUE));
  if (!place) {
    return std::unexpected(place.error());
  }
  const auto at =
      box->width != 0 && box->height != 0 && box->depth != 0 ? locate(*box, call, place->context) : std::nullopt;
  if (!at || request.token == 0 || call.upcalls() == nullptr) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  const auto before = captured_at(place->stream);
  if (!before || before->status != CU_STREAM_CAPTURE_STATUS_ACTIVE) {
    return before ? refuse(CUDA_ERROR_ILLEGAL_STATE) : std::unexpected(before.error());
  }
  auto function = std::make_unique<RepeatedFunction>(call.upcalls(), request.token);
  const CUDA_HOST_NODE_PARAMS run = function->node();
  NodeChain chain{.graph = before->graph, .after = request.after != 0, .all = {}};
  CUresult code = CUDA_SUCCESS;
  // Each piece of work becomes the one node that the next comes after.
  const auto add = [&](auto enqueue) {
    code = code == CUDA_SUCCESS ? enqueue() : code;
    const auto now = code == CUDA_SUCCESS ? captured_at(place->stream) : Answer<Captured>(refuse(code));
    if (!now || now->nodes.size() != 1) {
      // Another thread changes the capture meanwhile, which is not allowed.
      code = code == CUDA_SUCCESS ? CUDA_ERROR_ILLEGAL_STATE : code;
      return CUgraphNode{nullptr};
    }
    chain.all.push_back(now->nodes.front());
    return now->nodes.front();
  };
  bool has_function = false;  // also where its node cannot be told
  const auto add_function = [&] {
    chain.function = add([&] {
      const CUresult launched = driver_->cuLaunchHostFunc(place->stream, run.fn, run.userData);
      has_function = launched == CUDA_SUCCESS;
      return launched;
    });
  };
  if (!chain.after) {
    add_function();
  }
  CUgraphNode seen = nullptr;
  std::ignore = each_piece(*box, *at, [&](const BoxPart& part) {
    const CUDA_MEMCPY3D copy = describe(*box, at->from, at->to, part);
    CUgraphNode made = add([&] { return driver_->cuMemcpy3DAsync(&copy, place->stream); });
    seen = seen == nullptr ? made : seen;
    return code == CUDA_SUCCESS;
  });
  if (chain.after) {
    add_function();
  }
  if (has_function) {
    RepeatedFunction::give_to(*driver_, before->graph, std::move(function));
  }
  if (code == CUDA_SUCCESS) {
    keep_chain(seen, std::move(chain));
  }
  return answer(code);
}

// ---- graphs --------------------------------------------------------------------------------------------------------

Answer<Nothing> LaneBackend::keep_graph(Id id, CUgraph made) {
  auto object = std::make_shared<GraphObject>();
  object->id = id;
  object->handle = made;
  if (!graphs_.add(id, std::move(object))) {
    std::ignore = driver_->cuGraphDestroy(made);
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  return Nothing{};
}

Answer<Nothing> LaneBackend::handle(const CreateGraph::Request& request, marshal::Call& /*call*/) {
  CUgraph made = nullptr;
  const CUresult code = driver_->cuGraphCreate(&made, 0);
  return code == CUDA_SUCCESS ? keep_graph(request.id, made) : refuse(code);
}

Answer<Nothing> LaneBackend::handle(const CloneGraph::Request& request, marshal::Call& /*call*/) {
  const auto graph = graphs_.find(request.graph);
  if (graph == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  const auto nodes =
      nodes_of([&](CUgraphNode* to, std::size_t* count) { return driver_->cuGraphGetNodes(graph->handle, to, count); });
  CUgraph made = nullptr;
  CUresult code = nodes ? driver_->cuGraphClone(&made, graph->handle) : static_cast<CUresult>(nodes.error());
  if (code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const auto twin_of = [&](CUgraphNode node) {
    CUgraphNode twin = nullptr;
    code = code == CUDA_SUCCESS && node != nullptr ? driver_->cuGraphNodeFindInClone(&twin, node, made) : code;
    return twin;
  };
  for (CUgraphNode node : *nodes) {
    if (const auto chain = chain_of(node)) {
      NodeChain copy{.graph = made, .function = twin_of(chain->function), .after = chain->after, .all = {}};
      std::ranges::transform(chain->all, std::back_inserter(copy.all), twin_of);
      if (CUgraphNode seen = twin_of(node); code == CUDA_SUCCESS) {
        keep_chain(seen, std::move(copy));
      }
    }
  }
  if (code != CUDA_SUCCESS) {
    std::ignore = driver_->cuGraphDestroy(made);
    return refuse(code);
  }
  return keep_graph(request.id, made);
}

Answer<FindInClone::Reply> LaneBackend::handle(const FindInClone::Request& request, marshal::Call& /*call*/) {
  const auto node = nodes_.find(request.node);
  const auto clone = graphs_.find(request.clone);
  if (node == nullptr || clone == nullptr) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  CUgraphNode twin = nullptr;
  if (const CUresult code = driver_->cuGraphNodeFindInClone(&twin, node->handle, clone->handle); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const Id name = name_node(clone, twin, request.id);
  return name != 0 ? Answer<FindInClone::Reply>({.node = name}) : refuse(CUDA_ERROR_INVALID_HANDLE);
}

Answer<std::vector<CUgraphNode>> LaneBackend::nodes_of(
    const std::function<CUresult(CUgraphNode*, std::size_t*)>& list) {
  std::size_t count = 0;
  CUresult code = list(nullptr, &count);
  std::vector<CUgraphNode> nodes(code == CUDA_SUCCESS ? count : 0);
  if (code == CUDA_SUCCESS && count != 0) {
    code = list(nodes.data(), &count);
    nodes.resize(std::min(nodes.size(), count));
  }
  return code == CUDA_SUCCESS ? Answer<std::vector<CUgraphNode>>(std::move(nodes)) : refuse(code);
}

Answer<ListNodes::Reply> LaneBackend::handle(const ListNodes::Request& request, marshal::Call& call) {
  const bool of_node = request.relation == NodeRelation::before || request.relation == NodeRelation::after;
  const auto node = of_node ? nodes_.find(request.object) : nullptr;
  const auto graph = node != nullptr ? node->graph : of_node ? nullptr : graphs_.find(request.object);
  if (graph == nullptr || request.relation > NodeRelation::after) {
    return refuse(graph == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_INVALID_VALUE);
  }
  if (request.names > most_nodes || call.trailing().size() < request.names * sizeof(Id)) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  const auto chain = node != nullptr ? chain_of(node->handle) : std::nullopt;
  const auto all = nodes_of([&](CUgraphNode* to, std::size_t* count) {
    switch (request.relation) {
      case NodeRelation::roots:
        return driver_->cuGraphGetRootNodes(graph->handle, to, count);
      case NodeRelation::before:
        return driver_->cuGraphNodeGetDependencies(chain ? chain->first : node->handle, to, nullptr, count);
      case NodeRelation::after:
        return driver_->cuGraphNodeGetDependentNodes(chain ? chain->last : node->handle, to, nullptr, count);
      default:
        return driver_->cuGraphGetNodes(graph->handle, to, count);
    }
  });
  if (!all) {
    return std::unexpected(all.error());
  }
  const auto nodes = seen_nodes(*all);
  const auto names = name_nodes(graph, nodes, call.trailing());
  if (!names) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  call.reply_trailing(*names);
  return ListNodes::Reply{.nodes = nodes.size()};
}

Answer<Nothing> LaneBackend::handle(const ChangeEdges::Request& request, marshal::Call& call) {
  const auto graph = graphs_.find(request.graph);
  if (graph == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  auto trailing = call.trailing();
  std::vector<CUgraphNode> from;
  std::vector<CUgraphNode> to;
  for (std::uint32_t i = 0; i < request.edges; ++i) {
    const auto first = take_nodes(trailing, 1, *graph, true);
    const auto second = first ? take_nodes(trailing, 1, *graph, false) : std::nullopt;
    if (!second) {
      return refuse(CUDA_ERROR_INVALID_VALUE);
    }
    from.push_back(first->front());
    to.push_back(second->front());
  }
  return answer((request.remove != 0 ? driver_->cuGraphRemoveDependencies : driver_->cuGraphAddDependencies)(
      graph->handle, from.data(), to.data(), nullptr, from.size()));
}

Answer<CreateCondition::Reply> LaneBackend::handle(const CreateCondition::Request& request, marshal::Call& /*call*/) {
  const auto graph = graphs_.find(request.graph);
  const auto context = contexts_.find(request.context);
  if (graph == nullptr || context == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  CUgraphConditionalHandle made = 0;
  const CUresult code =
      driver_->cuGraphConditionalHandleCreate(&made, graph->handle, context->handle, request.value, request.flags);
  if (code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const std::scoped_lock lock(chains_.mutex);
  chains_.conditions.emplace(made, graph->handle);
  return CreateCondition::Reply{.handle = made};
}

Answer<Nothing> LaneBackend::handle(const Instantiate::Request& request, marshal::Call& /*call*/) {
  const auto graph = graphs_.find(request.graph);
  if (graph == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  auto object = std::make_shared<ExecutableObject>();
  object->context = contexts_.find(request.context);
  if (const CUresult code = driver_->cuGraphInstantiate(&object->handle, graph->handle, request.flags);
      code != CUDA_SUCCESS) {
    return refuse(code);
  }
  CUgraphExec made = object->handle;
  if (!executables_.add(request.id, std::move(object))) {
    std::ignore = driver_->cuGraphExecDestroy(made);
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  return Nothing{};
}

Answer<Nothing> LaneBackend::handle(const LaunchGraph::Request& request, marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  const auto executable = executables_.find(request.executable);
  if (executable == nullptr || !lives(executable->context)) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  {
    const std::scoped_lock lock(replaced_mutex_);
    executable->runs.add(request.place);
  }
  return answer(driver_->cuGraphLaunch(executable->handle, place->stream));
}

Answer<UpdateExecutable::Reply> LaneBackend::handle(const UpdateExecutable::Request& request, marshal::Call& /*call*/) {
  const auto executable = executables_.find(request.executable);
  const auto graph = graphs_.find(request.graph);
  if (executable == nullptr || !lives(executable->context) || graph == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  CUgraphExecUpdateResultInfo info{};
  const CUresult code = driver_->cuGraphExecUpdate(executable->handle, graph->handle, &info);
  return UpdateExecutable::Reply{.status = code, .result = info.result};
}

}  // namespace isthmus::cuda
