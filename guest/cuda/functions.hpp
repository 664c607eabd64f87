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

/// Checks what the driver checks at once, and posts the launch. Launches whose check is the driver's affair (clusters,
/// cooperative ones) are calls.
[[nodiscard]] CUresult launch(const Here& here, const Place& place, CUfunction function, const LaunchShape& shape,
                              void** parameters, void** extra);

}  // namespace isthmus::cuda
