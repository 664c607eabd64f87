// SPDX-License-Identifier: Apache-2.0

#include "test/cudart/recorder.hpp"

#include <cstdint>

namespace isthmus::test {

Recorder recorder;

}  // namespace isthmus::test

using isthmus::test::recorder;

namespace {

constexpr std::uintptr_t some_handle = 0x1000;

template <class Handle>
CUresult give(Handle* to) {
  *to = reinterpret_cast<Handle>(some_handle);  // NOLINT(performance-no-int-to-ptr): leads nowhere
  return CUDA_SUCCESS;
}

bool touches_array(const auto& copy) {
  return copy.srcMemoryType == CU_MEMORYTYPE_ARRAY || copy.dstMemoryType == CU_MEMORYTYPE_ARRAY;
}

}  // namespace

// The program's own functions come before those of libcuda.so.1, for libcudart.so.13 too.
CUresult cuArray3DCreate(CUarray* array, const CUDA_ARRAY3D_DESCRIPTOR* descriptor) {
  recorder.array = *descriptor;
  return give(array);
}
CUresult cuArray3DGetDescriptor(CUDA_ARRAY3D_DESCRIPTOR* descriptor, CUarray /*array*/) {
  *descriptor = recorder.array;
  return CUDA_SUCCESS;
}
CUresult cuArrayDestroy(CUarray /*array*/) { return CUDA_SUCCESS; }
CUresult cuMipmappedArrayCreate(CUmipmappedArray* array, const CUDA_ARRAY3D_DESCRIPTOR* descriptor, unsigned levels) {
  recorder.array = *descriptor;
  recorder.levels = levels;
  return give(array);
}
CUresult cuTexObjectCreate(CUtexObject* object, const CUDA_RESOURCE_DESC* resource, const CUDA_TEXTURE_DESC* texture,
                           const CUDA_RESOURCE_VIEW_DESC* view) {
  recorder.resource = *resource;
  recorder.texture = *texture;
  recorder.has_view = view != nullptr;
  *object = some_handle;
  return CUDA_SUCCESS;
}
CUresult cuTexObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource, CUtexObject /*object*/) {
  *resource = recorder.resource;
  return CUDA_SUCCESS;
}
CUresult cuTexObjectGetTextureDesc(CUDA_TEXTURE_DESC* texture, CUtexObject /*object*/) {
  *texture = recorder.texture;
  return CUDA_SUCCESS;
}
CUresult cuSurfObjectCreate(CUsurfObject* object, const CUDA_RESOURCE_DESC* resource) {
  recorder.resource = *resource;
  *object = some_handle;
  return CUDA_SUCCESS;
}
CUresult cuGraphKernelNodeGetParams(CUgraphNode /*node*/, CUDA_KERNEL_NODE_PARAMS* parameters) {
  *parameters = recorder.kernel;
  return CUDA_SUCCESS;
}
CUresult cuGraphAddNode(CUgraphNode* node, CUgraph /*graph*/, const CUgraphNode* /*dependencies*/,
                        const CUgraphEdgeData* /*edges*/, std::size_t /*count*/, CUgraphNodeParams* parameters) {
  recorder.node = *parameters;
  static CUgraph body = nullptr;
  if (parameters->type == CU_GRAPH_NODE_TYPE_CONDITIONAL) {
    parameters->conditional.phGraph_out = &body;
  } else if (parameters->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC) {
    parameters->alloc.dptr = some_handle;
  }
  return give(node);
}
CUresult cuMemcpy2DUnaligned(const CUDA_MEMCPY2D* copy) {
  if (!touches_array(*copy)) {
    return cuMemcpy2DAsync(copy, nullptr) == CUDA_SUCCESS ? cuStreamSynchronize(nullptr) : CUDA_ERROR_INVALID_VALUE;
  }
  recorder.copies_2d.push_back(*copy);
  return CUDA_SUCCESS;
}
CUresult cuMemcpy3D(const CUDA_MEMCPY3D* copy) {
  if (!touches_array(*copy)) {
    return cuMemcpy3DAsync(copy, nullptr) == CUDA_SUCCESS ? cuStreamSynchronize(nullptr) : CUDA_ERROR_INVALID_VALUE;
  }
  recorder.copies_3d.push_back(*copy);
  return CUDA_SUCCESS;
}
