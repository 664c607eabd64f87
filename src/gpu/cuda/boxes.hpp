// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "src/gpu/cuda/cu.hpp"
#include "src/gpu/cuda/messages.hpp"

namespace isthmus::cuda {

/// A part of a box: `rows` rows of `slices` slices, and of each row `width` bytes.
struct BoxPart {
  std::uint64_t slice = 0;
  std::uint64_t slices = 1;
  std::uint64_t row = 0;
  std::uint64_t rows = 1;
  std::uint64_t x = 0;
  std::uint64_t width = 0;
};

/// Address of a part's first byte on one side, whose memory starts at `start`.
[[nodiscard]] std::uint64_t address_in(std::uint64_t start, const BoxSide& side, const BoxPart& part) noexcept;

/// The driver's description of a part. The two sides' memory starts at `from` and `to`, as the GPU's driver sees them.
[[nodiscard]] CUDA_MEMCPY3D describe(const CopyBox::Request& box, std::uint64_t from, std::uint64_t to,
                                     const BoxPart& part) noexcept;

}  // namespace isthmus::cuda
