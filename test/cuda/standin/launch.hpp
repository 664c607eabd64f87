// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include "test/cuda/standin/kernel.hpp"
#include "test/cuda/standin/stream.hpp"

namespace isthmus::standin {

class Context;

/// What runs the kernel with the parameters as they are now. `launch` has shape and kind; fails as cuLaunchKernel does.
Work launch_work(Context& context, CUfunction function, Launch launch, void** parameters, void** extra);

}  // namespace isthmus::standin
