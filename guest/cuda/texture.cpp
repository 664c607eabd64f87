// SPDX-License-Identifier: Apache-2.0

// Textures and surfaces. Their numbers are the driver's, because kernels see them; what they were made of is kept here.

#include <algorithm>

#include "guest/cuda/frontend.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

// Bytes of an element of an array format, or fewer where it is none of the usual ones.
std::uint64_t least_bytes(std::uint32_t format) {
  switch (format) {
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT:
      return 4;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF:
      return 2;
    default:
      return 1;
  }
}

// Memory of which so many bytes are to be read: the host knows what the driver has given, not what of it is in use.
Expected<Resource> within(const Frontend& cuda, const Resource& memory, std::uint64_t bytes) {
  return cuda.knowledge_of(memory.address, bytes) == Knowledge::outside
             ? Expected<Resource>(std::unexpected(CUDA_ERROR_INVALID_VALUE))
             : memory;
}

// The resource as it travels. Errors: CUDA_ERROR_INVALID_HANDLE, CUDA_ERROR_INVALID_VALUE.
Expected<Resource> resource_of(const Frontend& cuda, const CUDA_RESOURCE_DESC& from) {
  Resource to{.type = static_cast<std::uint32_t>(from.resType)};
  const ArrayRecord* array = nullptr;
  switch (from.resType) {
    case CU_RESOURCE_TYPE_ARRAY:
      to.array = reinterpret_cast<std::uintptr_t>(from.res.array.hArray);
      array = cuda.arrays.find(to.array);
      return array != nullptr && !array->is_mipmapped ? Expected<Resource>(to)
                                                      : std::unexpected(CUDA_ERROR_INVALID_HANDLE);
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
      to.array = reinterpret_cast<std::uintptr_t>(from.res.mipmap.hMipmappedArray);
      array = cuda.arrays.find(to.array);
      return array != nullptr && array->is_mipmapped ? Expected<Resource>(to)
                                                     : std::unexpected(CUDA_ERROR_INVALID_HANDLE);
    case CU_RESOURCE_TYPE_LINEAR:
      to.address = from.res.linear.devPtr;
      to.format = static_cast<std::uint32_t>(from.res.linear.format);
      to.channels = from.res.linear.numChannels;
      to.width = from.res.linear.sizeInBytes;
      return within(cuda, to, to.width);
    case CU_RESOURCE_TYPE_PITCH2D:
      to.address = from.res.pitch2D.devPtr;
      to.format = static_cast<std::uint32_t>(from.res.pitch2D.format);
      to.channels = from.res.pitch2D.numChannels;
      to.width = from.res.pitch2D.width;
      to.height = from.res.pitch2D.height;
      to.pitch = from.res.pitch2D.pitchInBytes;
      return within(cuda, to,
                    (to.height == 0 ? 0 : to.height - 1) * to.pitch + to.width * to.channels * least_bytes(to.format));
    default:
      return std::unexpected(CUDA_ERROR_INVALID_VALUE);
  }
}

Sampling sampling_of(const CUDA_TEXTURE_DESC& from) {
  Sampling to{.filter = static_cast<std::uint32_t>(from.filterMode),
              .flags = from.flags,
              .anisotropy = from.maxAnisotropy,
              .mipmap_filter = static_cast<std::uint32_t>(from.mipmapFilterMode),
              .bias = from.mipmapLevelBias,
              .least_level = from.minMipmapLevelClamp,
              .greatest_level = from.maxMipmapLevelClamp};
  std::ranges::transform(from.addressMode, to.address_modes.begin(),
                         [](CUaddress_mode mode) { return static_cast<std::uint32_t>(mode); });
  std::ranges::copy(from.borderColor, to.border.begin());
  return to;
}

ResourceView view_of(const CUDA_RESOURCE_VIEW_DESC& from) {
  return {.present = 1,
          .format = static_cast<std::uint32_t>(from.format),
          .width = from.width,
          .height = from.height,
          .depth = from.depth,
          .levels_and_layers = {from.firstMipmapLevel, from.lastMipmapLevel, from.firstLayer, from.lastLayer}};
}

TextureTable& table_of(Frontend& cuda, ObjectUse use) {
  return use == ObjectUse::texture ? cuda.textures : cuda.surfaces;
}

CUresult create(std::uint64_t& object, ObjectUse use, const CUDA_RESOURCE_DESC& resource,
                const CUDA_TEXTURE_DESC* texture, const CUDA_RESOURCE_VIEW_DESC* view) {
  return entry_here([&](const Here& here) -> CUresult {
    const auto what = resource_of(here.cuda, resource);
    if (!what) {
      return what.error();
    }
    CreateTexture::Request request{.context = here.context, .resource = *what, .sampling = {}, .view = {}, .use = use};
    TextureRecord record{.context = here.context, .resource = resource};
    if (texture != nullptr) {
      request.sampling = sampling_of(*texture);
      record.texture = *texture;
    }
    if (view != nullptr) {
      request.view = view_of(*view);
      record.view = *view;
      record.has_view = true;
    }
    const auto made = here.lane().call<CreateTexture>(request);
    if (!made) {
      return made.error();
    }
    object = made->reply.object;
    const std::scoped_lock lock(here.cuda.textures_mutex);
    table_of(here.cuda, use).insert_or_assign({here.context, object}, record);
    return CUDA_SUCCESS;
  });
}

CUresult destroy(std::uint64_t object, ObjectUse use) {
  return entry_here([&](const Here& here) -> CUresult {
    {
      const std::scoped_lock lock(here.cuda.textures_mutex);
      TextureTable& table = table_of(here.cuda, use);
      const auto found = table.find({here.context, object});
      if (found == table.end()) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      table.erase(found);
    }
    return here.lane().tell<DestroyTexture>({.context = here.context, .object = object, .use = use});
  });
}

// Runs `answer(record)`.
template <class Answer>
CUresult look_up(std::uint64_t object, ObjectUse use, Answer answer) {
  return entry_here([&](const Here& here) -> CUresult {
    const std::scoped_lock lock(here.cuda.textures_mutex);
    const TextureTable& table = table_of(here.cuda, use);
    const auto found = table.find({here.context, object});
    return found == table.end() ? CUDA_ERROR_INVALID_VALUE : answer(found->second);
  });
}

}  // namespace

CUresult CUDAAPI cuTexObjectCreate(CUtexObject* object, const CUDA_RESOURCE_DESC* resource,
                                   const CUDA_TEXTURE_DESC* texture, const CUDA_RESOURCE_VIEW_DESC* view) {
  std::uint64_t made = 0;
  if (object == nullptr || resource == nullptr || texture == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const CUresult code = create(made, ObjectUse::texture, *resource, texture, view);
  return code == CUDA_SUCCESS ? give(object, made) : code;
}
CUresult CUDAAPI cuTexObjectDestroy(CUtexObject object) { return destroy(object, ObjectUse::texture); }
CUresult CUDAAPI cuTexObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource, CUtexObject object) {
  return look_up(object, ObjectUse::texture,
                 [&](const TextureRecord& record) { return give(resource, record.resource); });
}
CUresult CUDAAPI cuTexObjectGetTextureDesc(CUDA_TEXTURE_DESC* texture, CUtexObject object) {
  return look_up(object, ObjectUse::texture,
                 [&](const TextureRecord& record) { return give(texture, record.texture); });
}
CUresult CUDAAPI cuTexObjectGetResourceViewDesc(CUDA_RESOURCE_VIEW_DESC* view, CUtexObject object) {
  return look_up(object, ObjectUse::texture, [&](const TextureRecord& record) {
    return record.has_view ? give(view, record.view) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult CUDAAPI cuSurfObjectCreate(CUsurfObject* object, const CUDA_RESOURCE_DESC* resource) {
  std::uint64_t made = 0;
  if (object == nullptr || resource == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const CUresult code = create(made, ObjectUse::surface, *resource, nullptr, nullptr);
  return code == CUDA_SUCCESS ? give(object, made) : code;
}
CUresult CUDAAPI cuSurfObjectDestroy(CUsurfObject object) { return destroy(object, ObjectUse::surface); }
CUresult CUDAAPI cuSurfObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource, CUsurfObject object) {
  return look_up(object, ObjectUse::surface,
                 [&](const TextureRecord& record) { return give(resource, record.resource); });
}
