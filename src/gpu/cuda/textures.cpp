// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "src/gpu/cuda/backend.hpp"

namespace isthmus::cuda {
namespace {

// Whether the numbers are ones of cuda.h's enumerations: others must not even be looked at as such.
bool is_known(const CreateTexture::Request& request) {
  const auto is_mode = [](std::uint32_t mode) { return mode <= CU_TR_ADDRESS_MODE_BORDER; };
  return request.resource.type <= CU_RESOURCE_TYPE_PITCH2D && request.resource.format <= CU_AD_FORMAT_MAX &&
         std::ranges::all_of(request.sampling.address_modes, is_mode) &&
         request.sampling.filter <= CU_TR_FILTER_MODE_LINEAR &&
         request.sampling.mipmap_filter <= CU_TR_FILTER_MODE_LINEAR &&
         request.view.format <= CU_RES_VIEW_FORMAT_UNSIGNED_BC7;
}

CUDA_TEXTURE_DESC description_of(const Sampling& from) {
  CUDA_TEXTURE_DESC to{};
  std::ranges::transform(from.address_modes, to.addressMode,
                         [](std::uint32_t mode) { return static_cast<CUaddress_mode>(mode); });
  to.filterMode = static_cast<CUfilter_mode>(from.filter);
  to.flags = from.flags;
  to.maxAnisotropy = from.anisotropy;
  to.mipmapFilterMode = static_cast<CUfilter_mode>(from.mipmap_filter);
  to.mipmapLevelBias = from.bias;
  to.minMipmapLevelClamp = from.least_level;
  to.maxMipmapLevelClamp = from.greatest_level;
  std::ranges::copy(from.border, to.borderColor);
  return to;
}

CUDA_RESOURCE_VIEW_DESC description_of(const ResourceView& from) {
  CUDA_RESOURCE_VIEW_DESC to{};
  to.format = static_cast<CUresourceViewFormat>(from.format);
  to.width = from.width;
  to.height = from.height;
  to.depth = from.depth;
  to.firstMipmapLevel = from.levels_and_layers[0];
  to.lastMipmapLevel = from.levels_and_layers[1];
  to.firstLayer = from.levels_and_layers[2];
  to.lastLayer = from.levels_and_layers[3];
  return to;
}

}  // namespace

bool LaneBackend::is_reachable(std::uint64_t address, std::uint64_t size) {
  const std::uint64_t offset = address - reinterpret_cast<std::uintptr_t>(window_.data());
  return (offset < window_.size() && size <= window_.size() - offset) || is_device_memory(address, size);
}

Answer<CreateTexture::Reply> LaneBackend::handle(const CreateTexture::Request& request, marshal::Call& /*call*/) {
  const auto context = contexts_.find(request.context);
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS || context == nullptr) {
    return refuse(code != CUDA_SUCCESS ? code : CUDA_ERROR_INVALID_CONTEXT);
  }
  if (!is_known(request)) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  const Resource& from = request.resource;
  CUDA_RESOURCE_DESC resource{};
  resource.resType = static_cast<CUresourcetype>(from.type);
  std::shared_ptr<ArrayObject> array;
  std::uint64_t bytes = 0;
  switch (resource.resType) {
    case CU_RESOURCE_TYPE_ARRAY:
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
      array = living_array(from.array);
      if (array == nullptr || (array->array != nullptr) != (resource.resType == CU_RESOURCE_TYPE_ARRAY)) {
        return refuse(CUDA_ERROR_INVALID_HANDLE);
      }
      if (array->array != nullptr) {
        resource.res.array.hArray = array->array;
      } else {
        resource.res.mipmap.hMipmappedArray = array->mipmapped;
      }
      break;
    case CU_RESOURCE_TYPE_LINEAR:
      if (!is_reachable(from.address, from.width)) {
        return refuse(CUDA_ERROR_INVALID_VALUE);
      }
      resource.res.linear = {.devPtr = from.address,
                             .format = static_cast<CUarray_format>(from.format),
                             .numChannels = from.channels,
                             .sizeInBytes = from.width};
      break;
    case CU_RESOURCE_TYPE_PITCH2D:
      // The last row is not counted whole: its bytes are the format's, which the driver knows.
      if (from.height == 0 || __builtin_mul_overflow(from.height - 1, from.pitch, &bytes) ||
          !is_reachable(from.address, std::max<std::uint64_t>(bytes, 1))) {
        return refuse(CUDA_ERROR_INVALID_VALUE);
      }
      resource.res.pitch2D = {.devPtr = from.address,
                              .format = static_cast<CUarray_format>(from.format),
                              .numChannels = from.channels,
                              .width = from.width,
                              .height = from.height,
                              .pitchInBytes = from.pitch};
      break;
    default:
      return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  const bool is_texture = request.use == ObjectUse::texture;
  CUtexObject object = 0;
  CUresult code = CUDA_SUCCESS;
  if (is_texture) {
    const CUDA_TEXTURE_DESC texture = description_of(request.sampling);
    const CUDA_RESOURCE_VIEW_DESC view = description_of(request.view);
    code = driver_->cuTexObjectCreate(&object, &resource, &texture, request.view.present != 0 ? &view : nullptr);
  } else {
    code = driver_->cuSurfObjectCreate(&object, &resource);
  }
  if (code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const std::scoped_lock lock(textures_mutex_);
  // A number of a context that is gone the driver may give out again.
  textures_.insert_or_assign({.context = request.context, .number = object, .use = request.use}, context);
  return CreateTexture::Reply{.object = object};
}

Answer<Nothing> LaneBackend::handle(const DestroyTexture::Request& request, marshal::Call& /*call*/) {
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  {
    const std::scoped_lock lock(textures_mutex_);
    const auto found = textures_.find({.context = request.context, .number = request.object, .use = request.use});
    if (found == textures_.end()) {
      return refuse(CUDA_ERROR_INVALID_VALUE);
    }
    const bool is_gone = !found->second->alive.load(std::memory_order_acquire);
    textures_.erase(found);
    if (is_gone) {
      return refuse(CUDA_ERROR_INVALID_VALUE);
    }
  }
  return answer(request.use == ObjectUse::texture ? driver_->cuTexObjectDestroy(request.object)
                                                  : driver_->cuSurfObjectDestroy(request.object));
}

}  // namespace isthmus::cuda
