// SPDX-License-Identifier: Apache-2.0
// Entry points that launch kernels.
#include <cuda.h>

#include <array>
#include <cstring>
#include <vector>

#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/graph.hpp"
#include "test/cuda/standin/launch.hpp"
#include "test/cuda/standin/printed.hpp"

namespace isthmus::standin {
namespace {

constexpr std::array most_grid{2147483647U, 65535U, 65535U};
constexpr std::array most_block{1024U, 1024U, 64U};
constexpr unsigned most_threads = 1024;
constexpr unsigned most_resident_blocks = 132 * 32;  // of an H100, at its best

std::size_t bytes_of(const Layout& layout) { return layout.empty() ? 0 : layout.back().offset + layout.back().size; }

// Either way of giving parameters, as one piece of bytes.
std::vector<std::byte> parameters_of(const Function& function, void** parameters, void** extra) {
  const Layout& layout = function.image.parameters;
  std::vector<std::byte> bytes(bytes_of(layout));
  require(parameters == nullptr || extra == nullptr, CUDA_ERROR_INVALID_VALUE, "parameters given in two ways");
  if (extra != nullptr) {
    const void* buffer = nullptr;
    std::size_t size = 0;
    for (; *extra != CU_LAUNCH_PARAM_END; extra += 2) {
      if (extra[0] == CU_LAUNCH_PARAM_BUFFER_POINTER) {
        buffer = extra[1];
      } else if (extra[0] == CU_LAUNCH_PARAM_BUFFER_SIZE) {
        size = *static_cast<const std::size_t*>(extra[1]);
      } else {
        fail(CUDA_ERROR_INVALID_VALUE, "an extra option");
      }
    }
    require(buffer != nullptr && size >= bytes.size(), CUDA_ERROR_INVALID_VALUE, "too few bytes of parameters");
    require(size < bytes.size() + 16, CUDA_ERROR_INVALID_VALUE, "too many bytes of parameters");
    std::memcpy(bytes.data(), buffer, bytes.size());
    return bytes;
  }
  require(parameters != nullptr || layout.empty(), CUDA_ERROR_INVALID_VALUE, "the kernel has parameters");
  for (std::size_t i = 0; i < layout.size(); ++i) {
    require(parameters[i] != nullptr, CUDA_ERROR_INVALID_VALUE, "a parameter without a value");
    std::memcpy(bytes.data() + layout[i].offset, parameters[i], layout[i].size);
  }
  return bytes;
}

void check_shape(const Launch& launch, const Function& function) {
  unsigned threads = 1;
  for (std::size_t i = 0; i < 3; ++i) {
    require(launch.grid[i] > 0 && launch.grid[i] <= most_grid[i], CUDA_ERROR_INVALID_VALUE, "the grid's size");
    require(launch.block[i] > 0 && launch.block[i] <= most_block[i], CUDA_ERROR_INVALID_VALUE, "the block's size");
    threads *= launch.block[i];
  }
  require(threads <= most_threads, CUDA_ERROR_INVALID_VALUE, "threads of a block");
  require(launch.shared_bytes <= static_cast<std::size_t>(function.most_dynamic_shared), CUDA_ERROR_INVALID_VALUE,
          "shared memory");
  const auto blocks = std::size_t{launch.grid[0]} * launch.grid[1] * launch.grid[2];
  require(!launch.cooperative || blocks <= most_resident_blocks, CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
}

CUresult launch_in(const char* name, CUfunction function, const CUlaunchConfig& config, void** parameters,
                   void** extra) {
  return in_context(name, [&](Context& context) {
    write_printed();
    const auto stream = context.stream(config.hStream);
    Launch launch;
    launch.grid = {config.gridDimX, config.gridDimY, config.gridDimZ};
    launch.block = {config.blockDimX, config.blockDimY, config.blockDimZ};
    launch.shared_bytes = config.sharedMemBytes;
    require(config.numAttrs == 0 || config.attrs != nullptr, CUDA_ERROR_INVALID_VALUE);
    for (unsigned i = 0; i < config.numAttrs; ++i) {
      launch.cooperative |=
          config.attrs[i].id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE && config.attrs[i].value.cooperative != 0;
    }
    auto work = launch_work(context, function, launch, parameters, extra);
    const CUDA_KERNEL_NODE_PARAMS kept{.func = function,
                                       .gridDimX = config.gridDimX,
                                       .gridDimY = config.gridDimY,
                                       .gridDimZ = config.gridDimZ,
                                       .blockDimX = config.blockDimX,
                                       .blockDimY = config.blockDimY,
                                       .blockDimZ = config.blockDimZ,
                                       .sharedMemBytes = config.sharedMemBytes,
                                       .kernelParams = nullptr,
                                       .extra = nullptr,
                                       .kern = nullptr,
                                       .ctx = nullptr};
    submit(context, *stream, {.type = CU_GRAPH_NODE_TYPE_KERNEL, .work = std::move(work), .parameters = kept});
  });
}

}  // namespace

Work launch_work(Context& context, CUfunction handle, Launch launch, void** parameters, void** extra) {
  const auto function = function_for(handle, context);
  check_shape(launch, *function);
  auto bytes = parameters_of(*function, parameters, extra);
  if (function->body == nullptr) {
    alarm("kernel " + function->name + " was launched and has no body; write one beside the test (kernel.hpp)");
  }
  auto module = function->module.lock();
  require(module != nullptr, CUDA_ERROR_INVALID_HANDLE, "the function's module was unloaded");
  launch.module = &*module;
  launch.kernel = function->name;
  return [launch, function, module = std::move(module), bytes = std::move(bytes)] {
    function->body->run(launch, bytes.data());
  };
}

}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void** parameters,
                        void** extra) {
  const CUlaunchConfig config{.gridDimX = grid_x,
                              .gridDimY = grid_y,
                              .gridDimZ = grid_z,
                              .blockDimX = block_x,
                              .blockDimY = block_y,
                              .blockDimZ = block_z,
                              .sharedMemBytes = shared_bytes,
                              .hStream = stream,
                              .attrs = nullptr,
                              .numAttrs = 0};
  return launch_in(__func__, function, config, parameters, extra);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** parameters, void** extra) {
  return config == nullptr ? CUDA_ERROR_INVALID_VALUE : launch_in(__func__, function, *config, parameters, extra);
}

CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                                   CUstream stream, void** parameters) {
  CUlaunchAttribute cooperative{};
  cooperative.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
  cooperative.value.cooperative = 1;
  const CUlaunchConfig config{.gridDimX = grid_x,
                              .gridDimY = grid_y,
                              .gridDimZ = grid_z,
                              .blockDimX = block_x,
                              .blockDimY = block_y,
                              .blockDimZ = block_z,
                              .sharedMemBytes = shared_bytes,
                              .hStream = stream,
                              .attrs = &cooperative,
                              .numAttrs = 1};
  return launch_in(__func__, function, config, parameters, nullptr);
}
