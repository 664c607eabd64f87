// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "src/gpu/cuda/cu.hpp"
#include "src/gpu/cuda/messages.hpp"

namespace isthmus::cuda {

struct Here;
enum class When : std::uint8_t;

/// An array, a mipmapped one, or a level of one.
struct ArrayRecord {
  Id context = 0;
  Id whole = 0;        ///< of a level: the mipmapped array
  unsigned level = 0;  ///< of a level
  bool is_mipmapped = false;
  CUDA_ARRAY3D_DESCRIPTOR about{};
};

/// A texture or surface.
struct TextureRecord {
  Id context = 0;
  CUDA_RESOURCE_DESC resource{};
  CUDA_TEXTURE_DESC texture{};
  CUDA_RESOURCE_VIEW_DESC view{};
  bool has_view = false;
};

/// copy_box (copies.hpp) where an array takes part. The driver checks the array's bounds, so that it is a call.
[[nodiscard]] CUresult copy_array_box(const Here& here, const Place& place, const CUDA_MEMCPY3D& box, When when);

}  // namespace isthmus::cuda
