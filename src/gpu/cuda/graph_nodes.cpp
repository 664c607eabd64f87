// SPDX-License-Identifier: Apache-2.0

// What nodes of graphs do: adding them, and changing them.

#include <algorithm>
#include <cstring>
#include <iterator>
#include <tuple>
#include <utility>

#include "src/gpu/cuda/backend.hpp"
#include "src/gpu/cuda/boxes.hpp"
#include "src/gpu/cuda/host_functions.hpp"
#include "src/gpu/cuda/trailing.hpp"

namespace isthmus::cuda {
namespace {

// How many pieces a copy may be of in a graph; each is a node.
constexpr std::size_t most_pieces = 4096;

}  // namespace

std::optional<CUDA_KERNEL_NODE_PARAMS> LaneBackend::read_kernel(std::span<const std::byte> what,
                                                                const ContextObject& context, CUresult& code) const {
  const auto launch = take_request<Launch::Request>(what);
  const auto function = launch ? find_function(launch->function) : nullptr;
  if (function == nullptr || launch->attributes != 0 || launch->cooperative != 0) {
    code = function == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_NOT_SUPPORTED;
    return std::nullopt;
  }
  const auto parameters = parameters_of(*function, what);
  if (!parameters) {
    code = CUDA_ERROR_INVALID_VALUE;
    return std::nullopt;
  }
  CUDA_KERNEL_NODE_PARAMS node{};
  node.func = function->function;
  node.kern = function->kernel;
  node.ctx = function->kernel != nullptr ? context.handle : nullptr;
  node.gridDimX = launch->grid[0];
  node.gridDimY = launch->grid[1];
  node.gridDimZ = launch->grid[2];
  node.blockDimX = launch->block[0];
  node.blockDimY = launch->block[1];
  node.blockDimZ = launch->block[2];
  node.sharedMemBytes = launch->shared;
  node.kernelParams = parameters->data();
  return node;
}

std::optional<std::vector<CUDA_MEMCPY3D>> LaneBackend::read_copy(std::span<const std::byte> what, marshal::Call& call,
                                                                 const ContextObject& context, CUresult& code) {
  const auto box = take_request<CopyBox::Request>(what);
  const auto at =
      box && box->width != 0 && box->height != 0 && box->depth != 0 ? locate(*box, call, context.handle) : std::nullopt;
  if (!at) {
    code = CUDA_ERROR_INVALID_VALUE;
    return std::nullopt;
  }
  std::vector<CUDA_MEMCPY3D> pieces;
  const bool all = each_piece(*box, *at, [&](const BoxPart& part) {
    pieces.push_back(describe(*box, at->from, at->to, part));
    return pieces.size() <= most_pieces;
  });
  if (!all) {
    code = CUDA_ERROR_NOT_SUPPORTED;
    return std::nullopt;
  }
  return pieces;
}

std::optional<CUDA_MEMSET_NODE_PARAMS> LaneBackend::read_fill(std::span<const std::byte> what) {
  const auto fill = take_request<Fill::Request>(what);
  const auto size = fill ? fill_bytes(*fill) : std::nullopt;
  if (!size || *size == 0 || !is_device_memory(fill->address, *size)) {
    return std::nullopt;
  }
  CUDA_MEMSET_NODE_PARAMS node{};
  node.dst = fill->address;
  node.pitch = fill->pitch;
  node.value = fill->value;
  node.elementSize = fill->element;
  node.width = fill->width;
  node.height = fill->height;
  return node;
}

CUresult LaneBackend::add_copy_node(const AddNode::Request& request, marshal::Call& call, CUgraph graph,
                                    std::span<const CUgraphNode> dependencies, std::span<const std::byte> what,
                                    const ContextObject& context, CUgraphNode& made) {
  CUresult code = CUDA_SUCCESS;
  const auto pieces = read_copy(what, call, context, code);
  if (!pieces) {
    return code;
  }
  std::unique_ptr<RepeatedFunction> function;
  if (request.token != 0) {
    function = std::make_unique<RepeatedFunction>(call.upcalls(), request.token);
  }
  NodeChain chain{.graph = graph, .after = request.after != 0, .all = {}};
  const auto add = [&](auto entry, const auto* node, auto... more) {
    CUgraphNode next = nullptr;
    const auto before = chain.all.empty() ? dependencies : std::span<const CUgraphNode>(&chain.all.back(), 1);
    code = code == CUDA_SUCCESS ? entry(&next, graph, before.data(), before.size(), node, more...) : code;
    if (code == CUDA_SUCCESS) {
      chain.all.push_back(next);
    }
    return next;
  };
  const auto add_function = [&] {
    const CUDA_HOST_NODE_PARAMS node = function->node();
    chain.function = add(driver_->cuGraphAddHostNode, &node);
  };
  if (function != nullptr && !chain.after) {
    add_function();
  }
  for (const CUDA_MEMCPY3D& piece : *pieces) {
    CUgraphNode copy = add(driver_->cuGraphAddMemcpyNode, &piece, context.handle);
    made = made == nullptr ? copy : made;
  }
  if (function != nullptr && chain.after) {
    add_function();
  }
  if (code != CUDA_SUCCESS) {
    for (CUgraphNode node : chain.all) {
      std::ignore = driver_->cuGraphDestroyNode(node);
    }
    return code;
  }
  keep_chain(made, std::move(chain));
  if (function != nullptr) {
    RepeatedFunction::give_to(*driver_, graph, std::move(function));
  }
  return CUDA_SUCCESS;
}

CUresult LaneBackend::add_allocation(CUgraph graph, std::span<const CUgraphNode> dependencies,
                                     std::span<const std::byte> what, const ContextObject& context, CUgraphNode& made,
                                     std::uint64_t& address) {
  const auto asked = take_request<AllocateNode>(what);
  if (!asked || asked->peers > most_peers || !device(static_cast<std::uint64_t>(asked->device))) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (account_.has_limit()) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  std::vector<CUmemAccessDesc> peers;
  for (std::uint32_t i = 0; i < asked->peers; ++i) {
    const auto row = take_request<PeerRow>(what);
    if (!row || !device(static_cast<std::uint64_t>(row->device))) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    peers.push_back({.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = row->device},
                     .flags = static_cast<CUmemAccess_flags>(row->access)});
  }
  CUDA_MEM_ALLOC_NODE_PARAMS node{};
  node.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  node.poolProps.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = asked->device};
  node.accessDescs = peers.data();
  node.accessDescCount = peers.size();
  node.bytesize = asked->size;
  const CUresult code = driver_->cuGraphAddMemAllocNode(&made, graph, dependencies.data(), dependencies.size(), &node);
  if (code == CUDA_SUCCESS) {
    address = node.dptr;
    graph_memory_.add(address, asked->size, context.handle);
  }
  return code;
}

CUresult LaneBackend::add_condition(const std::shared_ptr<GraphObject>& graph,
                                    std::span<const CUgraphNode> dependencies, std::span<const std::byte> what,
                                    const ContextObject& context, CUgraphNode& made) {
  const auto asked = take_request<ConditionNode>(what);
  if (!asked || asked->graphs == 0 || asked->graphs > most_bodies || what.size() < asked->graphs * sizeof(Id) ||
      asked->type > CU_GRAPH_COND_TYPE_SWITCH) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  {
    // The driver may take it for more than a number.
    const std::scoped_lock lock(chains_.mutex);
    if (!chains_.conditions.contains(asked->handle)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  CUgraphNodeParams node{};
  node.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
  node.conditional.handle = asked->handle;
  node.conditional.type = static_cast<CUgraphConditionalNodeType>(asked->type);
  node.conditional.size = asked->graphs;
  node.conditional.ctx = context.handle;
  const CUresult code =
      driver_->cuGraphAddNode(&made, graph->handle, dependencies.data(), nullptr, dependencies.size(), &node);
  for (std::uint32_t i = 0; code == CUDA_SUCCESS && i < asked->graphs; ++i) {
    auto body = std::make_shared<GraphObject>();
    body->id = take_request<Id>(what).value_or(0);
    body->handle = node.conditional.phGraph_out[i];
    body->whole = graph;
    body->node = made;
    if (!graphs_.add(body->id, body)) {
      return CUDA_ERROR_INVALID_HANDLE;  // a name that is taken: the client's loss
    }
  }
  return code;
}

CUresult LaneBackend::add_node(const AddNode::Request& request, marshal::Call& call,
                               const std::shared_ptr<GraphObject>& graph, std::span<const CUgraphNode> dependencies,
                               std::span<const std::byte> what, CUgraphNode& made, AddNode::Reply& reply) {
  const auto context = contexts_.find(request.context);
  if (context == nullptr) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  const CUgraphNode* const after = dependencies.data();
  const std::size_t count = dependencies.size();
  CUresult code = CUDA_SUCCESS;
  switch (request.kind) {
    case NodeKind::empty:
      return driver_->cuGraphAddEmptyNode(&made, graph->handle, after, count);
    case NodeKind::kernel: {
      const auto node = read_kernel(what, *context, code);
      return node ? driver_->cuGraphAddKernelNode(&made, graph->handle, after, count, &*node) : code;
    }
    case NodeKind::copy:
      return add_copy_node(request, call, graph->handle, dependencies, what, *context, made);
    case NodeKind::fill: {
      const auto node = read_fill(what);
      return node ? driver_->cuGraphAddMemsetNode(&made, graph->handle, after, count, &*node, context->handle)
                  : CUDA_ERROR_INVALID_VALUE;
    }
    case NodeKind::host: {
      if (request.token == 0 || call.upcalls() == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      auto function = std::make_unique<RepeatedFunction>(call.upcalls(), request.token);
      const CUDA_HOST_NODE_PARAMS node = function->node();
      code = driver_->cuGraphAddHostNode(&made, graph->handle, after, count, &node);
      if (code == CUDA_SUCCESS) {
        RepeatedFunction::give_to(*driver_, graph->handle, std::move(function));
      }
      return code;
    }
    case NodeKind::child: {
      const auto child = graphs_.find(take_request<Id>(what).value_or(0));
      return child != nullptr ? driver_->cuGraphAddChildGraphNode(&made, graph->handle, after, count, child->handle)
                              : CUDA_ERROR_INVALID_HANDLE;
    }
    case NodeKind::allocate:
      return add_allocation(graph->handle, dependencies, what, *context, made, reply.address);
    case NodeKind::free: {
      const auto address = take_request<std::uint64_t>(what);
      return address && graph_memory_.find(*address)
                 ? driver_->cuGraphAddMemFreeNode(&made, graph->handle, after, count, *address)
                 : CUDA_ERROR_INVALID_VALUE;
    }
    case NodeKind::record:
    case NodeKind::wait: {
      const auto event = events_.find(take_request<Id>(what).value_or(0));
      if (event == nullptr || !lives(event->context)) {
        return CUDA_ERROR_INVALID_HANDLE;
      }
      return (request.kind == NodeKind::record ? driver_->cuGraphAddEventRecordNode : driver_->cuGraphAddEventWaitNode)(
          &made, graph->handle, after, count, event->handle);
    }
    case NodeKind::condition:
      return add_condition(graph, dependencies, what, *context, made);
  }
  return CUDA_ERROR_INVALID_VALUE;
}

Answer<AddNode::Reply> LaneBackend::handle(const AddNode::Request& request, marshal::Call& call) {
  const auto graph = graphs_.find(request.graph);
  auto trailing = call.trailing();
  if (graph == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  const auto dependencies = take_nodes(trailing, request.dependencies, *graph, true);
  if (!dependencies) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  AddNode::Reply reply;
  CUgraphNode made = nullptr;
  if (const CUresult code = add_node(request, call, graph, *dependencies, trailing, made, reply);
      code != CUDA_SUCCESS) {
    return refuse(code);
  }
  // A name that is taken leaves a node that nothing can depend on: the client's loss.
  return name_node(graph, made, request.id) == request.id ? Answer<AddNode::Reply>(reply)
                                                          : refuse(CUDA_ERROR_INVALID_HANDLE);
}

CUresult LaneBackend::set_copy_node(const SetNode::Request& request, marshal::Call& call, const NodeObject& node,
                                    ExecutableObject* executable, std::span<const std::byte> what,
                                    const ContextObject& context) {
  CUresult code = CUDA_SUCCESS;
  const auto pieces = read_copy(what, call, context, code);
  if (!pieces) {
    return code;
  }
  const auto chain = chain_of(node.handle);
  const bool has_function = chain && chain->function != nullptr;
  const std::size_t parts = chain ? chain->all.size() - (has_function ? 1 : 0) : 1;
  // Nodes neither come nor go.
  if (parts != 1 || pieces->size() != 1 ||
      (request.token != 0 && (!has_function || chain->after != (request.after != 0)))) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  code = executable != nullptr ? driver_->cuGraphExecMemcpyNodeSetParams(executable->handle, node.handle,
                                                                         &pieces->front(), context.handle)
                               : driver_->cuGraphMemcpyNodeSetParams(node.handle, &pieces->front());
  return code == CUDA_SUCCESS && has_function
             ? set_function(chain->function, node.graph->handle, executable, request.token, call)
             : code;
}

CUresult LaneBackend::set_function(CUgraphNode node, CUgraph graph, ExecutableObject* executable, std::uint64_t token,
                                   marshal::Call& call) {
  auto function = std::make_unique<RepeatedFunction>(call.upcalls(), token);
  const CUDA_HOST_NODE_PARAMS with = function->node();
  const CUresult code = executable != nullptr ? driver_->cuGraphExecHostNodeSetParams(executable->handle, node, &with)
                                              : driver_->cuGraphHostNodeSetParams(node, &with);
  if (code == CUDA_SUCCESS && executable == nullptr) {
    RepeatedFunction::give_to(*driver_, graph, std::move(function));
  } else if (code == CUDA_SUCCESS) {
    // Nothing can be given to an executable graph: it is kept here, until another takes its place.
    const std::scoped_lock lock(replaced_mutex_);
    replace(executable->runs, std::exchange(executable->functions[node], std::move(function)));
  }
  return code;
}

void LaneBackend::replace(const LaunchPlaces& runs, std::unique_ptr<RepeatedFunction> function) {
  if (function != nullptr) {
    replaced_.push_back({.runs = runs, .function = std::move(function)});
    has_replaced_.store(true, std::memory_order_release);
  }
}

std::vector<ReplacedFunction> LaneBackend::take_replaced(const Place* place) {
  std::vector<ReplacedFunction> taken;
  if (!has_replaced_.load(std::memory_order_acquire)) {
    return taken;
  }
  const std::scoped_lock lock(replaced_mutex_);
  const auto stays = std::ranges::partition(replaced_, [&](const ReplacedFunction& one) {
    const bool is_done =
        place == nullptr || !one.runs.launched ||
        (!one.runs.several && one.runs.place.context == place->context && one.runs.place.stream == place->stream);
    return !is_done;
  });
  std::ranges::move(stays, std::back_inserter(taken));
  replaced_.erase(stays.begin(), stays.end());
  has_replaced_.store(!replaced_.empty(), std::memory_order_release);
  return taken;
}

void LaneBackend::end_replaced(std::vector<ReplacedFunction> functions, CUresult waited) {
  if (functions.empty()) {
    return;
  }
  if (waited == CUDA_SUCCESS) {
    for (ReplacedFunction& one : functions) {
      RepeatedFunction::let_go(std::move(one.function));
    }
    return;
  }
  const std::scoped_lock lock(replaced_mutex_);
  for (ReplacedFunction& one : functions) {
    replace(one.runs, std::move(one.function));
  }
}

Answer<Nothing> LaneBackend::handle(const SetNode::Request& request, marshal::Call& call) {
  const auto node = nodes_.find(request.node);
  const auto executable = request.executable != 0 ? executables_.find(request.executable) : nullptr;
  const auto context = contexts_.find(request.context);
  if (node == nullptr || context == nullptr ||
      (request.executable != 0 && (executable == nullptr || !lives(executable->context)))) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  auto what = call.trailing();
  CUgraphExec in = executable != nullptr ? executable->handle : nullptr;
  CUresult code = CUDA_SUCCESS;
  switch (request.kind) {
    case NodeKind::kernel: {
      const auto with = read_kernel(what, *context, code);
      return !with           ? answer(code)
             : in != nullptr ? answer(driver_->cuGraphExecKernelNodeSetParams(in, node->handle, &*with))
                             : answer(driver_->cuGraphKernelNodeSetParams(node->handle, &*with));
    }
    case NodeKind::copy:
      return answer(set_copy_node(request, call, *node, executable.get(), what, *context));
    case NodeKind::fill: {
      const auto with = read_fill(what);
      return !with ? refuse(CUDA_ERROR_INVALID_VALUE)
             : in != nullptr
                 ? answer(driver_->cuGraphExecMemsetNodeSetParams(in, node->handle, &*with, context->handle))
                 : answer(driver_->cuGraphMemsetNodeSetParams(node->handle, &*with));
    }
    case NodeKind::host:
      return request.token == 0 || call.upcalls() == nullptr
                 ? refuse(CUDA_ERROR_INVALID_VALUE)
                 : answer(set_function(node->handle, node->graph->handle, executable.get(), request.token, call));
    case NodeKind::child: {
      const auto child = graphs_.find(take_request<Id>(what).value_or(0));
      if (child == nullptr || in == nullptr) {
        return refuse(child == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_NOT_SUPPORTED);
      }
      return answer(driver_->cuGraphExecChildGraphNodeSetParams(in, node->handle, child->handle));
    }
    case NodeKind::record:
    case NodeKind::wait: {
      const auto event = events_.find(take_request<Id>(what).value_or(0));
      if (event == nullptr || !lives(event->context)) {
        return refuse(CUDA_ERROR_INVALID_HANDLE);
      }
      const bool record = request.kind == NodeKind::record;
      return in != nullptr
                 ? answer((record ? driver_->cuGraphExecEventRecordNodeSetEvent
                                  : driver_->cuGraphExecEventWaitNodeSetEvent)(in, node->handle, event->handle))
                 : answer((record ? driver_->cuGraphEventRecordNodeSetEvent : driver_->cuGraphEventWaitNodeSetEvent)(
                       node->handle, event->handle));
    }
    default:
      return refuse(CUDA_ERROR_INVALID_VALUE);
  }
}

}  // namespace isthmus::cuda
