// SPDX-License-Identifier: Apache-2.0

// Graphs as a whole: made, cloned, looked at, instantiated, updated, destroyed. Their nodes: graph_node.cpp. Capture
// and launch stand in per_stream.cpp.

#include "guest/cuda/graph.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <ranges>

#include "guest/cuda/copies.hpp"
#include "guest/cuda/functions.hpp"

namespace isthmus::cuda {
namespace {

constexpr std::size_t most_edges = 1024;  // of one node

}  // namespace

CUresult check_edges(const Frontend& cuda, const Edges& edges) {
  if ((edges.nodes == nullptr && edges.count != 0) || edges.count > most_edges) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (cuda.graphs.find(edges.graph) == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  const auto is_its = [&](CUgraphNode node) {
    const NodeRecord* const record = cuda.nodes.find(node);
    return record != nullptr && record->graph == handle_name(edges.graph);
  };
  return std::ranges::all_of(std::span(edges.nodes, edges.count), is_its) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

std::vector<Id> names_of(std::span<const CUgraphNode> nodes) {
  std::vector<Id> names;
  std::ranges::transform(nodes, std::back_inserter(names), handle_name);
  return names;
}

FreshNodes::FreshNodes(Frontend& cuda, std::size_t count) : cuda_(&cuda) {
  for (std::size_t i = 0; i < std::min(count, std::size_t{most_nodes}); ++i) {
    const auto id = cuda.nodes.reserve();
    if (!id) {
      break;
    }
    names_.push_back(*id);
  }
}

FreshNodes::~FreshNodes() {
  std::ranges::for_each(names_, [this](Id id) { cuda_->nodes.cancel(id); });
}

void FreshNodes::take(std::span<const Id> answered, Id graph) {
  for (const Id id : answered) {
    if (std::erase(names_, id) != 0) {
      cuda_->nodes.publish(id, {.graph = graph, .bodies = {}});
    }
  }
}

void forget_graph(Frontend& cuda, Id id) {
  cuda.nodes.remove_if([id](const NodeRecord& node) { return node.graph == id; });
  std::vector<Id> bodies;
  cuda.graphs.remove_if([&](const GraphRecord& graph) {
    if (graph.whole == id) {
      bodies.push_back(graph.id);
    }
    return graph.whole == id;
  });
  std::ranges::for_each(bodies, [&](Id body) { forget_graph(cuda, body); });
}

}  // namespace isthmus::cuda

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

// Gives a list of nodes as the driver does: as many as there is room for, or how many there are.
CUresult give_nodes(Frontend& cuda, NodeRelation relation, Id object, Id graph, CUgraphNode* nodes,
                    std::size_t* count) {
  if (count == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  FreshNodes fresh(cuda, nodes != nullptr ? *count : 0);
  std::vector<Id> names(fresh.count());
  const auto asked = cuda.lane->call<ListNodes>({.relation = relation, .names = fresh.count(), .object = object},
                                                fresh.bytes(), std::as_writable_bytes(std::span(names)));
  if (!asked) {
    return asked.error();
  }
  names.resize(asked->trailing / sizeof(Id));
  fresh.take(names, graph);
  if (nodes == nullptr) {
    *count = asked->reply.nodes;
    return CUDA_SUCCESS;
  }
  if (names.size() < std::min<std::uint64_t>(*count, asked->reply.nodes)) {
    return CUDA_ERROR_NOT_SUPPORTED;  // more than a message holds
  }
  for (std::size_t i = 0; i < *count; ++i) {
    nodes[i] = i < names.size() ? handle_of<CUgraphNode>(names[i]) : nullptr;
  }
  *count = std::min<std::size_t>(*count, asked->reply.nodes);
  return CUDA_SUCCESS;
}

CUresult nodes_of_graph(NodeRelation relation, CUgraph graph, CUgraphNode* nodes, std::size_t* count) {
  return entry([&](Frontend& cuda) -> CUresult {
    return cuda.graphs.find(graph) == nullptr
               ? CUDA_ERROR_INVALID_HANDLE
               : give_nodes(cuda, relation, handle_name(graph), handle_name(graph), nodes, count);
  });
}

CUresult nodes_of_node(NodeRelation relation, CUgraphNode node, CUgraphNode* nodes, CUgraphEdgeData* edges,
                       std::size_t* count) {
  return entry([&](Frontend& cuda) -> CUresult {
    const NodeRecord* const record = cuda.nodes.find(node);
    if (record == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    const std::size_t room = count != nullptr ? *count : 0;
    const CUresult code = give_nodes(cuda, relation, handle_name(node), record->graph, nodes, count);
    if (code == CUDA_SUCCESS && nodes != nullptr && edges != nullptr) {
      std::fill_n(edges, std::min(room, *count), CUgraphEdgeData{});  // the driver would refuse to leave others out
    }
    return code;
  });
}

CUresult change_edges(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, const CUgraphEdgeData* edges,
                      std::size_t count, bool remove) {
  return entry([&](Frontend& cuda) -> CUresult {
    for (const CUgraphNode* const side : {from, to}) {
      const CUresult code = check_edges(cuda, {.graph = graph, .nodes = side, .count = count});
      if (code != CUDA_SUCCESS) {
        return code;
      }
    }
    if (edges != nullptr) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    std::vector<Id> pairs;
    for (std::size_t i = 0; i < count; ++i) {
      pairs.push_back(handle_name(from[i]));
      pairs.push_back(handle_name(to[i]));
    }
    return cuda.lane->tell<ChangeEdges>(
        {.graph = handle_name(graph), .edges = static_cast<std::uint32_t>(count), .remove = remove ? 1U : 0U},
        std::as_bytes(std::span(pairs)));
  });
}

CUresult instantiate(CUgraphExec* executable, CUgraph graph, unsigned long long flags) {
  return entry_here([&](const Here& here) -> CUresult {
    constexpr unsigned long long known = CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH |
                                         CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD |
                                         CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
    if (executable == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (here.cuda.graphs.find(graph) == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if ((flags & ~known) != 0) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    const auto id = here.cuda.executables.reserve();
    if (!id) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    // The first launch uploads it.
    const CUresult code =
        here.lane().tell<Instantiate>({.graph = handle_name(graph),
                                       .id = *id,
                                       .context = here.context,
                                       .flags = flags & ~std::uint64_t{CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD}});
    if (code != CUDA_SUCCESS) {
      here.cuda.executables.cancel(*id);
      return code;
    }
    here.cuda.executables.publish(*id, {.flags = flags});
    return give(executable, handle_of<CUgraphExec>(*id));
  });
}

// Makes a graph under a new name: `function(id)`.
template <class F>
CUresult make_graph(Frontend& cuda, CUgraph* graph, F function) {
  const auto id = cuda.graphs.reserve();
  if (!id) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  if (const CUresult code = function(*id); code != CUDA_SUCCESS) {
    cuda.graphs.cancel(*id);
    return code;
  }
  cuda.graphs.publish(*id, {.id = *id});
  return give(graph, handle_of<CUgraph>(*id));
}

// A number of 64 bits that the driver keeps about graphs' memory.
CUresult with_graph_memory(CUdevice device, CUgraphMem_attribute attribute, const void* value, bool set) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (cuda.device(device) == nullptr) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    if (value == nullptr || attribute > CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const Question question{.subject = Subject::graph_memory,
                            .parameter = static_cast<std::uint32_t>(attribute),
                            .detail = {static_cast<std::uint64_t>(device), 0, 0}};
    cuuint64_t number = 0;
    if (set) {
      std::memcpy(&number, value, sizeof number);
      return cuda.lane->tell<Configure>({.question = question, .value = number});
    }
    const auto asked = cuda.lane->call<Query>({.question = question});
    if (asked) {
      std::memcpy(const_cast<void*>(value), asked->reply.values.data(), sizeof number);
    }
    return asked ? CUDA_SUCCESS : asked.error();
  });
}

}  // namespace

CUresult CUDAAPI cuGraphCreate(CUgraph* graph, unsigned int flags) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (graph == nullptr || flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return make_graph(cuda, graph, [&](Id id) { return cuda.lane->tell<CreateGraph>({.id = id}); });
  });
}

CUresult CUDAAPI cuGraphClone(CUgraph* clone, CUgraph graph) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (clone == nullptr || cuda.graphs.find(graph) == nullptr) {
      return clone == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
    }
    return make_graph(cuda, clone,
                      [&](Id id) { return cuda.lane->tell<CloneGraph>({.graph = handle_name(graph), .id = id}); });
  });
}

CUresult CUDAAPI cuGraphDestroy(CUgraph graph) {
  return entry([&](Frontend& cuda) -> CUresult {
    const Id id = handle_name(graph);
    const GraphRecord* const record = cuda.graphs.find(id);
    if (record == nullptr || record->whole != 0) {
      return record == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_INVALID_VALUE;
    }
    cuda.graphs.remove(id);
    forget_graph(cuda, id);
    return cuda.lane->post<Release>({.kind = ObjectKind::graph, .id = id});
  });
}

CUresult CUDAAPI cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, std::size_t* count) {
  return nodes_of_graph(NodeRelation::all, graph, nodes, count);
}

CUresult CUDAAPI cuGraphGetRootNodes(CUgraph graph, CUgraphNode* nodes, std::size_t* count) {
  return nodes_of_graph(NodeRelation::roots, graph, nodes, count);
}

CUresult CUDAAPI cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode* nodes, CUgraphEdgeData* edges,
                                            std::size_t* count) {
  return nodes_of_node(NodeRelation::before, node, nodes, edges, count);
}

CUresult CUDAAPI cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode* nodes, CUgraphEdgeData* edges,
                                              std::size_t* count) {
  return nodes_of_node(NodeRelation::after, node, nodes, edges, count);
}

CUresult CUDAAPI cuGraphAddDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                        const CUgraphEdgeData* edges, std::size_t count) {
  return change_edges(graph, from, to, edges, count, false);
}

CUresult CUDAAPI cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                           const CUgraphEdgeData* edges, std::size_t count) {
  return change_edges(graph, from, to, edges, count, true);
}

CUresult CUDAAPI cuGraphNodeFindInClone(CUgraphNode* found, CUgraphNode node, CUgraph clone) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (found == nullptr || cuda.nodes.find(node) == nullptr || cuda.graphs.find(clone) == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto id = cuda.nodes.reserve();
    if (!id) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const auto asked =
        cuda.lane->call<FindInClone>({.node = handle_name(node), .clone = handle_name(clone), .id = *id});
    if (!asked || asked->reply.node != *id) {
      cuda.nodes.cancel(*id);
    } else {
      cuda.nodes.publish(*id, {.graph = handle_name(clone), .bodies = {}});
    }
    return asked ? give(found, handle_of<CUgraphNode>(asked->reply.node)) : asked.error();
  });
}

CUresult CUDAAPI cuGraphInstantiate(CUgraphExec* executable, CUgraph graph, unsigned long long flags) {
  return instantiate(executable, graph, flags);
}

CUresult CUDAAPI cuGraphInstantiateWithParams(CUgraphExec* executable, CUgraph graph,
                                              CUDA_GRAPH_INSTANTIATE_PARAMS* parameters) {
  if (parameters == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const CUresult code = instantiate(executable, graph, parameters->flags);
  parameters->hErrNode_out = nullptr;
  parameters->result_out = code == CUDA_SUCCESS ? CUDA_GRAPH_INSTANTIATE_SUCCESS : CUDA_GRAPH_INSTANTIATE_ERROR;
  return code;
}

CUresult CUDAAPI cuGraphExecGetFlags(CUgraphExec executable, cuuint64_t* flags) {
  return entry([&](Frontend& cuda) -> CUresult {
    const ExecutableRecord* const record = cuda.executables.find(executable);
    return record == nullptr ? CUDA_ERROR_INVALID_HANDLE : give(flags, record->flags);
  });
}

CUresult CUDAAPI cuGraphExecUpdate(CUgraphExec executable, CUgraph graph, CUgraphExecUpdateResultInfo* info) {
  return entry_here([&](const Here& here) -> CUresult {
    if (info == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (here.cuda.executables.find(executable) == nullptr || here.cuda.graphs.find(graph) == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    const auto asked = here.lane().call<UpdateExecutable>(
        {.executable = handle_name(executable), .graph = handle_name(graph), .context = here.context});
    if (!asked) {
      return asked.error();
    }
    *info = {.result = static_cast<CUgraphExecUpdateResult>(asked->reply.result),
             .errorNode = nullptr,
             .errorFromNode = nullptr};
    return here.lane().code_of(asked->reply.status);
  });
}

CUresult CUDAAPI cuGraphExecDestroy(CUgraphExec executable) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (!cuda.executables.remove(handle_name(executable))) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    return cuda.lane->post<Release>({.kind = ObjectKind::executable, .id = handle_name(executable)});
  });
}

CUresult CUDAAPI cuGraphConditionalHandleCreate(CUgraphConditionalHandle* handle, CUgraph graph, CUcontext context,
                                                unsigned int value, unsigned int flags) {
  return entry_here([&](const Here& here) -> CUresult {
    if (handle == nullptr || here.cuda.graphs.find(graph) == nullptr) {
      return handle == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
    }
    const auto made =
        here.lane().call<CreateCondition>({.graph = handle_name(graph),
                                           .context = context != nullptr ? handle_name(context) : here.context,
                                           .value = value,
                                           .flags = flags});
    return made ? give(handle, made->reply.handle) : made.error();
  });
}

CUresult CUDAAPI cuDeviceGetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute, void* value) {
  return with_graph_memory(device, attribute, value, false);
}

CUresult CUDAAPI cuDeviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute, void* value) {
  return with_graph_memory(device, attribute, value, true);
}

CUresult CUDAAPI cuDeviceGraphMemTrim(CUdevice device) {
  return entry([&](Frontend& cuda) -> CUresult {
    return cuda.device(device) == nullptr
               ? CUDA_ERROR_INVALID_DEVICE
               : cuda.lane->tell<Configure>({.question = {.subject = Subject::graph_memory_trim,
                                                          .detail = {static_cast<std::uint64_t>(device), 0, 0}}});
  });
}
