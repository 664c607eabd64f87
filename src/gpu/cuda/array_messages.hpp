// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "isthmus/reference.hpp"
#include "src/gpu/cuda/message_kind.hpp"

/// \file
/// What frontend and backend say to each other about arrays, textures and surfaces. Part of CudaApi, with opcodes from
/// 60 on. Arrays are named by the client like other objects; the numbers of textures and surfaces are the driver's,
/// because kernels see them.

namespace isthmus::cuda {

/// CUDA_ARRAY3D_DESCRIPTOR.
struct ArrayShape {
  std::uint64_t width = 0;   ///< elements
  std::uint64_t height = 0;  ///< 0: one dimension
  std::uint64_t depth = 0;   ///< 0: at most two; layers, of a layered one
  std::uint32_t format = 0;  ///< CUarray_format
  std::uint32_t channels = 0;
  std::uint32_t flags = 0;
  std::uint32_t reserved = 0;
};

struct CreateArray : Kind<60> {
  struct Request {
    Id id = 0;
    Id context = 0;
    ArrayShape shape{};
    std::uint64_t levels = 0;  ///< 0: an array; else a mipmapped one
  };
  using Reply = Nothing;
};
/// Names a level of a mipmapped array.
struct ArrayLevel : Kind<61> {
  struct Request {
    Id id = 0;
    Id mipmapped = 0;
    Id context = 0;
    std::uint64_t level = 0;
  };
  using Reply = ArrayShape;
};
struct DestroyArray : Kind<62> {
  struct Request {
    Id id = 0;
    Id context = 0;
  };
  using Reply = Nothing;
};

struct ArrayPlace {
  Id array = 0;
  std::uint64_t x = 0;  ///< bytes
  std::uint64_t y = 0;
  std::uint64_t z = 0;
};
/// Memory in rows: in the slab, where `slab` has a length, or at a device address.
struct RowMemory {
  std::uint64_t address = 0;
  Reference slab{};
  std::uint64_t pitch = 0;
  std::uint64_t height = 0;  ///< rows in a slice
};
enum class ArrayCopy : std::uint32_t { from_memory, to_memory, from_array };
/// A copy into or out of an array.
struct CopyArray : ReportingKind<63> {
  struct Request {
    Place place;
    ArrayPlace array{};
    RowMemory memory{};       ///< from_memory, to_memory
    ArrayPlace source{};      ///< from_array
    std::uint64_t width = 0;  ///< bytes
    std::uint64_t height = 0;
    std::uint64_t depth = 0;
    ArrayCopy direction = ArrayCopy::from_memory;
    std::uint32_t wait = 0;  ///< as CopySlab's
  };
  using Reply = Nothing;
};

/// CUDA_RESOURCE_DESC.
struct Resource {
  std::uint32_t type = 0;  ///< CUresourcetype
  std::uint32_t format = 0;
  Id array = 0;  ///< or mipmapped array
  std::uint64_t address = 0;
  std::uint64_t width = 0;  ///< elements; bytes of linear memory
  std::uint64_t height = 0;
  std::uint64_t pitch = 0;  ///< bytes
  std::uint32_t channels = 0;
  std::uint32_t reserved = 0;
};
/// CUDA_TEXTURE_DESC.
struct Sampling {
  std::array<std::uint32_t, 3> address_modes{};
  std::uint32_t filter = 0;
  std::uint32_t flags = 0;
  std::uint32_t anisotropy = 0;
  std::uint32_t mipmap_filter = 0;
  float bias = 0;
  float least_level = 0;
  float greatest_level = 0;
  std::array<float, 4> border{};
};
/// CUDA_RESOURCE_VIEW_DESC.
struct ResourceView {
  std::uint32_t present = 0;
  std::uint32_t format = 0;
  std::uint64_t width = 0;
  std::uint64_t height = 0;
  std::uint64_t depth = 0;
  std::array<std::uint32_t, 4> levels_and_layers{};  ///< first and last of each
};
enum class ObjectUse : std::uint32_t { texture, surface };
struct CreateTexture : Kind<64> {
  struct Request {
    Id context = 0;
    Resource resource{};
    Sampling sampling{};  ///< of a texture
    ResourceView view{};  ///< of a texture
    ObjectUse use = ObjectUse::texture;
    std::uint32_t reserved = 0;
  };
  struct Reply {
    std::uint64_t object = 0;
  };
};
struct DestroyTexture : Kind<65> {
  struct Request {
    Id context = 0;
    std::uint64_t object = 0;
    ObjectUse use = ObjectUse::texture;
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};

}  // namespace isthmus::cuda
