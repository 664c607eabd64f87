// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "src/gpu/opencl/messages.hpp"

namespace isthmus::opencl {

/// Whether `size` bytes from `offset` on lie within `whole` bytes.
[[nodiscard]] constexpr bool lies_within(std::uint64_t offset, std::uint64_t size, std::uint64_t whole) noexcept {
  return offset <= whole && size <= whole - offset;
}

/// The bytes from a box's first to its last.
struct BoxExtent {
  std::uint64_t begin = 0;
  std::uint64_t size = 0;
};

/// Where a box lies, or nothing when its numbers break the rules of the specification or overflow. Pitches of 0 mean
/// "without gaps" there; they must have been replaced.
[[nodiscard]] inline std::optional<BoxExtent> extent_of(const Box& box,
                                                        const std::array<std::uint64_t, 3>& region) noexcept {
  if (region[0] == 0 || region[1] == 0 || region[2] == 0 || box.row_pitch < region[0]) {
    return std::nullopt;
  }
  std::uint64_t rows = 0;
  if (__builtin_mul_overflow(region[1], box.row_pitch, &rows) || box.slice_pitch < rows ||
      box.slice_pitch % box.row_pitch != 0) {
    return std::nullopt;
  }
  const auto place = [&box](std::uint64_t x, std::uint64_t y, std::uint64_t z) -> std::optional<std::uint64_t> {
    std::uint64_t slices = 0;
    std::uint64_t lines = 0;
    std::uint64_t sum = 0;
    if (__builtin_mul_overflow(z, box.slice_pitch, &slices) || __builtin_mul_overflow(y, box.row_pitch, &lines) ||
        __builtin_add_overflow(slices, lines, &sum) || __builtin_add_overflow(sum, x, &sum)) {
      return std::nullopt;
    }
    return sum;
  };
  const auto begin = place(box.origin[0], box.origin[1], box.origin[2]);
  const auto length = place(region[0], region[1] - 1, region[2] - 1);
  if (!begin || !length) {
    return std::nullopt;
  }
  return BoxExtent{.begin = *begin, .size = *length};
}

/// As the specification says: pitches of 0 become those of a box without gaps.
[[nodiscard]] inline Box with_pitches(Box box, const std::array<std::uint64_t, 3>& region) noexcept {
  box.row_pitch = box.row_pitch == 0 ? region[0] : box.row_pitch;
  box.slice_pitch = box.slice_pitch == 0 ? region[1] * box.row_pitch : box.slice_pitch;
  return box;
}

/// Whether a fill pattern may have this size.
[[nodiscard]] constexpr bool is_pattern_size(std::uint64_t size) noexcept {
  return size != 0 && size <= max_pattern && (size & (size - 1)) == 0;
}

}  // namespace isthmus::opencl
