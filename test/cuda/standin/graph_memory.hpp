// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <cstddef>

#include "test/cuda/standin/graph.hpp"

namespace isthmus::standin {

/// Memory that a graph allocates: its address is known from now on, and may be used all the time; only the books say
/// when it is there. Unlike a driver's, addresses are not given out twice.
Operation graph_allocation(Context& context, std::size_t size, CUdeviceptr& address);
/// Fails where no graph allocates at that address.
Operation graph_free(CUdeviceptr address);
[[nodiscard]] bool is_graph_memory(CUdeviceptr address);

}  // namespace isthmus::standin
