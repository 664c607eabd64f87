// SPDX-License-Identifier: Apache-2.0
// Conditional nodes, and what keeps a program's objects alive as long as a graph.
#include <cuda.h>

#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/graph.hpp"

namespace isthmus::standin {

UserObject::~UserObject() { destroy(pointer); }

void set_condition(CUgraphConditionalHandle handle, unsigned value) {
  const auto condition = driver().conditions.find(handle);
  if (condition == nullptr) {
    throw KernelFault{CUDA_ERROR_ILLEGAL_ADDRESS};
  }
  condition->value = value;
}

}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuGraphConditionalHandleCreate(CUgraphConditionalHandle* handle, CUgraph graph, CUcontext context,
                                        unsigned value, unsigned flags) {
  return initialised(__func__, [&] {
    auto& to = out(handle);
    driver().contexts.get(context, CUDA_ERROR_INVALID_CONTEXT);
    require(flags <= CU_GRAPH_COND_ASSIGN_DEFAULT, CUDA_ERROR_INVALID_VALUE, "flags");
    const auto of = driver().graphs.get(graph, CUDA_ERROR_INVALID_VALUE);
    auto condition = std::make_shared<Condition>(value, flags == CU_GRAPH_COND_ASSIGN_DEFAULT);
    of->conditions.push_back(condition);
    to = driver().conditions.add(condition);
  });
}

CUresult cuUserObjectCreate(CUuserObject* result, void* pointer, CUhostFn destroy, unsigned references,
                            unsigned flags) {
  return initialised(__func__, [&] {
    auto& to = out(result);
    require(destroy != nullptr && flags == CU_USER_OBJECT_NO_DESTRUCTOR_SYNC, CUDA_ERROR_INVALID_VALUE);
    require(references == 1, CUDA_ERROR_NOT_SUPPORTED, "the stand-in counts to one");
    to = driver().user_objects.add(std::make_shared<UserObject>(pointer, destroy));
  });
}

CUresult cuUserObjectRelease(CUuserObject object, unsigned count) {
  return initialised(__func__, [&] {
    require(count == 1, CUDA_ERROR_NOT_SUPPORTED, "the stand-in counts to one");
    driver().user_objects.take(object, CUDA_ERROR_INVALID_VALUE);
  });
}

CUresult cuGraphRetainUserObject(CUgraph handle, CUuserObject object, unsigned count, unsigned flags) {
  return initialised(__func__, [&] {
    require(count == 1 && flags <= CU_GRAPH_USER_OBJECT_MOVE, CUDA_ERROR_INVALID_VALUE);
    const auto graph = driver().graphs.get(handle, CUDA_ERROR_INVALID_VALUE);
    graph->objects.push_back(flags == CU_GRAPH_USER_OBJECT_MOVE
                                 ? driver().user_objects.take(object, CUDA_ERROR_INVALID_VALUE)
                                 : driver().user_objects.get(object, CUDA_ERROR_INVALID_VALUE));
  });
}
