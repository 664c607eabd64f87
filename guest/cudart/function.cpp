// SPDX-License-Identifier: Apache-2.0

// What a program may ask about a kernel or set for it, occupancy, and kernels' handles.

#include <array>
#include <cstddef>

#include "guest/cudart/call.hpp"
#include "guest/cudart/launch.hpp"
#include "guest/cudart/module.hpp"

using namespace isthmus::cudart;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

/// Runs `body(kernel)` with what `function` stands for.
template <class Body>
cudaError_t with_kernel(const void* function, Body body) {
  return with_context([&] {
    CUkernel kernel = nullptr;
    const cudaError_t error = resolve(function, kernel);
    return error == cudaSuccess ? body(kernel) : error;
  });
}

/// As above, and with the device whose attributes of the kernel are meant.
template <class Body>
cudaError_t with_kernel_and_device(const void* function, Body body) {
  return with_kernel(function, [&](CUkernel kernel) {
    int device = 0;
    const cudaError_t error = current_device(device);
    return error == cudaSuccess ? body(kernel, device) : error;
  });
}

/// The driver's occupancy functions take a kernel as a function, and answer for the current context.
CUfunction as_function(CUkernel kernel) { return reinterpret_cast<CUfunction>(kernel); }

struct AttributeField {
  CUfunction_attribute attribute;
  std::size_t offset;  ///< in cudaFuncAttributes
  bool is_size;        ///< a size_t, else an int
};

#define SIZE_FIELD(attribute, member) \
  AttributeField { attribute, offsetof(cudaFuncAttributes, member), true }
#define INT_FIELD(attribute, member) \
  AttributeField { attribute, offsetof(cudaFuncAttributes, member), false }
constexpr auto attribute_fields = std::to_array<AttributeField>({
    SIZE_FIELD(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, sharedSizeBytes),
    SIZE_FIELD(CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES, constSizeBytes),
    SIZE_FIELD(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, localSizeBytes),
    INT_FIELD(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, maxThreadsPerBlock),
    INT_FIELD(CU_FUNC_ATTRIBUTE_NUM_REGS, numRegs),
    INT_FIELD(CU_FUNC_ATTRIBUTE_PTX_VERSION, ptxVersion),
    INT_FIELD(CU_FUNC_ATTRIBUTE_BINARY_VERSION, binaryVersion),
    INT_FIELD(CU_FUNC_ATTRIBUTE_CACHE_MODE_CA, cacheModeCA),
    INT_FIELD(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, maxDynamicSharedSizeBytes),
    INT_FIELD(CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, preferredShmemCarveout),
    INT_FIELD(CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET, clusterDimMustBeSet),
    INT_FIELD(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH, requiredClusterWidth),
    INT_FIELD(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT, requiredClusterHeight),
    INT_FIELD(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH, requiredClusterDepth),
    INT_FIELD(CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE, clusterSchedulingPolicyPreference),
    INT_FIELD(CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, nonPortableClusterSizeAllowed),
});
#undef SIZE_FIELD
#undef INT_FIELD

}  // namespace

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  return with_kernel_and_device(function, [&](CUkernel kernel, int device) {
    if (attributes == nullptr) {
      return cudaErrorInvalidValue;
    }
    *attributes = {};
    for (const AttributeField& field : attribute_fields) {
      int value = 0;
      const cudaError_t error = driver(cuKernelGetAttribute, &value, field.attribute, kernel, device);
      if (error != cudaSuccess) {
        return error;
      }
      std::byte* const member = reinterpret_cast<std::byte*>(attributes) + field.offset;
      if (field.is_size) {
        *reinterpret_cast<std::size_t*>(member) = static_cast<std::size_t>(value);
      } else {
        *reinterpret_cast<int*>(member) = value;
      }
    }
    return cudaSuccess;
  });
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return with_kernel_and_device(function, [&](CUkernel kernel, int device) {
    return driver(cuKernelSetAttribute, attribute, value, kernel, device);
  });
}

cudaError_t cudaFuncSetCacheConfig(const void* function, cudaFuncCache config) {
  return with_kernel_and_device(
      function, [&](CUkernel kernel, int device) { return driver(cuKernelSetCacheConfig, kernel, config, device); });
}

cudaError_t cudaFuncSetSharedMemConfig(const void* function, cudaSharedMemConfig config) {
  return with_kernel(function, [&](CUkernel kernel) {
    CUfunction in_context = nullptr;
    const cudaError_t error = driver(cuKernelGetFunction, &in_context, kernel);
    return error == cudaSuccess ? driver(cuFuncSetSharedMemConfig, in_context, config) : error;
  });
}

cudaError_t cudaFuncGetName(const char** name, const void* function) {
  return with_kernel(function, [&](CUkernel kernel) { return driver(cuKernelGetName, name, kernel); });
}

cudaError_t cudaFuncGetParamInfo(const void* function, std::size_t index, std::size_t* offset, std::size_t* size) {
  return with_kernel(function,
                     [&](CUkernel kernel) { return driver(cuKernelGetParamInfo, kernel, index, offset, size); });
}

cudaError_t cudaGetKernel(cudaKernel_t* handle, const void* function) {
  return with_kernel(function, [&](CUkernel kernel) {
    if (handle == nullptr) {
      return cudaErrorInvalidValue;
    }
    *handle = kernel;
    remember_handle(kernel);
    return cudaSuccess;
  });
}

cudaError_t cudaGetFuncBySymbol(cudaFunction_t* handle, const void* function) {
  return with_kernel(function, [&](CUkernel kernel) {
    const cudaError_t error = driver(cuKernelGetFunction, handle, kernel);
    if (error == cudaSuccess) {
      remember_handle(*handle, kernel);
    }
    return error;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int block_size,
                                                          std::size_t shared_bytes) {
  return with_kernel(function, [&](CUkernel kernel) {
    return driver(cuOccupancyMaxActiveBlocksPerMultiprocessor, blocks, as_function(kernel), block_size, shared_bytes);
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function, int block_size,
                                                                   std::size_t shared_bytes, unsigned flags) {
  return with_kernel(function, [&](CUkernel kernel) {
    return driver(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags, blocks, as_function(kernel), block_size,
                  shared_bytes, flags);
  });
}

cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(std::size_t* shared_bytes, const void* function, int blocks,
                                                      int block_size) {
  return with_kernel(function, [&](CUkernel kernel) {
    return driver(cuOccupancyAvailableDynamicSMemPerBlock, shared_bytes, as_function(kernel), blocks, block_size);
  });
}

namespace {

cudaError_t ask_about_clusters(CUresult (*entry)(int*, CUfunction, const CUlaunchConfig*), int* answer,
                               const void* function, const cudaLaunchConfig_t* config) {
  return with_kernel(function, [&](CUkernel kernel) {
    CUlaunchConfig driver_config{};
    if (config == nullptr || !to_launch_config(*config, driver_config)) {
      return cudaErrorInvalidValue;
    }
    return driver(entry, answer, as_function(kernel), &driver_config);
  });
}

}  // namespace

cudaError_t cudaOccupancyMaxPotentialClusterSize(int* size, const void* function, const cudaLaunchConfig_t* config) {
  return ask_about_clusters(cuOccupancyMaxPotentialClusterSize, size, function, config);
}

cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void* function, const cudaLaunchConfig_t* config) {
  return ask_about_clusters(cuOccupancyMaxActiveClusters, clusters, function, config);
}
