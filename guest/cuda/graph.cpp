// SPDX-License-Identifier: Apache-2.0

// Graphs: built node by node, instantiated, destroyed. Capture and launch stand in per_stream.cpp.

#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "guest/cuda/copies.hpp"
#include "guest/cuda/functions.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

constexpr std::size_t most_edges = 1024;  // of one node

Id graph_name(const void* handle) { return reinterpret_cast<std::uintptr_t>(handle); }

struct Edges {
  CUgraph graph;
  const CUgraphNode* nodes;
  std::size_t count;
};

// Runs `function(Here)` where the graph and the nodes before are what they should be.
template <class F>
CUresult with_graph(const Edges& edges, const void* out, F function) {
  return entry_here([&](const Here& here) -> CUresult {
    if (out == nullptr || (edges.nodes == nullptr && edges.count != 0) || edges.count > most_edges) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (here.cuda.graphs.find(edges.graph) == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    for (CUgraphNode node : std::span(edges.nodes, edges.count)) {
      const NodeRecord* const record = here.cuda.nodes.find(node);
      if (record == nullptr || record->graph != graph_name(edges.graph)) {
        return CUDA_ERROR_INVALID_VALUE;
      }
    }
    return function(here);
  });
}

// Adds a node that does what `what` says, the bytes of a request and perhaps more.
CUresult add_node(const Here& here, const Edges& edges, Id context, NodeKind kind, std::span<const std::byte> what,
                  CUgraphNode* node) {
  const auto id = here.cuda.nodes.reserve();
  if (!id) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  std::vector<std::byte> body(edges.count * sizeof(Id) + what.size());
  for (std::size_t i = 0; i < edges.count; ++i) {
    const Id name = graph_name(edges.nodes[i]);
    std::memcpy(body.data() + i * sizeof name, &name, sizeof name);
  }
  if (!what.empty()) {
    std::memcpy(body.data() + edges.count * sizeof(Id), what.data(), what.size());
  }
  const CUresult code = here.lane().tell<AddNode>({.graph = graph_name(edges.graph),
                                                   .id = *id,
                                                   .context = context,
                                                   .kind = kind,
                                                   .dependencies = static_cast<std::uint32_t>(edges.count)},
                                                  body);
  if (code != CUDA_SUCCESS) {
    here.cuda.nodes.cancel(*id);
    return code;
  }
  here.cuda.nodes.publish(*id, {.graph = graph_name(edges.graph)});
  return give(node, handle_of<CUgraphNode>(*id));
}

Id context_or_current(const Here& here, CUcontext context) {
  return context != nullptr ? graph_name(context) : here.context;
}

}  // namespace

CUresult CUDAAPI cuGraphCreate(CUgraph* graph, unsigned int flags) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (graph == nullptr || flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto id = cuda.graphs.make({});
    if (!id) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (const CUresult code = cuda.lane->tell<CreateGraph>({.id = *id}); code != CUDA_SUCCESS) {
      cuda.graphs.remove(*id);
      return code;
    }
    return give(graph, handle_of<CUgraph>(*id));
  });
}

CUresult CUDAAPI cuGraphDestroy(CUgraph graph) {
  return entry([&](Frontend& cuda) -> CUresult {
    const Id id = graph_name(graph);
    if (!cuda.graphs.remove(id)) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    cuda.nodes.remove_if([id](const NodeRecord& node) { return node.graph == id; });
    return cuda.lane->post<Release>({.kind = ObjectKind::graph, .id = id});
  });
}

CUresult CUDAAPI cuGraphAddEmptyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* nodes, std::size_t count) {
  const Edges edges{.graph = graph, .nodes = nodes, .count = count};
  return with_graph(edges, static_cast<const void*>(node),
                    [&](const Here& here) { return add_node(here, edges, here.context, NodeKind::empty, {}, node); });
}

CUresult CUDAAPI cuGraphAddKernelNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* nodes, std::size_t count,
                                      const CUDA_KERNEL_NODE_PARAMS* kernel) {
  const Edges edges{.graph = graph, .nodes = nodes, .count = count};
  return with_graph(edges, static_cast<const void*>(node), [&](const Here& here) -> CUresult {
    if (kernel == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // A kernel may stand where a function is wanted.
    const void* const handle = kernel->func != nullptr ? static_cast<const void*>(kernel->func) : kernel->kern;
    const FunctionRecord* const function = here.cuda.functions.find(handle);
    if (function == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    const LaunchShape shape{.grid = {kernel->gridDimX, kernel->gridDimY, kernel->gridDimZ},
                            .block = {kernel->blockDimX, kernel->blockDimY, kernel->blockDimZ},
                            .shared = kernel->sharedMemBytes,
                            .attributes = {}};
    if (const CUresult code = check_shape(*here.cuda.devices.at(here.record.device), *function, shape);
        code != CUDA_SUCCESS) {
      return code;
    }
    const Launch::Request request{
        .place = {}, .function = graph_name(handle), .grid = shape.grid, .block = shape.block, .shared = shape.shared};
    std::vector<std::byte> what(sizeof request + function->parameter_bytes);
    std::memcpy(what.data(), &request, sizeof request);
    const auto packed =
        pack_parameters(*function, kernel->kernelParams, kernel->extra, std::span(what).subspan(sizeof request));
    return packed ? add_node(here, edges, context_or_current(here, kernel->ctx), NodeKind::kernel, what, node)
                  : packed.error();
  });
}

CUresult CUDAAPI cuGraphAddMemcpyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* nodes, std::size_t count,
                                      const CUDA_MEMCPY3D* copy, CUcontext context) {
  const Edges edges{.graph = graph, .nodes = nodes, .count = count};
  return with_graph(edges, static_cast<const void*>(node), [&](const Here& here) -> CUresult {
    if (copy == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto request = direct_box(here, {}, *copy);
    return request ? add_node(here, edges, context_or_current(here, context), NodeKind::copy,
                              std::as_bytes(std::span(&*request, 1)), node)
                   : request.error();
  });
}

CUresult CUDAAPI cuGraphAddMemsetNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* nodes, std::size_t count,
                                      const CUDA_MEMSET_NODE_PARAMS* set, CUcontext context) {
  const Edges edges{.graph = graph, .nodes = nodes, .count = count};
  return with_graph(edges, static_cast<const void*>(node), [&](const Here& here) -> CUresult {
    if (set == nullptr || set->width == 0 || set->height == 0 ||
        fill_knowledge(here.cuda, set->dst, set->pitch, set->elementSize, set->width, set->height) ==
            Knowledge::outside) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const Fill::Request request{.place = {},
                                .address = set->dst,
                                .pitch = set->pitch,
                                .width = set->width,
                                .height = set->height,
                                .element = set->elementSize,
                                .value = set->value};
    return add_node(here, edges, context_or_current(here, context), NodeKind::fill,
                    std::as_bytes(std::span(&request, 1)), node);
  });
}

CUresult CUDAAPI cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, std::size_t* count) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (cuda.graphs.find(graph) == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if (nodes != nullptr) {
      return CUDA_ERROR_NOT_SUPPORTED;  // nodes of a capture have no names here
    }
    const auto asked =
        cuda.lane->call<Query>({.question = {.subject = Subject::graph_nodes, .object = graph_name(graph)}});
    return asked ? give(count, asked->reply.values[0]) : asked.error();
  });
}

CUresult CUDAAPI cuGraphInstantiate(CUgraphExec* executable, CUgraph graph, unsigned long long flags) {
  return with_graph({.graph = graph, .nodes = nullptr, .count = 0}, static_cast<const void*>(executable),
                    [&](const Here& here) -> CUresult {
                      constexpr unsigned long long known = CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH |
                                                           CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
                      if ((flags & ~known) != 0) {
                        return CUDA_ERROR_NOT_SUPPORTED;
                      }
                      const auto id = here.cuda.executables.reserve();
                      if (!id) {
                        return CUDA_ERROR_OUT_OF_MEMORY;
                      }
                      const CUresult code = here.lane().tell<Instantiate>(
                          {.graph = graph_name(graph), .id = *id, .context = here.context, .flags = flags});
                      if (code != CUDA_SUCCESS) {
                        here.cuda.executables.cancel(*id);
                        return code;
                      }
                      here.cuda.executables.publish(*id, {});
                      return give(executable, handle_of<CUgraphExec>(*id));
                    });
}

CUresult CUDAAPI cuGraphExecDestroy(CUgraphExec executable) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (!cuda.executables.remove(graph_name(executable))) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    return cuda.lane->post<Release>({.kind = ObjectKind::executable, .id = graph_name(executable)});
  });
}
