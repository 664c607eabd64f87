// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <cstddef>

namespace isthmus::standin {

/// Memory of cuMemCreate, which lives as long as its handle or a mapping. Counts as used from beginning to end.
struct Physical {
  Physical(std::size_t size, const CUmemAllocationProp& properties);
  /// Of another process, which counts it: by its file, which becomes this one's.
  Physical(int file, std::size_t size, const CUmemAllocationProp& properties);
  Physical(const Physical&) = delete;
  Physical& operator=(const Physical&) = delete;
  ~Physical();

  const std::size_t size;
  const CUmemAllocationProp properties;
  int file = -1;
  bool counts = true;
};

}  // namespace isthmus::standin
