// SPDX-License-Identifier: Apache-2.0

// Nodes of graphs: added and changed. What a node is to do travels as the message that does it at once.

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "guest/cuda/copies.hpp"
#include "guest/cuda/functions.hpp"
#include "guest/cuda/graph.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

Id context_or_current(const Here& here, CUcontext context) {
  return context != nullptr ? handle_name(context) : here.context;
}

template <class T>
void append(std::vector<std::byte>& to, const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

// What a node is to do.
struct Work {
  NodeKind kind = NodeKind::empty;
  Id context = 0;
  std::vector<std::byte> what;
  std::uint64_t token = 0;  // of a function that only this node has
  bool after = false;
};

Expected<Work> kernel_work(const Here& here, const CUDA_KERNEL_NODE_PARAMS* kernel) {
  if (kernel == nullptr) {
    return std::unexpected(CUDA_ERROR_INVALID_VALUE);
  }
  // A kernel may stand where a function is wanted.
  const void* const handle = kernel->func != nullptr ? static_cast<const void*>(kernel->func) : kernel->kern;
  const FunctionRecord* const function = here.cuda.functions.find(handle);
  if (function == nullptr) {
    return std::unexpected(CUDA_ERROR_INVALID_HANDLE);
  }
  const LaunchShape shape{.grid = {kernel->gridDimX, kernel->gridDimY, kernel->gridDimZ},
                          .block = {kernel->blockDimX, kernel->blockDimY, kernel->blockDimZ},
                          .shared = kernel->sharedMemBytes,
                          .attributes = {}};
  if (const CUresult code = check_shape(*here.cuda.devices.at(here.record.device), *function, shape);
      code != CUDA_SUCCESS) {
    return std::unexpected(code);
  }
  const Launch::Request request{
      .place = {}, .function = handle_name(handle), .grid = shape.grid, .block = shape.block, .shared = shape.shared};
  Work work{.kind = NodeKind::kernel, .context = context_or_current(here, kernel->ctx), .what = {}};
  work.what.resize(sizeof request + function->parameter_bytes);
  std::memcpy(work.what.data(), &request, sizeof request);
  const auto packed =
      pack_parameters(*function, kernel->kernelParams, kernel->extra, std::span(work.what).subspan(sizeof request));
  return packed ? Expected<Work>(std::move(work)) : std::unexpected(packed.error());
}

Expected<Work> copy_work(const Here& here, const CUDA_MEMCPY3D* copy, CUcontext context) {
  if (copy == nullptr) {
    return std::unexpected(CUDA_ERROR_INVALID_VALUE);
  }
  const auto box = box_for_graph(here, {}, *copy);
  if (!box) {
    return std::unexpected(box.error());
  }
  Work work{.kind = NodeKind::copy,
            .context = context_or_current(here, context),
            .what = {},
            .token = box->token,
            .after = box->after};
  append(work.what, box->request);
  return work;
}

Expected<Work> fill_work(const Here& here, const CUDA_MEMSET_NODE_PARAMS* set, CUcontext context) {
  if (set == nullptr || set->width == 0 || set->height == 0 ||
      fill_knowledge(here.cuda, set->dst, set->pitch, set->elementSize, set->width, set->height) ==
          Knowledge::outside) {
    return std::unexpected(CUDA_ERROR_INVALID_VALUE);
  }
  Work work{.kind = NodeKind::fill, .context = context_or_current(here, context), .what = {}};
  append(work.what, Fill::Request{.place = {},
                                  .address = set->dst,
                                  .pitch = set->pitch,
                                  .width = set->width,
                                  .height = set->height,
                                  .element = set->elementSize,
                                  .value = set->value});
  return work;
}

Expected<Work> host_work(const Here& here, CUhostFn function, void* data) {
  if (function == nullptr) {
    return std::unexpected(CUDA_ERROR_INVALID_VALUE);
  }
  return Work{.kind = NodeKind::host,
              .context = here.context,
              .what = {},
              .token = here.lane().expect_function([function, data](CUresult) { function(data); })};
}

// A node that does something with what is named.
template <class T>
Work named_work(const Here& here, NodeKind kind, const T& name) {
  Work work{.kind = kind, .context = here.context, .what = {}};
  append(work.what, name);
  return work;
}

Expected<Work> child_work(const Here& here, CUgraph child) {
  if (here.cuda.graphs.find(child) == nullptr) {
    return std::unexpected(CUDA_ERROR_INVALID_HANDLE);
  }
  return named_work(here, NodeKind::child, handle_name(child));
}

Expected<Work> event_work(const Here& here, NodeKind kind, CUevent event) {
  const EventRecord* const record = here.cuda.events.find(event);
  if (record == nullptr) {
    return std::unexpected(CUDA_ERROR_INVALID_HANDLE);
  }
  if (kind == NodeKind::record) {
    record->note_elsewhere();
  }
  return named_work(here, kind, handle_name(event));
}

Expected<Work> allocate_work(const Here& here, const CUDA_MEM_ALLOC_NODE_PARAMS* asked) {
  if (asked == nullptr || asked->bytesize == 0 || asked->poolProps.allocType != CU_MEM_ALLOCATION_TYPE_PINNED ||
      asked->accessDescCount > most_peers || (asked->accessDescs == nullptr && asked->accessDescCount != 0)) {
    return std::unexpected(CUDA_ERROR_INVALID_VALUE);
  }
  if (asked->poolProps.location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
      asked->poolProps.handleTypes != CU_MEM_HANDLE_TYPE_NONE) {
    return std::unexpected(CUDA_ERROR_NOT_SUPPORTED);
  }
  Work work{.kind = NodeKind::allocate, .context = here.context, .what = {}};
  append(work.what, AllocateNode{.size = asked->bytesize,
                                 .device = asked->poolProps.location.id,
                                 .peers = static_cast<std::uint32_t>(asked->accessDescCount)});
  for (const CUmemAccessDesc& peer : std::span(asked->accessDescs, asked->accessDescCount)) {
    append(work.what, PeerRow{.device = peer.location.id, .access = static_cast<std::uint32_t>(peer.flags)});
  }
  return work;
}

Expected<Work> free_work(const Here& here, CUdeviceptr address) {
  const auto range = here.cuda.memory.find(address);
  if (!range || range->base != address || !range->value.of_graph) {
    return std::unexpected(CUDA_ERROR_INVALID_VALUE);
  }
  return named_work(here, NodeKind::free, std::uint64_t{address});
}

// Adds a node; its function is forgotten where that fails.
CUresult add(const Here& here, CUgraphNode* node, const Edges& edges, const Expected<Work>& work,
             AddNode::Reply* reply = nullptr) {
  if (!work) {
    return work.error();
  }
  const auto fail_with = [&](CUresult code) {
    here.lane().forget_function(work->token);
    return code;
  };
  if (node == nullptr) {
    return fail_with(CUDA_ERROR_INVALID_VALUE);
  }
  if (const CUresult code = check_edges(here.cuda, edges); code != CUDA_SUCCESS) {
    return fail_with(code);
  }
  const auto id = here.cuda.nodes.reserve();
  if (!id) {
    return fail_with(CUDA_ERROR_OUT_OF_MEMORY);
  }
  std::vector<std::byte> body;
  for (CUgraphNode dependency : std::span(edges.nodes, edges.count)) {
    append(body, handle_name(dependency));
  }
  body.insert(body.end(), work->what.begin(), work->what.end());
  const auto added = here.lane().call<AddNode>({.graph = handle_name(edges.graph),
                                                .id = *id,
                                                .context = work->context,
                                                .kind = work->kind,
                                                .dependencies = static_cast<std::uint32_t>(edges.count),
                                                .token = work->token,
                                                .after = work->after ? 1U : 0U},
                                               body);
  if (!added) {
    here.cuda.nodes.cancel(*id);
    return fail_with(added.error());
  }
  here.cuda.nodes.publish(*id, {.graph = handle_name(edges.graph), .bodies = {}});
  if (reply != nullptr) {
    *reply = added->reply;
  }
  return give(node, handle_of<CUgraphNode>(*id));
}

// Changes a node: in its graph, or in an executable one.
CUresult set(const Here& here, CUgraphExec executable, CUgraphNode node, bool in_executable,
             const Expected<Work>& work) {
  if (!work) {
    return work.error();
  }
  const bool known =
      here.cuda.nodes.find(node) != nullptr && (!in_executable || here.cuda.executables.find(executable) != nullptr);
  const CUresult code = known ? here.lane().tell<SetNode>({.node = handle_name(node),
                                                           .executable = in_executable ? handle_name(executable) : 0,
                                                           .context = work->context,
                                                           .kind = work->kind,
                                                           .after = work->after ? 1U : 0U,
                                                           .token = work->token},
                                                          work->what)
                              : CUDA_ERROR_INVALID_HANDLE;
  if (code != CUDA_SUCCESS) {
    here.lane().forget_function(work->token);
  }
  return code;
}

CUresult add_allocation(const Here& here, CUgraphNode* node, const Edges& edges, CUDA_MEM_ALLOC_NODE_PARAMS* asked) {
  AddNode::Reply reply;
  CUresult code = add(here, node, edges, allocate_work(here, asked), &reply);
  if (code == CUDA_SUCCESS && !here.cuda.addresses.hold(reply.address, asked->bytesize)) {
    // Something of this process lies there, and the driver would choose the same address again. It does not destroy
    // such a node either: the graph is of no use.
    code = CUDA_ERROR_OUT_OF_MEMORY;
  }
  if (code == CUDA_SUCCESS) {
    asked->dptr = reply.address;
    here.cuda.memory.add(reply.address, asked->bytesize,
                         {.kind = MemoryKind::device,
                          .context = here.context,
                          .device = static_cast<std::uint32_t>(asked->poolProps.location.id),
                          .number = here.cuda.last_buffer.fetch_add(1, std::memory_order_relaxed) + 1,
                          .of_graph = true});
  }
  return code;
}

CUresult add_condition(const Here& here, CUgraphNode* node, const Edges& edges, CUDA_CONDITIONAL_NODE_PARAMS& asked) {
  if (asked.size == 0 || asked.size > most_bodies) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  Work work{.kind = NodeKind::condition, .context = context_or_current(here, asked.ctx), .what = {}};
  append(work.what,
         ConditionNode{.handle = asked.handle, .type = static_cast<std::uint32_t>(asked.type), .graphs = asked.size});
  std::vector<Id> names;
  CUresult code = CUDA_SUCCESS;
  for (unsigned i = 0; i < asked.size && code == CUDA_SUCCESS; ++i) {
    const auto id = here.cuda.graphs.reserve();
    code = id ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    if (id) {
      names.push_back(*id);
      append(work.what, *id);
    }
  }
  code = code == CUDA_SUCCESS ? add(here, node, edges, work) : code;
  if (code != CUDA_SUCCESS) {
    std::ranges::for_each(names, [&](Id id) { here.cuda.graphs.cancel(id); });
    return code;
  }
  NodeRecord& record = *here.cuda.nodes.find(*node);
  for (const Id id : names) {
    here.cuda.graphs.publish(id, {.id = id, .whole = handle_name(edges.graph)});
    record.bodies.push_back(handle_of<CUgraph>(id));
  }
  asked.phGraph_out = record.bodies.data();  // for as long as there is the node
  return CUDA_SUCCESS;
}

// What the members of CUgraphNodeParams say that are alike for adding and changing.
Expected<Work> work_of(const Here& here, const CUgraphNodeParams& asked) {
  switch (asked.type) {
    case CU_GRAPH_NODE_TYPE_KERNEL: {
      const CUDA_KERNEL_NODE_PARAMS kernel{.func = asked.kernel.func,
                                           .gridDimX = asked.kernel.gridDimX,
                                           .gridDimY = asked.kernel.gridDimY,
                                           .gridDimZ = asked.kernel.gridDimZ,
                                           .blockDimX = asked.kernel.blockDimX,
                                           .blockDimY = asked.kernel.blockDimY,
                                           .blockDimZ = asked.kernel.blockDimZ,
                                           .sharedMemBytes = asked.kernel.sharedMemBytes,
                                           .kernelParams = asked.kernel.kernelParams,
                                           .extra = asked.kernel.extra,
                                           .kern = asked.kernel.kern,
                                           .ctx = asked.kernel.ctx};
      return kernel_work(here, &kernel);
    }
    case CU_GRAPH_NODE_TYPE_MEMCPY:
      return copy_work(here, &asked.memcpy.copyParams, asked.memcpy.copyCtx);
    case CU_GRAPH_NODE_TYPE_MEMSET: {
      const CUDA_MEMSET_NODE_PARAMS fill{.dst = asked.memset.dst,
                                         .pitch = asked.memset.pitch,
                                         .value = asked.memset.value,
                                         .elementSize = asked.memset.elementSize,
                                         .width = asked.memset.width,
                                         .height = asked.memset.height};
      return fill_work(here, &fill, asked.memset.ctx);
    }
    case CU_GRAPH_NODE_TYPE_HOST:
      return host_work(here, asked.host.fn, asked.host.userData);
    case CU_GRAPH_NODE_TYPE_GRAPH:
      return child_work(here, asked.graph.graph);
    case CU_GRAPH_NODE_TYPE_EMPTY:
      return Work{.context = here.context, .what = {}};
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      return event_work(here, NodeKind::record, asked.eventRecord.event);
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      return event_work(here, NodeKind::wait, asked.eventWait.event);
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
      return free_work(here, asked.free.dptr);
    default:
      return std::unexpected(CUDA_ERROR_NOT_SUPPORTED);
  }
}

// Whether edges say no more than that one node comes after the other.
bool are_plain(const CUgraphEdgeData* edges, std::size_t count) {
  return edges == nullptr || std::all_of(edges, edges + count, [](const CUgraphEdgeData& edge) {
           return edge.from_port == 0 && edge.to_port == 0 && edge.type == 0;
         });
}

}  // namespace

CUresult CUDAAPI cuGraphAddEmptyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* nodes, std::size_t count) {
  return entry_here([&](const Here& here) {
    return add(here, node, {.graph = graph, .nodes = nodes, .count = count}, Work{.context = here.context, .what = {}});
  });
}

// Adds a node: the work is what follows.
#define ISTHMUS_CUDA_ADD(work) \
  return entry_here(           \
      [&](const Here& here) { return add(here, node, {.graph = graph, .nodes = nodes, .count = count}, work); })
// Changes a node in its graph, or in an executable one.
#define ISTHMUS_CUDA_SET(work) \
  return entry_here([&](const Here& here) { return set(here, nullptr, node, false, work); })
#define ISTHMUS_CUDA_SET_IN(work) \
  return entry_here([&](const Here& here) { return set(here, executable, node, true, work); })

CUresult CUDAAPI cuGraphAddKernelNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* nodes, std::size_t count,
                                      const CUDA_KERNEL_NODE_PARAMS* kernel) {
  ISTHMUS_CUDA_ADD(kernel_work(here, kernel));
}
CUresult CUDAAPI cuGraphKernelNodeSetParams(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* kernel) {
  ISTHMUS_CUDA_SET(kernel_work(here, kernel));
}
CUresult CUDAAPI cuGraphExecKernelNodeSetParams(CUgraphExec executable, CUgraphNode node,
                                                const CUDA_KERNEL_NODE_PARAMS* kernel) {
  ISTHMUS_CUDA_SET_IN(kernel_work(here, kernel));
}

CUresult CUDAAPI cuGraphAddMemcpyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* nodes, std::size_t count,
                                      const CUDA_MEMCPY3D* copy, CUcontext context) {
  ISTHMUS_CUDA_ADD(copy_work(here, copy, context));
}
CUresult CUDAAPI cuGraphMemcpyNodeSetParams(CUgraphNode node, const CUDA_MEMCPY3D* copy) {
  ISTHMUS_CUDA_SET(copy_work(here, copy, nullptr));
}
CUresult CUDAAPI cuGraphExecMemcpyNodeSetParams(CUgraphExec executable, CUgraphNode node, const CUDA_MEMCPY3D* copy,
                                                CUcontext context) {
  ISTHMUS_CUDA_SET_IN(copy_work(here, copy, context));
}

CUresult CUDAAPI cuGraphAddMemsetNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* nodes, std::size_t count,
                                      const CUDA_MEMSET_NODE_PARAMS* fill, CUcontext context) {
  ISTHMUS_CUDA_ADD(fill_work(here, fill, context));
}
CUresult CUDAAPI cuGraphMemsetNodeSetParams(CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS* fill) {
  ISTHMUS_CUDA_SET(fill_work(here, fill, nullptr));
}
CUresult CUDAAPI cuGraphExecMemsetNodeSetParams(CUgraphExec executable, CUgraphNode node,
                                                const CUDA_MEMSET_NODE_PARAMS* fill, CUcontext context) {
  ISTHMUS_CUDA_SET_IN(fill_work(here, fill, context));
}

CUresult CUDAAPI cuGraphAddHostNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* nodes, std::size_t count,
                                    const CUDA_HOST_NODE_PARAMS* host) {
  ISTHMUS_CUDA_ADD(host_work(here, host != nullptr ? host->fn : nullptr, host != nullptr ? host->userData : nullptr));
}
CUresult CUDAAPI cuGraphHostNodeSetParams(CUgraphNode node, const CUDA_HOST_NODE_PARAMS* host) {
  ISTHMUS_CUDA_SET(host_work(here, host != nullptr ? host->fn : nullptr, host != nullptr ? host->userData : nullptr));
}
CUresult CUDAAPI cuGraphExecHostNodeSetParams(CUgraphExec executable, CUgraphNode node,
                                              const CUDA_HOST_NODE_PARAMS* host) {
  ISTHMUS_CUDA_SET_IN(
      host_work(here, host != nullptr ? host->fn : nullptr, host != nullptr ? host->userData : nullptr));
}

CUresult CUDAAPI cuGraphAddChildGraphNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* nodes, std::size_t count,
                                          CUgraph child) {
  ISTHMUS_CUDA_ADD(child_work(here, child));
}
CUresult CUDAAPI cuGraphExecChildGraphNodeSetParams(CUgraphExec executable, CUgraphNode node, CUgraph child) {
  ISTHMUS_CUDA_SET_IN(child_work(here, child));
}

CUresult CUDAAPI cuGraphAddEventRecordNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* nodes,
                                           std::size_t count, CUevent event) {
  ISTHMUS_CUDA_ADD(event_work(here, NodeKind::record, event));
}
CUresult CUDAAPI cuGraphAddEventWaitNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* nodes, std::size_t count,
                                         CUevent event) {
  ISTHMUS_CUDA_ADD(event_work(here, NodeKind::wait, event));
}
CUresult CUDAAPI cuGraphEventRecordNodeSetEvent(CUgraphNode node, CUevent event) {
  ISTHMUS_CUDA_SET(event_work(here, NodeKind::record, event));
}
CUresult CUDAAPI cuGraphEventWaitNodeSetEvent(CUgraphNode node, CUevent event) {
  ISTHMUS_CUDA_SET(event_work(here, NodeKind::wait, event));
}
CUresult CUDAAPI cuGraphExecEventRecordNodeSetEvent(CUgraphExec executable, CUgraphNode node, CUevent event) {
  ISTHMUS_CUDA_SET_IN(event_work(here, NodeKind::record, event));
}
CUresult CUDAAPI cuGraphExecEventWaitNodeSetEvent(CUgraphExec executable, CUgraphNode node, CUevent event) {
  ISTHMUS_CUDA_SET_IN(event_work(here, NodeKind::wait, event));
}

CUresult CUDAAPI cuGraphAddMemAllocNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* nodes, std::size_t count,
                                        CUDA_MEM_ALLOC_NODE_PARAMS* asked) {
  return entry_here([&](const Here& here) {
    return add_allocation(here, node, {.graph = graph, .nodes = nodes, .count = count}, asked);
  });
}
CUresult CUDAAPI cuGraphAddMemFreeNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* nodes, std::size_t count,
                                       CUdeviceptr address) {
  ISTHMUS_CUDA_ADD(free_work(here, address));
}

CUresult CUDAAPI cuGraphAddNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* nodes, const CUgraphEdgeData* data,
                                std::size_t count, CUgraphNodeParams* asked) {
  return entry_here([&](const Here& here) -> CUresult {
    if (asked == nullptr || !are_plain(data, count)) {
      return asked == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_NOT_SUPPORTED;
    }
    const Edges edges{.graph = graph, .nodes = nodes, .count = count};
    if (asked->type == CU_GRAPH_NODE_TYPE_CONDITIONAL) {
      return add_condition(here, node, edges, asked->conditional);
    }
    if (asked->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC) {
      CUDA_MEM_ALLOC_NODE_PARAMS memory{.poolProps = asked->alloc.poolProps,
                                        .accessDescs = asked->alloc.accessDescs,
                                        .accessDescCount = asked->alloc.accessDescCount,
                                        .bytesize = asked->alloc.bytesize,
                                        .dptr = 0};
      const CUresult code = add_allocation(here, node, edges, &memory);
      asked->alloc.dptr = memory.dptr;
      return code;
    }
    return add(here, node, edges, work_of(here, *asked));
  });
}
CUresult CUDAAPI cuGraphNodeSetParams(CUgraphNode node, CUgraphNodeParams* asked) {
  if (asked == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  ISTHMUS_CUDA_SET(work_of(here, *asked));
}
CUresult CUDAAPI cuGraphExecNodeSetParams(CUgraphExec executable, CUgraphNode node, CUgraphNodeParams* asked) {
  if (asked == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  ISTHMUS_CUDA_SET_IN(work_of(here, *asked));
}

#undef ISTHMUS_CUDA_ADD
#undef ISTHMUS_CUDA_SET
#undef ISTHMUS_CUDA_SET_IN

CUresult CUDAAPI cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType* type) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (cuda.nodes.find(node) == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    const auto asked =
        cuda.lane->call<Query>({.question = {.subject = Subject::node_type, .object = handle_name(node)}});
    return asked ? give(type, asked->reply.values[0]) : asked.error();
  });
}

CUresult CUDAAPI cuGraphDestroyNode(CUgraphNode node) {
  return entry([&](Frontend& cuda) -> CUresult {
    const NodeRecord* const record = cuda.nodes.find(node);
    if (record == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    const auto bodies = record->bodies;
    const CUresult code = cuda.lane->tell<Release>({.kind = ObjectKind::node, .id = handle_name(node)});
    if (code == CUDA_SUCCESS) {
      cuda.nodes.remove(handle_name(node));
      for (CUgraph body : bodies) {
        cuda.graphs.remove(handle_name(body));
        forget_graph(cuda, handle_name(body));
      }
    }
    return code;
  });
}

CUresult CUDAAPI cuGraphNodeSetEnabled(CUgraphExec executable, CUgraphNode node, unsigned int enabled) {
  return entry([&](Frontend& cuda) {
    return cuda.lane->tell<Configure>({.question = {.subject = Subject::node_enabled,
                                                    .object = handle_name(executable),
                                                    .detail = {handle_name(node), 0, 0}},
                                       .value = enabled});
  });
}

CUresult CUDAAPI cuGraphNodeGetEnabled(CUgraphExec executable, CUgraphNode node, unsigned int* enabled) {
  return entry([&](Frontend& cuda) -> CUresult {
    const auto asked = cuda.lane->call<Query>({.question = {.subject = Subject::node_enabled,
                                                            .object = handle_name(executable),
                                                            .detail = {handle_name(node), 0, 0}}});
    return asked ? give(enabled, asked->reply.values[0]) : asked.error();
  });
}
