// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The CUDA runtime's public header, as this library defines its names: all of them exported. (The old ones, too: the
/// build says CUDA_ENABLE_DEPRECATED.)

#pragma GCC visibility push(default)
#include <cuda_profiler_api.h>
#include <cuda_runtime_api.h>
#pragma GCC visibility pop
