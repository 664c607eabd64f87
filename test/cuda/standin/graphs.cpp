// SPDX-License-Identifier: Apache-2.0
// Entry points of graphs.
#include <cuda.h>

#include <algorithm>
#include <set>

#include "test/cuda/standin/copy.hpp"
#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/graph.hpp"
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

Operation child_operation(const Graph& child) {
  std::vector<Work> works;
  for (const auto& node : in_order(child)) {
    works.push_back(node->operation.work);
  }
  return {.type = CU_GRAPH_NODE_TYPE_GRAPH, .work = [works = std::move(works)] {
            for (const Work& work : works) {
              if (work) {
                work();
              }
            }
          }};
}

void instantiate(CUgraphExec* result, CUgraph handle) {
  auto& to = out(result);
  const auto graph = driver().graphs.get(handle, CUDA_ERROR_INVALID_VALUE);
  auto exec = std::make_shared<GraphExec>();
  exec->context = &*checked_context();
  for (const auto& node : in_order(*graph)) {
    exec->steps.emplace_back(node->handle, node->operation);
  }
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
    copies[&*node] = add_node(copy, node->operation, std::move(after));
  }
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
      exec->steps[i].second = nodes[i]->operation;
    }
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
    submit(context, *context.stream(stream), {.type = CU_GRAPH_NODE_TYPE_GRAPH, .work = [steps = exec->steps] {
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
