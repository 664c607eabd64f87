// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

namespace isthmus::cuda {

/// Variables of a program's environment that NVIDIA's driver reads in cuInit() or as it makes a context, and that
/// concern that process alone (CUDA C++ Programming Guide, "CUDA Environment Variables"); null at the end. A client's
/// reach its worker's driver. Not among them: caches, debugging and core dumps, which are the host's affair, and
/// CUDA_LAUNCH_BLOCKING, which the client's library does itself.
inline constexpr std::array<const char*, 13> driver_variables = {
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_MODULE_LOADING",
    "CUDA_MODULE_DATA_LOADING",
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "CUDA_SCALE_LAUNCH_QUEUES",
    "CUDA_FORCE_PTX_JIT",
    "CUDA_DISABLE_PTX_JIT",
    "CUDA_FORCE_JIT",
    "CUDA_DISABLE_JIT",
    "CUDA_GRAPHS_USE_NODE_PRIORITY",
    "CUDA_DEVICE_DEFAULT_PERSISTING_L2_CACHE_PERCENTAGE_LIMIT",
    nullptr,
};

}  // namespace isthmus::cuda
