// SPDX-License-Identifier: Apache-2.0

// Nodes of graphs. Kernels and copies are described differently by runtime and driver; the others alike.

#include "guest/cudart/call.hpp"
#include "guest/cudart/module.hpp"
#include "guest/cudart/transfer.hpp"

using namespace isthmus::cudart;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

/// The context in which a node's memory is meant.
cudaError_t node_context(CUcontext& context) { return driver(cuCtxGetCurrent, &context); }

/// `Parameters`: cudaKernelNodeParams or its second version, which have the same members.
template <class Parameters, class DriverParameters>
cudaError_t to_driver_kernel(const Parameters& from, DriverParameters& to) {
  to = {};
  const cudaError_t error = resolve(from.func, to.kern);
  to.gridDimX = from.gridDim.x;
  to.gridDimY = from.gridDim.y;
  to.gridDimZ = from.gridDim.z;
  to.blockDimX = from.blockDim.x;
  to.blockDimY = from.blockDim.y;
  to.blockDimZ = from.blockDim.z;
  to.sharedMemBytes = from.sharedMemBytes;
  to.kernelParams = from.kernelParams;
  to.extra = from.extra;
  return error;
}

void to_runtime_kernel(const CUDA_KERNEL_NODE_PARAMS& from, cudaKernelNodeParams& to) {
  CUkernel kernel = from.kern != nullptr ? from.kern : kernel_of(from.func);
  to = {.func = kernel != nullptr ? const_cast<void*>(unresolve(kernel)) : static_cast<void*>(from.func),
        .gridDim = {from.gridDimX, from.gridDimY, from.gridDimZ},
        .blockDim = {from.blockDimX, from.blockDimY, from.blockDimZ},
        .sharedMemBytes = from.sharedMemBytes,
        .kernelParams = from.kernelParams,
        .extra = from.extra};
}

/// Runs `call(parameters)` with the driver's form of a kernel node's parameters.
template <class Call>
cudaError_t with_kernel_node(const cudaKernelNodeParams* parameters, Call call) {
  return with_context([&] {
    if (parameters == nullptr) {
      return cudaErrorInvalidValue;
    }
    CUDA_KERNEL_NODE_PARAMS driver_parameters{};
    const cudaError_t error = to_driver_kernel(*parameters, driver_parameters);
    return error == cudaSuccess ? call(&driver_parameters) : error;
  });
}

/// Runs `call(copy, context)` with the copy that `describe` writes.
template <class Describe, class Call>
cudaError_t with_copy(Describe describe, Call call) {
  return with_context([&] {
    CUDA_MEMCPY3D copy{};
    CUcontext context = nullptr;
    cudaError_t error = describe(copy);
    if (error == cudaSuccess) {
      error = node_context(context);
    }
    return error == cudaSuccess ? call(&copy, context) : error;
  });
}

// The four ways to describe a copy.

auto described(const cudaMemcpy3DParms* parameters) {
  return [=](CUDA_MEMCPY3D& copy) {
    return parameters != nullptr ? to_driver_copy(*parameters, copy) : cudaErrorInvalidValue;
  };
}

auto in_one_line(void* to, const void* from, std::size_t size, cudaMemcpyKind kind) {
  return [=](CUDA_MEMCPY3D& copy) { return to_driver_copy(to, from, size, kind, copy); };
}

auto to_symbol(const void* symbol, const void* from, std::size_t size, std::size_t offset, cudaMemcpyKind kind) {
  return [=](CUDA_MEMCPY3D& copy) {
    void* to = nullptr;
    const cudaError_t error = inside_symbol(symbol, offset, size, to);
    return error == cudaSuccess ? to_driver_copy(to, from, size, kind, copy) : error;
  };
}

auto from_symbol(void* to, const void* symbol, std::size_t size, std::size_t offset, cudaMemcpyKind kind) {
  return [=](CUDA_MEMCPY3D& copy) {
    void* from = nullptr;
    const cudaError_t error = inside_symbol(symbol, offset, size, from);
    return error == cudaSuccess ? to_driver_copy(to, from, size, kind, copy) : error;
  };
}

// The three things to do with a copy.

auto adding(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies, std::size_t count) {
  return [=](const CUDA_MEMCPY3D* copy, CUcontext context) {
    return driver(cuGraphAddMemcpyNode, node, graph, dependencies, count, copy, context);
  };
}

auto setting(cudaGraphNode_t node) {
  return
      [=](const CUDA_MEMCPY3D* copy, CUcontext /*context*/) { return driver(cuGraphMemcpyNodeSetParams, node, copy); };
}

auto setting(cudaGraphExec_t executable, cudaGraphNode_t node) {
  return [=](const CUDA_MEMCPY3D* copy, CUcontext context) {
    return driver(cuGraphExecMemcpyNodeSetParams, executable, node, copy, context);
  };
}

}  // namespace

// --- kernels ---

cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   std::size_t count, const cudaKernelNodeParams* parameters) {
  return with_kernel_node(parameters, [&](const CUDA_KERNEL_NODE_PARAMS* kernel) {
    return driver(cuGraphAddKernelNode, node, graph, dependencies, count, kernel);
  });
}
cudaError_t cudaGraphKernelNodeSetParams(cudaGraphNode_t node, const cudaKernelNodeParams* parameters) {
  return with_kernel_node(parameters, [&](const CUDA_KERNEL_NODE_PARAMS* kernel) {
    return driver(cuGraphKernelNodeSetParams, node, kernel);
  });
}
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t executable, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* parameters) {
  return with_kernel_node(parameters, [&](const CUDA_KERNEL_NODE_PARAMS* kernel) {
    return driver(cuGraphExecKernelNodeSetParams, executable, node, kernel);
  });
}
cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t node, cudaKernelNodeParams* parameters) {
  return with_context([&] {
    CUDA_KERNEL_NODE_PARAMS kernel{};
    const cudaError_t error =
        parameters != nullptr ? driver(cuGraphKernelNodeGetParams, node, &kernel) : cudaErrorInvalidValue;
    if (error == cudaSuccess) {
      to_runtime_kernel(kernel, *parameters);
    }
    return error;
  });
}
cudaError_t cudaGraphKernelNodeCopyAttributes(cudaGraphNode_t to, cudaGraphNode_t from) {
  return forward(cuGraphKernelNodeCopyAttributes, to, from);
}
cudaError_t cudaGraphKernelNodeGetAttribute(cudaGraphNode_t node, cudaLaunchAttributeID attribute,
                                            cudaLaunchAttributeValue* value) {
  return forward(cuGraphKernelNodeGetAttribute, node, attribute, value);
}
cudaError_t cudaGraphKernelNodeSetAttribute(cudaGraphNode_t node, cudaLaunchAttributeID attribute,
                                            const cudaLaunchAttributeValue* value) {
  return forward(cuGraphKernelNodeSetAttribute, node, attribute, value);
}

// --- copies ---

cudaError_t cudaGraphAddMemcpyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   std::size_t count, const cudaMemcpy3DParms* parameters) {
  return with_copy(described(parameters), adding(node, graph, dependencies, count));
}
cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                     std::size_t count, void* to, const void* from, std::size_t size,
                                     cudaMemcpyKind kind) {
  return with_copy(in_one_line(to, from, size, kind), adding(node, graph, dependencies, count));
}
cudaError_t cudaGraphAddMemcpyNodeToSymbol(cudaGraphNode_t* node, cudaGraph_t graph,
                                           const cudaGraphNode_t* dependencies, std::size_t count, const void* symbol,
                                           const void* from, std::size_t size, std::size_t offset,
                                           cudaMemcpyKind kind) {
  return with_copy(to_symbol(symbol, from, size, offset, kind), adding(node, graph, dependencies, count));
}
cudaError_t cudaGraphAddMemcpyNodeFromSymbol(cudaGraphNode_t* node, cudaGraph_t graph,
                                             const cudaGraphNode_t* dependencies, std::size_t count, void* to,
                                             const void* symbol, std::size_t size, std::size_t offset,
                                             cudaMemcpyKind kind) {
  return with_copy(from_symbol(to, symbol, size, offset, kind), adding(node, graph, dependencies, count));
}
cudaError_t cudaGraphMemcpyNodeSetParams(cudaGraphNode_t node, const cudaMemcpy3DParms* parameters) {
  return with_copy(described(parameters), setting(node));
}
cudaError_t cudaGraphMemcpyNodeSetParams1D(cudaGraphNode_t node, void* to, const void* from, std::size_t size,
                                           cudaMemcpyKind kind) {
  return with_copy(in_one_line(to, from, size, kind), setting(node));
}
cudaError_t cudaGraphMemcpyNodeSetParamsToSymbol(cudaGraphNode_t node, const void* symbol, const void* from,
                                                 std::size_t size, std::size_t offset, cudaMemcpyKind kind) {
  return with_copy(to_symbol(symbol, from, size, offset, kind), setting(node));
}
cudaError_t cudaGraphMemcpyNodeSetParamsFromSymbol(cudaGraphNode_t node, void* to, const void* symbol, std::size_t size,
                                                   std::size_t offset, cudaMemcpyKind kind) {
  return with_copy(from_symbol(to, symbol, size, offset, kind), setting(node));
}
cudaError_t cudaGraphExecMemcpyNodeSetParams(cudaGraphExec_t executable, cudaGraphNode_t node,
                                             const cudaMemcpy3DParms* parameters) {
  return with_copy(described(parameters), setting(executable, node));
}
cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t executable, cudaGraphNode_t node, void* to,
                                               const void* from, std::size_t size, cudaMemcpyKind kind) {
  return with_copy(in_one_line(to, from, size, kind), setting(executable, node));
}
cudaError_t cudaGraphExecMemcpyNodeSetParamsToSymbol(cudaGraphExec_t executable, cudaGraphNode_t node,
                                                     const void* symbol, const void* from, std::size_t size,
                                                     std::size_t offset, cudaMemcpyKind kind) {
  return with_copy(to_symbol(symbol, from, size, offset, kind), setting(executable, node));
}
cudaError_t cudaGraphExecMemcpyNodeSetParamsFromSymbol(cudaGraphExec_t executable, cudaGraphNode_t node, void* to,
                                                       const void* symbol, std::size_t size, std::size_t offset,
                                                       cudaMemcpyKind kind) {
  return with_copy(from_symbol(to, symbol, size, offset, kind), setting(executable, node));
}
cudaError_t cudaGraphMemcpyNodeGetParams(cudaGraphNode_t node, cudaMemcpy3DParms* parameters) {
  return with_context([&] {
    CUDA_MEMCPY3D copy{};
    const cudaError_t error =
        parameters != nullptr ? driver(cuGraphMemcpyNodeGetParams, node, &copy) : cudaErrorInvalidValue;
    return error == cudaSuccess ? to_runtime_copy(copy, *parameters) : error;
  });
}

// --- fills ---

cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   std::size_t count, const cudaMemsetParams* parameters) {
  return with_context([&] {
    CUcontext context = nullptr;
    const cudaError_t error = node_context(context);
    return error == cudaSuccess ? driver(cuGraphAddMemsetNode, node, graph, dependencies, count, parameters, context)
                                : error;
  });
}
cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t executable, cudaGraphNode_t node,
                                             const cudaMemsetParams* parameters) {
  return with_context([&] {
    CUcontext context = nullptr;
    const cudaError_t error = node_context(context);
    return error == cudaSuccess ? driver(cuGraphExecMemsetNodeSetParams, executable, node, parameters, context) : error;
  });
}
cudaError_t cudaGraphMemsetNodeGetParams(cudaGraphNode_t node, cudaMemsetParams* parameters) {
  return forward(cuGraphMemsetNodeGetParams, node, parameters);
}
cudaError_t cudaGraphMemsetNodeSetParams(cudaGraphNode_t node, const cudaMemsetParams* parameters) {
  return forward(cuGraphMemsetNodeSetParams, node, parameters);
}

// --- host functions, child graphs, events, memory ---

cudaError_t cudaGraphAddHostNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                 std::size_t count, const cudaHostNodeParams* parameters) {
  return forward(cuGraphAddHostNode, node, graph, dependencies, count, parameters);
}
cudaError_t cudaGraphHostNodeGetParams(cudaGraphNode_t node, cudaHostNodeParams* parameters) {
  return forward(cuGraphHostNodeGetParams, node, parameters);
}
cudaError_t cudaGraphHostNodeSetParams(cudaGraphNode_t node, const cudaHostNodeParams* parameters) {
  return forward(cuGraphHostNodeSetParams, node, parameters);
}
cudaError_t cudaGraphExecHostNodeSetParams(cudaGraphExec_t executable, cudaGraphNode_t node,
                                           const cudaHostNodeParams* parameters) {
  return forward(cuGraphExecHostNodeSetParams, executable, node, parameters);
}

cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                       std::size_t count, cudaGraph_t child) {
  return forward(cuGraphAddChildGraphNode, node, graph, dependencies, count, child);
}
cudaError_t cudaGraphChildGraphNodeGetGraph(cudaGraphNode_t node, cudaGraph_t* graph) {
  return forward(cuGraphChildGraphNodeGetGraph, node, graph);
}
cudaError_t cudaGraphExecChildGraphNodeSetParams(cudaGraphExec_t executable, cudaGraphNode_t node, cudaGraph_t child) {
  return forward(cuGraphExecChildGraphNodeSetParams, executable, node, child);
}

cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                  std::size_t count) {
  return forward(cuGraphAddEmptyNode, node, graph, dependencies, count);
}

cudaError_t cudaGraphAddEventRecordNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                        std::size_t count, cudaEvent_t event) {
  return forward(cuGraphAddEventRecordNode, node, graph, dependencies, count, event);
}
cudaError_t cudaGraphEventRecordNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* event) {
  return forward(cuGraphEventRecordNodeGetEvent, node, event);
}
cudaError_t cudaGraphEventRecordNodeSetEvent(cudaGraphNode_t node, cudaEvent_t event) {
  return forward(cuGraphEventRecordNodeSetEvent, node, event);
}
cudaError_t cudaGraphExecEventRecordNodeSetEvent(cudaGraphExec_t executable, cudaGraphNode_t node, cudaEvent_t event) {
  return forward(cuGraphExecEventRecordNodeSetEvent, executable, node, event);
}
cudaError_t cudaGraphAddEventWaitNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                      std::size_t count, cudaEvent_t event) {
  return forward(cuGraphAddEventWaitNode, node, graph, dependencies, count, event);
}
cudaError_t cudaGraphEventWaitNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* event) {
  return forward(cuGraphEventWaitNodeGetEvent, node, event);
}
cudaError_t cudaGraphEventWaitNodeSetEvent(cudaGraphNode_t node, cudaEvent_t event) {
  return forward(cuGraphEventWaitNodeSetEvent, node, event);
}
cudaError_t cudaGraphExecEventWaitNodeSetEvent(cudaGraphExec_t executable, cudaGraphNode_t node, cudaEvent_t event) {
  return forward(cuGraphExecEventWaitNodeSetEvent, executable, node, event);
}

cudaError_t cudaGraphAddExternalSemaphoresSignalNode(cudaGraphNode_t* node, cudaGraph_t graph,
                                                     const cudaGraphNode_t* dependencies, std::size_t count,
                                                     const cudaExternalSemaphoreSignalNodeParams* parameters) {
  return forward(cuGraphAddExternalSemaphoresSignalNode, node, graph, dependencies, count, parameters);
}
cudaError_t cudaGraphExternalSemaphoresSignalNodeGetParams(cudaGraphNode_t node,
                                                           cudaExternalSemaphoreSignalNodeParams* parameters) {
  return forward(cuGraphExternalSemaphoresSignalNodeGetParams, node, parameters);
}
cudaError_t cudaGraphExternalSemaphoresSignalNodeSetParams(cudaGraphNode_t node,
                                                           const cudaExternalSemaphoreSignalNodeParams* parameters) {
  return forward(cuGraphExternalSemaphoresSignalNodeSetParams, node, parameters);
}
cudaError_t cudaGraphExecExternalSemaphoresSignalNodeSetParams(
    cudaGraphExec_t executable, cudaGraphNode_t node, const cudaExternalSemaphoreSignalNodeParams* parameters) {
  return forward(cuGraphExecExternalSemaphoresSignalNodeSetParams, executable, node, parameters);
}
cudaError_t cudaGraphAddExternalSemaphoresWaitNode(cudaGraphNode_t* node, cudaGraph_t graph,
                                                   const cudaGraphNode_t* dependencies, std::size_t count,
                                                   const cudaExternalSemaphoreWaitNodeParams* parameters) {
  return forward(cuGraphAddExternalSemaphoresWaitNode, node, graph, dependencies, count, parameters);
}
cudaError_t cudaGraphExternalSemaphoresWaitNodeGetParams(cudaGraphNode_t node,
                                                         cudaExternalSemaphoreWaitNodeParams* parameters) {
  return forward(cuGraphExternalSemaphoresWaitNodeGetParams, node, parameters);
}
cudaError_t cudaGraphExternalSemaphoresWaitNodeSetParams(cudaGraphNode_t node,
                                                         const cudaExternalSemaphoreWaitNodeParams* parameters) {
  return forward(cuGraphExternalSemaphoresWaitNodeSetParams, node, parameters);
}
cudaError_t cudaGraphExecExternalSemaphoresWaitNodeSetParams(cudaGraphExec_t executable, cudaGraphNode_t node,
                                                             const cudaExternalSemaphoreWaitNodeParams* parameters) {
  return forward(cuGraphExecExternalSemaphoresWaitNodeSetParams, executable, node, parameters);
}

cudaError_t cudaGraphAddMemAllocNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                     std::size_t count, cudaMemAllocNodeParams* parameters) {
  return forward(cuGraphAddMemAllocNode, node, graph, dependencies, count, parameters);
}
cudaError_t cudaGraphMemAllocNodeGetParams(cudaGraphNode_t node, cudaMemAllocNodeParams* parameters) {
  return forward(cuGraphMemAllocNodeGetParams, node, parameters);
}
cudaError_t cudaGraphAddMemFreeNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                    std::size_t count, void* pointer) {
  return forward(cuGraphAddMemFreeNode, node, graph, dependencies, count, pointer);
}
cudaError_t cudaGraphMemFreeNodeGetParams(cudaGraphNode_t node, void* pointer) {
  return forward(cuGraphMemFreeNodeGetParams, node, static_cast<CUdeviceptr*>(pointer));
}

// --- any node ---

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  return forward(cuGraphNodeGetType, node, type);
}
cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t node, cudaGraphNode_t* dependencies, cudaGraphEdgeData* edges,
                                         std::size_t* count) {
  return forward(cuGraphNodeGetDependencies, node, dependencies, edges, count);
}
cudaError_t cudaGraphNodeGetDependentNodes(cudaGraphNode_t node, cudaGraphNode_t* dependents, cudaGraphEdgeData* edges,
                                           std::size_t* count) {
  return forward(cuGraphNodeGetDependentNodes, node, dependents, edges, count);
}
cudaError_t cudaGraphDestroyNode(cudaGraphNode_t node) { return forward(cuGraphDestroyNode, node); }
cudaError_t cudaGraphNodeSetEnabled(cudaGraphExec_t executable, cudaGraphNode_t node, unsigned is_enabled) {
  return forward(cuGraphNodeSetEnabled, executable, node, is_enabled);
}
cudaError_t cudaGraphNodeGetEnabled(cudaGraphExec_t executable, cudaGraphNode_t node, unsigned* is_enabled) {
  return forward(cuGraphNodeGetEnabled, executable, node, is_enabled);
}

namespace {

cudaError_t to_driver_node(const cudaGraphNodeParams& from, CUgraphNodeParams& to) {
  to = {};
  to.type = static_cast<CUgraphNodeType>(from.type);
  CUcontext context = nullptr;
  const cudaError_t error = node_context(context);
  if (error != cudaSuccess) {
    return error;
  }
  switch (from.type) {
    case cudaGraphNodeTypeKernel:
      return to_driver_kernel(from.kernel, to.kernel);
    case cudaGraphNodeTypeMemcpy:
      to.memcpy.flags = from.memcpy.flags;
      to.memcpy.copyCtx = context;
      return to_driver_copy(from.memcpy.copyParams, to.memcpy.copyParams);
    case cudaGraphNodeTypeMemset:
      to.memset = {.dst = as<CUdeviceptr>(from.memset.dst),
                   .pitch = from.memset.pitch,
                   .value = from.memset.value,
                   .elementSize = from.memset.elementSize,
                   .width = from.memset.width,
                   .height = from.memset.height,
                   .ctx = context};
      return cudaSuccess;
    case cudaGraphNodeTypeHost:
      to.host = {.fn = from.host.fn, .userData = from.host.userData};
      return cudaSuccess;
    case cudaGraphNodeTypeGraph:
      to.graph = {.graph = from.graph.graph,
                  .ownership = static_cast<CUgraphChildGraphNodeOwnership>(from.graph.ownership)};
      return cudaSuccess;
    case cudaGraphNodeTypeEmpty:
      return cudaSuccess;
    case cudaGraphNodeTypeWaitEvent:
      to.eventWait.event = from.eventWait.event;
      return cudaSuccess;
    case cudaGraphNodeTypeEventRecord:
      to.eventRecord.event = from.eventRecord.event;
      return cudaSuccess;
    case cudaGraphNodeTypeExtSemaphoreSignal:
      to.extSemSignal = {.extSemArray = as<CUexternalSemaphore*>(from.extSemSignal.extSemArray),
                         .paramsArray = as<const CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS*>(from.extSemSignal.paramsArray),
                         .numExtSems = from.extSemSignal.numExtSems};
      return cudaSuccess;
    case cudaGraphNodeTypeExtSemaphoreWait:
      to.extSemWait = {.extSemArray = as<CUexternalSemaphore*>(from.extSemWait.extSemArray),
                       .paramsArray = as<const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS*>(from.extSemWait.paramsArray),
                       .numExtSems = from.extSemWait.numExtSems};
      return cudaSuccess;
    case cudaGraphNodeTypeMemAlloc:
      to.alloc = {.poolProps = as<CUmemPoolProps>(from.alloc.poolProps),
                  .accessDescs = as<const CUmemAccessDesc*>(from.alloc.accessDescs),
                  .accessDescCount = from.alloc.accessDescCount,
                  .bytesize = from.alloc.bytesize,
                  .dptr = 0};
      return cudaSuccess;
    case cudaGraphNodeTypeMemFree:
      to.free.dptr = as<CUdeviceptr>(from.free.dptr);
      return cudaSuccess;
    case cudaGraphNodeTypeConditional:
      to.conditional = {.handle = from.conditional.handle,
                        .type = static_cast<CUgraphConditionalNodeType>(from.conditional.type),
                        .size = from.conditional.size,
                        .phGraph_out = nullptr,
                        .ctx = context};
      return cudaSuccess;
    default:
      return cudaErrorInvalidValue;
  }
}

/// Runs `call(parameters)` with the driver's form, and gives back what the driver wrote into it.
template <class Call>
cudaError_t with_node(cudaGraphNodeParams* parameters, Call call) {
  return with_context([&] {
    if (parameters == nullptr) {
      return cudaErrorInvalidValue;
    }
    CUgraphNodeParams driver_parameters{};
    cudaError_t error = to_driver_node(*parameters, driver_parameters);
    if (error == cudaSuccess) {
      error = call(&driver_parameters);
    }
    if (error == cudaSuccess && parameters->type == cudaGraphNodeTypeMemAlloc) {
      parameters->alloc.dptr =
          reinterpret_cast<void*>(driver_parameters.alloc.dptr);  // NOLINT(performance-no-int-to-ptr): an address
    } else if (error == cudaSuccess && parameters->type == cudaGraphNodeTypeConditional) {
      parameters->conditional.phGraph_out = driver_parameters.conditional.phGraph_out;
    }
    return error;
  });
}

}  // namespace

cudaError_t cudaGraphAddNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                             const cudaGraphEdgeData* edges, std::size_t count, cudaGraphNodeParams* parameters) {
  return with_node(parameters, [&](CUgraphNodeParams* driver_parameters) {
    return driver(cuGraphAddNode, node, graph, dependencies, edges, count, driver_parameters);
  });
}
cudaError_t cudaGraphNodeSetParams(cudaGraphNode_t node, cudaGraphNodeParams* parameters) {
  return with_node(parameters, [&](CUgraphNodeParams* driver_parameters) {
    return driver(cuGraphNodeSetParams, node, driver_parameters);
  });
}
cudaError_t cudaGraphExecNodeSetParams(cudaGraphExec_t executable, cudaGraphNode_t node,
                                       cudaGraphNodeParams* parameters) {
  return with_node(parameters, [&](CUgraphNodeParams* driver_parameters) {
    return driver(cuGraphExecNodeSetParams, executable, node, driver_parameters);
  });
}
