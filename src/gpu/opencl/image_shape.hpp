// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "src/gpu/opencl/bounds.hpp"
#include "src/gpu/opencl/cl.hpp"
#include "src/gpu/opencl/messages.hpp"

/// \file
/// Where an image's pixels lie: frontend and backend reckon alike, and neither believes the other.

namespace isthmus::opencl {

/// Bytes of a pixel, or 0 where the specification has no such format.
[[nodiscard]] constexpr std::uint64_t pixel_size(std::uint32_t order, std::uint32_t type) noexcept {
  std::uint64_t channels = 0;
  switch (order) {
    case CL_R:
    case CL_A:
    case CL_Rx:
    case CL_INTENSITY:
    case CL_LUMINANCE:
    case CL_DEPTH:
      channels = 1;
      break;
    case CL_RG:
    case CL_RA:
    case CL_RGx:
      channels = 2;
      break;
    case CL_RGB:
    case CL_RGBx:
      channels = 3;
      break;
    case CL_RGBA:
    case CL_BGRA:
    case CL_ARGB:
    case CL_ABGR:
      channels = 4;
      break;
    default:
      return 0;
  }
  const bool packs = channels == 3;  // three channels exist only packed into one number
  switch (type) {
    case CL_UNORM_SHORT_565:
    case CL_UNORM_SHORT_555:
      return packs ? 2 : 0;
    case CL_UNORM_INT_101010:
      return packs ? 4 : 0;
    case CL_SNORM_INT8:
    case CL_UNORM_INT8:
    case CL_SIGNED_INT8:
    case CL_UNSIGNED_INT8:
      return packs ? 0 : channels;
    case CL_SNORM_INT16:
    case CL_UNORM_INT16:
    case CL_SIGNED_INT16:
    case CL_UNSIGNED_INT16:
    case CL_HALF_FLOAT:
      return packs ? 0 : channels * 2;
    case CL_SIGNED_INT32:
    case CL_UNSIGNED_INT32:
    case CL_FLOAT:
      return packs ? 0 : channels * 4;
    default:
      return 0;
  }
}

/// Pixels in each direction, arrays' layers among them; nothing when the kind of image is not known or a size is 0.
[[nodiscard]] constexpr std::optional<std::array<std::uint64_t, 3>> pixels_of(const ImageShape& shape) noexcept {
  std::array<std::uint64_t, 3> pixels{shape.width, 1, 1};
  switch (shape.kind) {
    case CL_MEM_OBJECT_IMAGE1D:
    case CL_MEM_OBJECT_IMAGE1D_BUFFER:
      break;
    case CL_MEM_OBJECT_IMAGE1D_ARRAY:
      pixels[1] = shape.layers;
      break;
    case CL_MEM_OBJECT_IMAGE2D:
      pixels[1] = shape.height;
      break;
    case CL_MEM_OBJECT_IMAGE2D_ARRAY:
      pixels = {shape.width, shape.height, shape.layers};
      break;
    case CL_MEM_OBJECT_IMAGE3D:
      pixels = {shape.width, shape.height, shape.depth};
      break;
    default:
      return std::nullopt;
  }
  if (pixels[0] == 0 || pixels[1] == 0 || pixels[2] == 0) {
    return std::nullopt;
  }
  return pixels;
}

[[nodiscard]] constexpr bool has_slices(std::uint32_t kind) noexcept {
  return kind == CL_MEM_OBJECT_IMAGE3D || kind == CL_MEM_OBJECT_IMAGE1D_ARRAY || kind == CL_MEM_OBJECT_IMAGE2D_ARRAY;
}

/// The same with pitches where they are 0: without gaps. Nothing when they do not fit pixels and each other, or
/// overflow.
[[nodiscard]] constexpr std::optional<ImageShape> with_pitches(ImageShape shape) noexcept {
  const auto pixels = pixels_of(shape);
  const std::uint64_t pixel = pixel_size(shape.channel_order, shape.channel_type);
  std::uint64_t row = 0;
  std::uint64_t slice = 0;
  if (!pixels || pixel == 0 || __builtin_mul_overflow(shape.width, pixel, &row)) {
    return std::nullopt;
  }
  shape.row_pitch = shape.row_pitch == 0 ? row : shape.row_pitch;
  const std::uint64_t rows = shape.kind == CL_MEM_OBJECT_IMAGE1D_ARRAY ? 1 : (*pixels)[1];
  if (shape.row_pitch < row || shape.row_pitch % pixel != 0 || __builtin_mul_overflow(shape.row_pitch, rows, &slice)) {
    return std::nullopt;
  }
  if (!has_slices(shape.kind)) {
    shape.slice_pitch = 0;
    return shape;
  }
  shape.slice_pitch = shape.slice_pitch == 0 ? slice : shape.slice_pitch;
  if (shape.slice_pitch < slice || shape.slice_pitch % shape.row_pitch != 0) {
    return std::nullopt;
  }
  return shape;
}

/// Bytes of a whole image that with_pitches() has looked at; nothing when they overflow.
[[nodiscard]] constexpr std::optional<std::uint64_t> size_of(const ImageShape& shape) noexcept {
  const auto pixels = pixels_of(shape);
  std::uint64_t size = 0;
  if (!pixels) {
    return std::nullopt;
  }
  const bool is_1d_array = shape.kind == CL_MEM_OBJECT_IMAGE1D_ARRAY;
  const bool overflows = has_slices(shape.kind)
                             ? __builtin_mul_overflow(shape.slice_pitch, (*pixels)[is_1d_array ? 1 : 2], &size)
                             : __builtin_mul_overflow(shape.row_pitch, (*pixels)[1], &size);
  return overflows ? std::nullopt : std::optional(size);
}

/// Whether a region of pixels is one and lies in the image.
[[nodiscard]] constexpr bool holds(const ImageShape& shape, const std::array<std::uint64_t, 3>& origin,
                                   const std::array<std::uint64_t, 3>& region) noexcept {
  const auto pixels = pixels_of(shape);
  return pixels && region[0] != 0 && region[1] != 0 && region[2] != 0 &&
         lies_within(origin[0], region[0], (*pixels)[0]) && lies_within(origin[1], region[1], (*pixels)[1]) &&
         lies_within(origin[2], region[2], (*pixels)[2]);
}

/// A region of pixels that holds() in bytes: as a box, and its size.
struct ByteRegion {
  Box box;
  std::array<std::uint64_t, 3> region{};
};
[[nodiscard]] constexpr ByteRegion bytes_of_region(const ImageShape& shape, const std::array<std::uint64_t, 3>& origin,
                                                   const std::array<std::uint64_t, 3>& region) noexcept {
  const std::uint64_t pixel = pixel_size(shape.channel_order, shape.channel_type);
  const bool is_1d_array = shape.kind == CL_MEM_OBJECT_IMAGE1D_ARRAY;
  const std::uint64_t row = is_1d_array ? shape.slice_pitch : shape.row_pitch;
  return {.box = {.origin = {origin[0] * pixel, origin[1], origin[2]},
                  .row_pitch = row,
                  .slice_pitch =
                      !is_1d_array && has_slices(shape.kind) ? shape.slice_pitch : row * (origin[1] + region[1])},
          .region = {region[0] * pixel, region[1], region[2]}};
}

}  // namespace isthmus::opencl
