// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <vector>

/// \file
/// A test double for entry points of the driver that the stand-in lacks: each keeps what it was called with, so that a
/// case can look at what the runtime made of its own structures. Nothing is copied or textured.

namespace isthmus::test {

struct Recorder {
  CUDA_ARRAY3D_DESCRIPTOR array{};  ///< of the last array made, and what is answered for each
  unsigned levels = 0;
  CUDA_RESOURCE_DESC resource{};
  CUDA_TEXTURE_DESC texture{};
  bool has_view = false;
  CUgraphNodeParams node{};
  CUDA_KERNEL_NODE_PARAMS kernel{};  ///< answered for each kernel node
  std::vector<CUDA_MEMCPY2D> copies_2d;
  std::vector<CUDA_MEMCPY3D> copies_3d;
};

extern Recorder recorder;

}  // namespace isthmus::test
