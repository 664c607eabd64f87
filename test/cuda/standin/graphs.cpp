// SPDX-License-Identifier: Apache-2.0
// Entry points of graphs.
#include <cuda.h>

#include <algorithm>
#include <set>

#include "test/cuda/standin/copy.hpp"
#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/event.hpp"
#include "test/cuda/standin/graph.hpp"
#include "test/cuda/standin/graph_memory.hpp"
#include "test/cuda/standin/launch.hpp"
#include "test/cuda/standin/memset.hpp"

namespace isthmus::standin {
namespace {

using Nodes = std::vector<std::shared_ptr<GraphNode>>;

Nodes nodes_of(const CUgraphNode* handles, std::size_t count, const Graph& graph) {
  require(count == 0 || handles != nullptr, CUDA_ERROR_INVALID_VALUE);
  Nodes nodes;
  for (std::size_t i = 0; i < count; ++i) {
    nodes.push_back(driver().graph_nodes.get(handles[i], CUDA_ERROR_INVALID_VALUE));
    require(&*nodes.back()->graph.lock() == &graph, CUDA_ERROR_INVALID_VALUE, "a node of another graph");
  }
  return nodes;
}

void add_node(CUgraphNode* result, CUgraph handle, const CUgraphNode* dependencies, std::size_t count,
              Operation operation) {
  auto& to = out(result);
  const auto graph = driver().graphs.get(handle, CUDA_ERROR_INVALID_VALUE);
  to = add_node(graph, std::move(operation), nodes_of(dependencies, count, *graph))->handle;
}

Operation kernel_operation(const CUDA_KERNEL_NODE_PARAMS& given) {
  CUfunction function = given.func != nullptr ? given.func : std::bit_cast<CUfunction>(given.kern);
  Launch launch;
  launch.grid = {given.gridDimX, given.gridDimY, given.gridDimZ};
  launch.block = {given.blockDimX, given.blockDimY, given.blockDimZ};
  launch.shared_bytes = given.sharedMemBytes;
  auto kept = given;
  kept.kernelParams = nullptr;  // the caller's, and gone when this returns
  kept.extra = nullptr;
  return {.type = CU_GRAPH_NODE_TYPE_KERNEL,
          .work = launch_work(*checked_context(), function, launch, given.kernelParams, given.extra),
          .parameters = kept};
}

Operation copy_operation(const CUDA_MEMCPY3D& given) {
  return {.type = CU_GRAPH_NODE_TYPE_MEMCPY, .work = copy_work(given), .parameters = given};
}

Operation memset_operation(const CUDA_MEMSET_NODE_PARAMS& given) {
  return {.type = CU_GRAPH_NODE_TYPE_MEMSET, .work = memset_work(given), .parameters = given};
}

Operation host_operation(const CUDA_HOST_NODE_PARAMS& given) {
  require(given.fn != nullptr, CUDA_ERROR_INVALID_VALUE);
  return {.type = CU_GRAPH_NODE_TYPE_HOST,
          .work = [function = given.fn, data = given.userData] { function(data); },
          .parameters = given};
}

// Each node behind all that it depends on; fails where they depend on each other in a circle.
Nodes in_order(const Graph& graph) {
  Nodes ordered;
  std::set<const GraphNode*> placed;
  while (ordered.size() < graph.nodes.size()) {
    const std::size_t before = ordered.size();
    for (const auto& node : graph.nodes) {
      const bool ready = std::ranges::all_of(node->after, [&](const auto& it) { return placed.contains(&*it); });
      if (ready && placed.insert(&*node).second) {
        ordered.push_back(node);
      }
    }
    require(ordered.size() > before, CUDA_ERROR_INVALID_VALUE, "the nodes depend on each other in a circle");
  }
  return ordered;
}

std::vector<Work> works_of(const Graph& graph);

// As the graphs that it chooses among are now.
Work choice_work(const Choice& choice) {
  std::vector<std::vector<Work>> bodies;
  for (const auto& body : choice.bodies) {
    bodies.push_back(works_of(*body));
  }
  return [bodies = std::move(bodies), type = choice.type, condition = choice.condition] {
    const auto run = [&](std::size_t which) {
      for (const Work& work : bodies.at(which)) {
        if (work) {
          work();
        }
      }
    };
    switch (type) {
      case CU_GRAPH_COND_TYPE_IF:
        if (condition->value != 0 || bodies.size() > 1) {
          run(condition->value != 0 ? 0 : 1);
        }
        return;
      case CU_GRAPH_COND_TYPE_WHILE:
        while (condition->value != 0) {
          run(0);
        }
        return;
      default:
        if (condition->value < bodies.size()) {
          run(condition->value);
        }
    }
  };
}

Operation operation_of(const GraphNode& node) {
  Operation operation = node.operation;
  if (node.choice != nullptr) {
    operation.work = choice_work(*node.choice);
  }
  return operation;
}

std::vector<Work> works_of(const Graph& graph) {
  std::vector<Work> works;
  for (const auto& node : in_order(graph)) {
    works.push_back(operation_of(*node).work);
  }
  return works;
}

// All that has to live as long as the graph.
void collect(const Graph& graph, UserObjects& objects) {
  objects.insert(objects.end(), graph.objects.begin(), graph.objects.end());
  for (const auto& node : graph.nodes) {
    for (const auto& body : node->choice != nullptr ? node->choice->bodies : std::vector<std::shared_ptr<Graph>>()) {
      collect(*body, objects);
    }
  }
}

Operation child_operation(const Graph& child) {
  UserObjects objects;
  collect(child, objects);
  return {.type = CU_GRAPH_NODE_TYPE_GRAPH, .work = [works = works_of(child), objects] {
            for (const Work& work : works) {
              if (work) {
                work();
              }
            }
          }};
}

Operation record_operation(CUevent handle) {
  const auto event = driver().events.get(handle);
  return {.type = CU_GRAPH_NODE_TYPE_EVENT_RECORD, .work = [event] {
            const std::scoped_lock lock(event->mutex);
            event->recorded = std::make_shared<Completion>();
            event->recorded->finish();
          }};
}

Operation wait_operation(CUevent handle) {
  const auto event = driver().events.get(handle);
  return {.type = CU_GRAPH_NODE_TYPE_WAIT_EVENT, .work = [event] {
            Done recorded;
            {
              const std::scoped_lock lock(event->mutex);
              recorded = event->recorded;
            }
            if (recorded != nullptr) {
              recorded->wait();
            }
          }};
}

void instantiate(CUgraphExec* result, CUgraph handle) {
  auto& to = out(result);
  const auto graph = driver().graphs.get(handle, CUDA_ERROR_INVALID_VALUE);
  auto exec = std::make_shared<GraphExec>();
  exec->context = &*checked_context();
  for (const auto& node : in_order(*graph)) {
    exec->steps.emplace_back(node->handle, operation_of(*node));
  }
  exec->conditions = graph->conditions;
  collect(*graph, exec->objects);
  to = driver().graph_execs.add(exec);
}

// One node of what is launched from now on.
void replace(CUgraphExec handle, CUgraphNode node, Operation operation) {
  const auto exec = driver().graph_execs.get(handle, CUDA_ERROR_INVALID_VALUE);
  const auto found = std::ranges::find(exec->steps, node, &std::pair<CUgraphNode, Operation>::first);
  require(found != exec->steps.end() && found->second.type == operation.type, CUDA_ERROR_INVALID_VALUE,
          "no such node in it");
  found->second = std::move(operation);
}

// The same for the node itself.
void set_node(CUgraphNode handle, Operation operation) {
  const auto node = driver().graph_nodes.get(handle, CUDA_ERROR_INVALID_VALUE);
  require(node->operation.type == operation.type, CUDA_ERROR_INVALID_VALUE, "another kind of node");
  node->operation = std::move(operation);
}

template <class T>
void give_parameters(CUgraphNode handle, T* result) {
  const auto node = driver().graph_nodes.get(handle, CUDA_ERROR_INVALID_VALUE);
  const T* kept = std::get_if<T>(&node->operation.parameters);
  require(kept != nullptr, CUDA_ERROR_INVALID_VALUE, "another kind of node");
  out(result) = *kept;
}

// As many handles as there is room for, and how many there are.
void give_list(const Nodes& nodes, CUgraphNode* handles, std::size_t* count) {
  auto& number = out(count);
  if (handles != nullptr) {
    for (std::size_t i = 0; i < number; ++i) {
      handles[i] = i < nodes.size() ? nodes[i]->handle : nullptr;
    }
    number = std::min(number, nodes.size());
  } else {
    number = nodes.size();
  }
}

std::shared_ptr<Graph> clone(const Graph& graph) {
  auto copy = std::make_shared<Graph>();
  std::map<const GraphNode*, std::shared_ptr<GraphNode>> copies;
  for (const auto& node : in_order(graph)) {
    Nodes after;
    for (const auto& it : node->after) {
      after.push_back(copies.at(&*it));
    }
    require(node->choice == nullptr, CUDA_ERROR_NOT_SUPPORTED, "the stand-in clones no conditional nodes");
    copies[&*node] = add_node(copy, node->operation, std::move(after));
    copies[&*node]->original = node;
  }
  copy->objects = graph.objects;
  copy->handle = driver().graphs.add(copy);
  return copy;
}

}  // namespace
}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuGraphCreate(CUgraph* result, unsigned flags) {
  return initialised(__func__, [&] {
    auto& to = out(result);
    require(flags == 0, CUDA_ERROR_INVALID_VALUE, "flags");
    auto graph = std::make_shared<Graph>();
    to = graph->handle = driver().graphs.add(graph);
  });
}

CUresult cuGraphDestroy(CUgraph handle) {
  return initialised(__func__, [&] {
    const auto graph = driver().graphs.take(handle, CUDA_ERROR_INVALID_VALUE);
    for (const auto& node : graph->nodes) {
      driver().graph_nodes.take(node->handle);
    }
  });
}

CUresult cuGraphClone(CUgraph* result, CUgraph handle) {
  return initialised(__func__,
                     [&] { out(result) = clone(*driver().graphs.get(handle, CUDA_ERROR_INVALID_VALUE))->handle; });
}

CUresult cuGraphAddKernelNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                              const CUDA_KERNEL_NODE_PARAMS* given) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(given != nullptr, CUDA_ERROR_INVALID_VALUE);
    add_node(node, graph, after, count, kernel_operation(*given));
  });
}

CUresult cuGraphAddMemcpyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                              const CUDA_MEMCPY3D* given, CUcontext /*in*/) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(given != nullptr, CUDA_ERROR_INVALID_VALUE);
    add_node(node, graph, after, count, copy_operation(*given));
  });
}

CUresult cuGraphAddMemsetNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                              const CUDA_MEMSET_NODE_PARAMS* given, CUcontext /*in*/) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(given != nullptr, CUDA_ERROR_INVALID_VALUE);
    add_node(node, graph, after, count, memset_operation(*given));
  });
}

CUresult cuGraphAddHostNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                            const CUDA_HOST_NODE_PARAMS* given) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(given != nullptr, CUDA_ERROR_INVALID_VALUE);
    add_node(node, graph, after, count, host_operation(*given));
  });
}

CUresult cuGraphAddEmptyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count) {
  return initialised(__func__, [&] { add_node(node, graph, after, count, {}); });
}

CUresult cuGraphAddChildGraphNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                                  CUgraph child) {
  return initialised(__func__, [&] {
    add_node(node, graph, after, count, child_operation(*driver().graphs.get(child, CUDA_ERROR_INVALID_VALUE)));
  });
}

CUresult cuGraphMemcpyNodeGetParams(CUgraphNode node, CUDA_MEMCPY3D* result) {
  return initialised(__func__, [&] { give_parameters(node, result); });
}

CUresult cuGraphMemsetNodeGetParams(CUgraphNode node, CUDA_MEMSET_NODE_PARAMS* result) {
  return initialised(__func__, [&] { give_parameters(node, result); });
}

CUresult cuGraphHostNodeGetParams(CUgraphNode node, CUDA_HOST_NODE_PARAMS* result) {
  return initialised(__func__, [&] { give_parameters(node, result); });
}

CUresult cuGraphAddEventRecordNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                                   CUevent event) {
  return initialised(__func__, [&] { add_node(node, graph, after, count, record_operation(event)); });
}

CUresult cuGraphAddEventWaitNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                                 CUevent event) {
  return initialised(__func__, [&] { add_node(node, graph, after, count, wait_operation(event)); });
}

CUresult cuGraphAddMemAllocNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                                CUDA_MEM_ALLOC_NODE_PARAMS* given) {
  return in_context(__func__, [&](Context& context) {
    require(given != nullptr && given->poolProps.allocType == CU_MEM_ALLOCATION_TYPE_PINNED &&
                given->poolProps.location.type == CU_MEM_LOCATION_TYPE_DEVICE,
            CUDA_ERROR_INVALID_VALUE);
    require_device(given->poolProps.location.id);
    add_node(node, graph, after, count, graph_allocation(context, given->bytesize, given->dptr));
  });
}

CUresult cuGraphAddMemFreeNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                               CUdeviceptr address) {
  return initialised(__func__, [&] { add_node(node, graph, after, count, graph_free(address)); });
}

// Only kernels and conditional nodes: the others have functions of their own.
CUresult cuGraphAddNode(CUgraphNode* node, CUgraph handle, const CUgraphNode* after, const CUgraphEdgeData* edges,
                        size_t count, CUgraphNodeParams* given) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(given != nullptr && edges == nullptr, CUDA_ERROR_INVALID_VALUE);
    if (given->type == CU_GRAPH_NODE_TYPE_KERNEL) {
      const auto& kernel = given->kernel;
      add_node(node, handle, after, count,
               kernel_operation({.func = kernel.func,
                                 .gridDimX = kernel.gridDimX,
                                 .gridDimY = kernel.gridDimY,
                                 .gridDimZ = kernel.gridDimZ,
                                 .blockDimX = kernel.blockDimX,
                                 .blockDimY = kernel.blockDimY,
                                 .blockDimZ = kernel.blockDimZ,
                                 .sharedMemBytes = kernel.sharedMemBytes,
                                 .kernelParams = kernel.kernelParams,
                                 .extra = kernel.extra,
                                 .kern = kernel.kern,
                                 .ctx = kernel.ctx}));
      return;
    }
    require(given->type == CU_GRAPH_NODE_TYPE_CONDITIONAL, CUDA_ERROR_NOT_SUPPORTED);
    auto& asked = given->conditional;
    const bool sizes = asked.size > 0 && asked.size <= (asked.type == CU_GRAPH_COND_TYPE_IF      ? 2U
                                                        : asked.type == CU_GRAPH_COND_TYPE_WHILE ? 1U
                                                                                                 : 1000U);
    require(sizes, CUDA_ERROR_INVALID_VALUE, "the number of graphs to choose among");
    auto choice = std::make_shared<Choice>();
    choice->type = asked.type;
    choice->condition = driver().conditions.get(asked.handle, CUDA_ERROR_INVALID_VALUE);
    for (unsigned i = 0; i < asked.size; ++i) {
      choice->bodies.push_back(std::make_shared<Graph>());
      choice->handles.push_back(choice->bodies.back()->handle = driver().graphs.add(choice->bodies.back()));
    }
    asked.phGraph_out = choice->handles.data();
    add_node(node, handle, after, count, {.type = CU_GRAPH_NODE_TYPE_CONDITIONAL, .work = {}});
    driver().graph_nodes.get(*node)->choice = std::move(choice);
  });
}

CUresult cuGraphDestroyNode(CUgraphNode handle) {
  return initialised(__func__, [&] {
    const auto node = driver().graph_nodes.take(handle, CUDA_ERROR_INVALID_VALUE);
    const auto graph = node->graph.lock();
    std::erase(graph->nodes, node);
    for (const auto& other : graph->nodes) {
      std::erase(other->after, node);
    }
  });
}

CUresult cuGraphNodeFindInClone(CUgraphNode* result, CUgraphNode original, CUgraph clone) {
  return initialised(__func__, [&] {
    auto& to = out(result);
    const auto of = driver().graph_nodes.get(original, CUDA_ERROR_INVALID_VALUE);
    const auto in = driver().graphs.get(clone, CUDA_ERROR_INVALID_VALUE);
    const auto found = std::ranges::find(in->nodes, of, &GraphNode::original);
    require(found != in->nodes.end(), CUDA_ERROR_INVALID_VALUE, "it is not in the clone");
    to = (*found)->handle;
  });
}

CUresult cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode* nodes, CUgraphEdgeData* /*edges*/, size_t* count) {
  return initialised(__func__,
                     [&] { give_list(driver().graph_nodes.get(node, CUDA_ERROR_INVALID_VALUE)->after, nodes, count); });
}

CUresult cuGraphNodeGetDependentNodes(CUgraphNode handle, CUgraphNode* nodes, CUgraphEdgeData* /*edges*/,
                                      size_t* count) {
  return initialised(__func__, [&] {
    const auto node = driver().graph_nodes.get(handle, CUDA_ERROR_INVALID_VALUE);
    Nodes found = node->graph.lock()->nodes;
    std::erase_if(found, [&](const auto& it) { return std::ranges::find(it->after, node) == it->after.end(); });
    give_list(found, nodes, count);
  });
}

CUresult cuGraphNodeSetEnabled(CUgraphExec handle, CUgraphNode node, unsigned enabled) {
  return initialised(__func__, [&] {
    const auto exec = driver().graph_execs.get(handle, CUDA_ERROR_INVALID_VALUE);
    driver().graph_nodes.get(node, CUDA_ERROR_INVALID_VALUE);
    if (enabled != 0) {
      exec->disabled.erase(node);
    } else {
      exec->disabled[node] = true;
    }
  });
}

CUresult cuGraphNodeGetEnabled(CUgraphExec handle, CUgraphNode node, unsigned* enabled) {
  return initialised(__func__, [&] {
    const auto exec = driver().graph_execs.get(handle, CUDA_ERROR_INVALID_VALUE);
    out(enabled) = exec->disabled.contains(node) ? 0 : 1;
  });
}

CUresult cuGraphMemcpyNodeSetParams(CUgraphNode node, const CUDA_MEMCPY3D* given) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(given != nullptr, CUDA_ERROR_INVALID_VALUE);
    set_node(node, copy_operation(*given));
  });
}

CUresult cuGraphMemsetNodeSetParams(CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS* given) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(given != nullptr, CUDA_ERROR_INVALID_VALUE);
    set_node(node, memset_operation(*given));
  });
}

CUresult cuGraphHostNodeSetParams(CUgraphNode node, const CUDA_HOST_NODE_PARAMS* given) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(given != nullptr, CUDA_ERROR_INVALID_VALUE);
    set_node(node, host_operation(*given));
  });
}

CUresult cuGraphEventRecordNodeSetEvent(CUgraphNode node, CUevent event) {
  return initialised(__func__, [&] { set_node(node, record_operation(event)); });
}

CUresult cuGraphEventWaitNodeSetEvent(CUgraphNode node, CUevent event) {
  return initialised(__func__, [&] { set_node(node, wait_operation(event)); });
}

CUresult cuGraphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event) {
  return initialised(__func__, [&] { replace(exec, node, record_operation(event)); });
}

CUresult cuGraphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event) {
  return initialised(__func__, [&] { replace(exec, node, wait_operation(event)); });
}

CUresult cuGraphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraph child) {
  return initialised(
      __func__, [&] { replace(exec, node, child_operation(*driver().graphs.get(child, CUDA_ERROR_INVALID_VALUE))); });
}

CUresult cuGraphRemoveDependencies(CUgraph handle, const CUgraphNode* from, const CUgraphNode* to,
                                   const CUgraphEdgeData* /*edges*/, size_t count) {
  return initialised(__func__, [&] {
    const auto graph = driver().graphs.get(handle, CUDA_ERROR_INVALID_VALUE);
    const Nodes first = nodes_of(from, count, *graph);
    const Nodes then = nodes_of(to, count, *graph);
    for (std::size_t i = 0; i < count; ++i) {
      require(std::erase(then[i]->after, first[i]) != 0, CUDA_ERROR_INVALID_VALUE, "no such edge");
    }
  });
}

CUresult cuGraphKernelNodeSetParams(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* given) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(given != nullptr, CUDA_ERROR_INVALID_VALUE);
    set_node(node, kernel_operation(*given));
  });
}

CUresult cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* given) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(given != nullptr, CUDA_ERROR_INVALID_VALUE);
    replace(exec, node, kernel_operation(*given));
  });
}

CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMCPY3D* given,
                                        CUcontext /*in*/) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(given != nullptr, CUDA_ERROR_INVALID_VALUE);
    replace(exec, node, copy_operation(*given));
  });
}

CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS* given,
                                        CUcontext /*in*/) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(given != nullptr, CUDA_ERROR_INVALID_VALUE);
    replace(exec, node, memset_operation(*given));
  });
}

CUresult cuGraphExecHostNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_HOST_NODE_PARAMS* given) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(given != nullptr, CUDA_ERROR_INVALID_VALUE);
    replace(exec, node, host_operation(*given));
  });
}

CUresult cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType* type) {
  return initialised(__func__,
                     [&] { out(type) = driver().graph_nodes.get(node, CUDA_ERROR_INVALID_VALUE)->operation.type; });
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
  return initialised(__func__,
                     [&] { give_list(driver().graphs.get(graph, CUDA_ERROR_INVALID_VALUE)->nodes, nodes, count); });
}

CUresult cuGraphGetRootNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
  return initialised(__func__, [&] {
    Nodes roots = driver().graphs.get(graph, CUDA_ERROR_INVALID_VALUE)->nodes;
    std::erase_if(roots, [](const auto& node) { return !node->after.empty(); });
    give_list(roots, nodes, count);
  });
}

CUresult cuGraphAddDependencies(CUgraph handle, const CUgraphNode* from, const CUgraphNode* to,
                                const CUgraphEdgeData* edges, size_t count) {
  return initialised(__func__, [&] {
    require(edges == nullptr, CUDA_ERROR_NOT_SUPPORTED, "data of edges");
    const auto graph = driver().graphs.get(handle, CUDA_ERROR_INVALID_VALUE);
    const Nodes first = nodes_of(from, count, *graph);
    const Nodes then = nodes_of(to, count, *graph);
    for (std::size_t i = 0; i < count; ++i) {
      then[i]->after.push_back(first[i]);
    }
  });
}

CUresult cuGraphInstantiate(CUgraphExec* exec, CUgraph graph, unsigned long long /*flags*/) {
  return in_context(__func__, [&](Context& /*context*/) { instantiate(exec, graph); });
}

CUresult cuGraphInstantiateWithParams(CUgraphExec* exec, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS* given) {
  return in_context(__func__, [&](Context& /*context*/) {
    instantiate(exec, graph);
    out(given).result_out = CUDA_GRAPH_INSTANTIATE_SUCCESS;
  });
}

CUresult cuGraphExecUpdate(CUgraphExec handle, CUgraph graph, CUgraphExecUpdateResultInfo* result) {
  return in_context(__func__, [&](Context& /*context*/) {
    const auto exec = driver().graph_execs.get(handle, CUDA_ERROR_INVALID_VALUE);
    const Nodes nodes = in_order(*driver().graphs.get(graph, CUDA_ERROR_INVALID_VALUE));
    auto& to = out(result);
    to = {};
    to.result = CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    const bool same = std::ranges::equal(nodes, exec->steps, [](const auto& node, const auto& step) {
      return node->operation.type == step.second.type;
    });
    require(same, CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      exec->steps[i].second = operation_of(*nodes[i]);
    }
    exec->objects.clear();
    collect(*driver().graphs.get(graph), exec->objects);
    to.result = CU_GRAPH_EXEC_UPDATE_SUCCESS;
  });
}

CUresult cuGraphUpload(CUgraphExec exec, CUstream stream) {
  return in_context(__func__, [&](Context& context) {
    driver().graph_execs.get(exec, CUDA_ERROR_INVALID_VALUE);
    context.stream(stream);
  });
}

CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream) {
  return in_context(__func__, [&](Context& context) {
    const auto exec = driver().graph_execs.get(handle, CUDA_ERROR_INVALID_VALUE);
    // As the steps are now: they may be changed before it is their turn.
    auto steps = exec->steps;
    std::erase_if(steps, [&](const auto& step) { return exec->disabled.contains(step.first); });
    submit(context, *context.stream(stream),
           {.type = CU_GRAPH_NODE_TYPE_GRAPH, .work = [steps, conditions = exec->conditions, objects = exec->objects] {
              for (const auto& condition : conditions) {
                condition->value = condition->assigned ? condition->start : condition->value.load();
              }
              for (const auto& [node, operation] : steps) {
                if (operation.work) {
                  operation.work();
                }
              }
            }});
  });
}

CUresult cuGraphExecDestroy(CUgraphExec exec) {
  return initialised(__func__, [&] { driver().graph_execs.take(exec, CUDA_ERROR_INVALID_VALUE); });
}
