// SPDX-License-Identifier: Apache-2.0

// Kernel launches: what generated code calls, and the functions by which programs launch themselves.

#include <array>
#include <cstdint>
#include <limits>

#include "guest/cudart/call.hpp"
#include "guest/cudart/launch.hpp"
#include "guest/cudart/module.hpp"
#include "guest/cudart/stream.hpp"

using namespace isthmus::cudart;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

struct Configuration {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;
  cudaStream_t stream = nullptr;
};

/// Configurations between <<<>>> and the call of the host function. More than one is on the stack only where a kernel's
/// arguments launch kernels in turn, so that 32 are plenty; a deeper one is refused.
struct ConfigurationStack {
  std::array<Configuration, 32> entries;
  std::size_t depth = 0;
};

thread_local ConfigurationStack configurations;

cudaError_t launch(CUkernel kernel, const Configuration& with, void** arguments) {
  if (with.shared_bytes > std::numeric_limits<unsigned>::max()) {
    return cudaErrorInvalidValue;
  }
  // What is wrong with its dimensions has the driver's code, as in CUDA 13: cudaErrorInvalidValue.
  return driver(cuLaunchKernel, reinterpret_cast<CUfunction>(kernel), with.grid.x, with.grid.y, with.grid.z,
                with.block.x, with.block.y, with.block.z, static_cast<unsigned>(with.shared_bytes), with.stream,
                arguments, nullptr);
}

cudaError_t launch_function(const void* function, const Configuration& with, void** arguments) {
  return with_context([&] {
    CUkernel kernel = nullptr;
    const cudaError_t error = resolve(function, kernel);
    return error == cudaSuccess ? launch(kernel, with, arguments) : error;
  });
}

cudaError_t launch_handle(cudaKernel_t handle, const Configuration& with, void** arguments) {
  return with_context([&] {
    if (handle == nullptr) {
      return cudaErrorInvalidDeviceFunction;
    }
    CUkernel kernel = nullptr;
    const cudaError_t error = reinterpret_cast<Kernel*>(handle)->handle(kernel);
    return error == cudaSuccess ? launch(kernel, with, arguments) : error;
  });
}

cudaError_t launch_cooperative(const void* function, const Configuration& with, void** arguments) {
  return with_context([&] {
    CUkernel kernel = nullptr;
    const cudaError_t error = resolve(function, kernel);
    if (error != cudaSuccess) {
      return error;
    }
    if (with.shared_bytes > std::numeric_limits<unsigned>::max()) {
      return cudaErrorInvalidValue;
    }
    return driver(cuLaunchCooperativeKernel, reinterpret_cast<CUfunction>(kernel), with.grid.x, with.grid.y,
                  with.grid.z, with.block.x, with.block.y, with.block.z, static_cast<unsigned>(with.shared_bytes),
                  with.stream, arguments);
  });
}

cudaError_t launch_extended(const cudaLaunchConfig_t* config, const void* function, void** arguments,
                            cudaStream_t stream) {
  return with_context([&] {
    CUkernel kernel = nullptr;
    const cudaError_t error = resolve(function, kernel);
    if (error != cudaSuccess) {
      return error;
    }
    CUlaunchConfig driver_config{};
    if (!to_launch_config(*config, driver_config)) {
      return cudaErrorInvalidValue;
    }
    driver_config.hStream = stream;
    return driver(cuLaunchKernelEx, &driver_config, reinterpret_cast<CUfunction>(kernel), arguments, nullptr);
  });
}

}  // namespace

namespace isthmus::cudart {

bool to_launch_config(const cudaLaunchConfig_t& config, CUlaunchConfig& out) {
  if (config.dynamicSmemBytes > std::numeric_limits<unsigned>::max()) {
    return false;
  }
  out = {.gridDimX = config.gridDim.x,
         .gridDimY = config.gridDim.y,
         .gridDimZ = config.gridDim.z,
         .blockDimX = config.blockDim.x,
         .blockDimY = config.blockDim.y,
         .blockDimZ = config.blockDim.z,
         .sharedMemBytes = static_cast<unsigned>(config.dynamicSmemBytes),
         .hStream = config.stream,
         .attrs = as<CUlaunchAttribute*>(config.attrs),
         .numAttrs = config.numAttrs};
  return true;
}

}  // namespace isthmus::cudart

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, std::size_t shared_bytes,
                             cudaStream_t stream) {
  return launch_function(function, {grid, block, shared_bytes, stream}, arguments);
}

cudaError_t cudaLaunchCooperativeKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                                        std::size_t shared_bytes, cudaStream_t stream) {
  return launch_cooperative(function, {grid, block, shared_bytes, stream}, arguments);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments) {
  return config != nullptr ? launch_extended(config, function, arguments, config->stream)
                           : report(cudaErrorInvalidValue);
}

// What generated code calls, and the names for per-thread default streams.
// NOLINTBEGIN(readability-identifier-naming): the compiler's names
#pragma GCC visibility push(default)
extern "C" {

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared_bytes, CUstream_st* stream) {
  ConfigurationStack& stack = configurations;
  if (stack.depth == stack.entries.size()) {
    return static_cast<unsigned>(report(cudaErrorInvalidConfiguration));
  }
  stack.entries[stack.depth++] = {grid, block, shared_bytes, stream};
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared_bytes, void* stream) {
  ConfigurationStack& stack = configurations;
  if (stack.depth == 0) {
    return report(cudaErrorMissingConfiguration);
  }
  const Configuration& top = stack.entries[--stack.depth];
  *grid = top.grid;
  *block = top.block;
  *shared_bytes = top.shared_bytes;
  *static_cast<cudaStream_t*>(stream) = top.stream;
  return cudaSuccess;
}

/// The handle is kept by generated code for as long as the program runs, so that it is ours: the driver is not asked.
cudaError_t __cudaGetKernel(cudaKernel_t* handle, const void* host) {
  *handle = reinterpret_cast<cudaKernel_t>(find_kernel(host));
  return *handle != nullptr ? cudaSuccess : report(cudaErrorInvalidDeviceFunction);
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, std::size_t shared_bytes,
                               cudaStream_t stream) {
  return launch_handle(kernel, {grid, block, shared_bytes, stream}, arguments);
}

cudaError_t __cudaLaunchKernel_ptsz(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                                    std::size_t shared_bytes, cudaStream_t stream) {
  return launch_handle(kernel, {grid, block, shared_bytes, or_per_thread(stream)}, arguments);
}

cudaError_t cudaLaunchKernel_ptsz(const void* function, dim3 grid, dim3 block, void** arguments,
                                  std::size_t shared_bytes, cudaStream_t stream) {
  return launch_function(function, {grid, block, shared_bytes, or_per_thread(stream)}, arguments);
}

cudaError_t cudaLaunchCooperativeKernel_ptsz(const void* function, dim3 grid, dim3 block, void** arguments,
                                             std::size_t shared_bytes, cudaStream_t stream) {
  return launch_cooperative(function, {grid, block, shared_bytes, or_per_thread(stream)}, arguments);
}

cudaError_t cudaLaunchKernelExC_ptsz(const cudaLaunchConfig_t* config, const void* function, void** arguments) {
  return config != nullptr ? launch_extended(config, function, arguments, or_per_thread(config->stream))
                           : report(cudaErrorInvalidValue);
}

}  // extern "C"
#pragma GCC visibility pop
// NOLINTEND(readability-identifier-naming)
