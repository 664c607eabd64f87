// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "guest/cuda/frontend.hpp"

namespace isthmus::cuda {

/// How a kernel is started.
struct LaunchShape {
  std::array<std::uint32_t, 3> grid{};
  std::array<std::uint32_t, 3> block{};
  std::uint32_t shared = 0;  ///< bytes of dynamic shared memory
  bool cooperative = false;
  std::span<const CUlaunchAttribute> attributes;
};

/// The parameters of a launch as they lie in the kernel's parameter memory: written to the first bytes of `to`. Errors:
/// CUDA_ERROR_INVALID_VALUE.
[[nodiscard]] Expected<std::span<std::byte>> pack_parameters(const FunctionRecord& function, void** parameters,
                                                             void** extra, std::span<std::byte> to);
/// What the driver checks at once about a launch on that device.
[[nodiscard]] CUresult check_shape(const Device& device, const FunctionRecord& function, const LaunchShape& shape);

/// Checks what the driver checks at once, and posts the launch. Launches whose check is the driver's affair (clusters,
/// cooperative ones) are calls.
[[nodiscard]] CUresult launch(const Here& here, const Place& place, CUfunction function, const LaunchShape& shape,
                              void** parameters, void** extra);

}  // namespace isthmus::cuda
