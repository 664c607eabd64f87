// SPDX-License-Identifier: Apache-2.0

// Graphs as a whole: making, joining, instantiating, launching. Their nodes: graph_node.cpp.

#include "guest/cudart/call.hpp"

using namespace isthmus::cudart;  // NOLINT(google-build-using-namespace): the names below are C's

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned flags) { return forward(cuGraphCreate, graph, flags); }
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return forward(cuGraphDestroy, graph); }
cudaError_t cudaGraphClone(cudaGraph_t* clone, cudaGraph_t graph) { return forward(cuGraphClone, clone, graph); }
cudaError_t cudaGraphNodeFindInClone(cudaGraphNode_t* node, cudaGraphNode_t original, cudaGraph_t clone) {
  return forward(cuGraphNodeFindInClone, node, original, clone);
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  return forward(cuGraphGetNodes, graph, nodes, count);
}
cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  return forward(cuGraphGetRootNodes, graph, nodes, count);
}
cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to, cudaGraphEdgeData* edges,
                              std::size_t* count) {
  return forward(cuGraphGetEdges, graph, from, to, edges, count);
}
cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                     const cudaGraphEdgeData* edges, std::size_t count) {
  return forward(cuGraphAddDependencies, graph, from, to, edges, count);
}
cudaError_t cudaGraphRemoveDependencies(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                        const cudaGraphEdgeData* edges, std::size_t count) {
  return forward(cuGraphRemoveDependencies, graph, from, to, edges, count);
}
cudaError_t cudaGraphDebugDotPrint(cudaGraph_t graph, const char* path, unsigned flags) {
  return forward(cuGraphDebugDotPrint, graph, path, flags);
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags) {
  return forward(cuGraphInstantiate, executable, graph, flags);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags) {
  return cudaGraphInstantiateWithFlags(executable, graph, flags);
}
cudaError_t cudaGraphInstantiateWithParams(cudaGraphExec_t* executable, cudaGraph_t graph,
                                           cudaGraphInstantiateParams* parameters) {
  return forward(cuGraphInstantiateWithParams, executable, graph, parameters);
}
cudaError_t cudaGraphExecGetFlags(cudaGraphExec_t executable, unsigned long long* flags) {
  return forward(cuGraphExecGetFlags, executable, flags);
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { return forward(cuGraphExecDestroy, executable); }
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t executable, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* result) {
  return forward(cuGraphExecUpdate, executable, graph, result);
}
cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t stream) {
  return forward(cuGraphUpload, executable, stream);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  return forward(cuGraphLaunch, executable, stream);
}

cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle* handle, cudaGraph_t graph,
                                             unsigned default_value, unsigned flags) {
  return with_context([&] {
    CUcontext context = nullptr;
    const cudaError_t error = driver(cuCtxGetCurrent, &context);
    return error == cudaSuccess ? driver(cuGraphConditionalHandleCreate, handle, graph, context, default_value, flags)
                                : error;
  });
}

cudaError_t cudaDeviceGraphMemTrim(int device) { return forward(cuDeviceGraphMemTrim, device); }
cudaError_t cudaDeviceGetGraphMemAttribute(int device, cudaGraphMemAttributeType attribute, void* value) {
  return forward(cuDeviceGetGraphMemAttribute, device, attribute, value);
}
cudaError_t cudaDeviceSetGraphMemAttribute(int device, cudaGraphMemAttributeType attribute, void* value) {
  return forward(cuDeviceSetGraphMemAttribute, device, attribute, value);
}

cudaError_t cudaUserObjectCreate(cudaUserObject_t* object, void* pointer, cudaHostFn_t destroy, unsigned references,
                                 unsigned flags) {
  return forward(cuUserObjectCreate, object, pointer, destroy, references, flags);
}
cudaError_t cudaUserObjectRetain(cudaUserObject_t object, unsigned count) {
  return forward(cuUserObjectRetain, object, count);
}
cudaError_t cudaUserObjectRelease(cudaUserObject_t object, unsigned count) {
  return forward(cuUserObjectRelease, object, count);
}
cudaError_t cudaGraphRetainUserObject(cudaGraph_t graph, cudaUserObject_t object, unsigned count, unsigned flags) {
  return forward(cuGraphRetainUserObject, graph, object, count, flags);
}
cudaError_t cudaGraphReleaseUserObject(cudaGraph_t graph, cudaUserObject_t object, unsigned count) {
  return forward(cuGraphReleaseUserObject, graph, object, count);
}
