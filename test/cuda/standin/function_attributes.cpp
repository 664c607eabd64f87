// SPDX-License-Identifier: Apache-2.0
#include "test/cuda/standin/function_attributes.hpp"

#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/module.hpp"

namespace isthmus::standin {
namespace {

constexpr int most_opt_in_shared = 227 * 1024;  // of an H100

}  // namespace

int get_attribute(const Function& function, CUfunction_attribute attribute) {
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      return 1024;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      return static_cast<int>(function.image.static_shared);
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
    case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
      return 0;
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
      return 32;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
      return 90;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      return function.most_dynamic_shared;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      return function.carveout;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      return 0;
    default:
      fail(CUDA_ERROR_INVALID_VALUE, "an attribute of functions");
  }
}

void set_attribute(Function& function, CUfunction_attribute attribute, int value) {
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      require(value >= 0 && value <= most_opt_in_shared - static_cast<int>(function.image.static_shared),
              CUDA_ERROR_INVALID_VALUE, "shared memory");
      function.most_dynamic_shared = value;
      return;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      require(value >= -1 && value <= 100, CUDA_ERROR_INVALID_VALUE, "percent");
      function.carveout = value;
      return;
    default:
      fail(CUDA_ERROR_INVALID_VALUE, "an attribute of functions that may be set");
  }
}

void give_parameter(const Layout& layout, std::size_t index, std::size_t* offset, std::size_t* size) {
  require(index < layout.size(), CUDA_ERROR_INVALID_VALUE, "past the last parameter");
  out(offset) = layout[index].offset;
  if (size != nullptr) {
    *size = layout[index].size;
  }
}

}  // namespace isthmus::standin
