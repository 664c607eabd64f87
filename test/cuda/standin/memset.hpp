// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include "test/cuda/standin/stream.hpp"

namespace isthmus::standin {

/// What fills the memory; empty for no bytes. Fails with CUDA_ERROR_INVALID_VALUE.
Work memset_work(const CUDA_MEMSET_NODE_PARAMS& what);

}  // namespace isthmus::standin
