// SPDX-License-Identifier: Apache-2.0

// Texture and surface objects.

#include <algorithm>
#include <array>

#include "guest/cudart/call.hpp"
#include "guest/cudart/format.hpp"

using namespace isthmus::cudart;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

cudaError_t to_driver_resource(const cudaResourceDesc& from, CUDA_RESOURCE_DESC& to) {
  to = {};
  to.resType = static_cast<CUresourcetype>(from.resType);
  Format format;
  switch (from.resType) {
    case cudaResourceTypeArray:
      to.res.array.hArray = as<CUarray>(from.res.array.array);
      return cudaSuccess;
    case cudaResourceTypeMipmappedArray:
      to.res.mipmap.hMipmappedArray = as<CUmipmappedArray>(from.res.mipmap.mipmap);
      return cudaSuccess;
    case cudaResourceTypeLinear: {
      const cudaError_t error = to_format(from.res.linear.desc, format);
      to.res.linear = {.devPtr = as<CUdeviceptr>(from.res.linear.devPtr),
                       .format = format.format,
                       .numChannels = format.channels,
                       .sizeInBytes = from.res.linear.sizeInBytes};
      return error;
    }
    case cudaResourceTypePitch2D: {
      const cudaError_t error = to_format(from.res.pitch2D.desc, format);
      to.res.pitch2D = {.devPtr = as<CUdeviceptr>(from.res.pitch2D.devPtr),
                        .format = format.format,
                        .numChannels = format.channels,
                        .width = from.res.pitch2D.width,
                        .height = from.res.pitch2D.height,
                        .pitchInBytes = from.res.pitch2D.pitchInBytes};
      return error;
    }
  }
  return cudaErrorInvalidValue;
}

void* to_pointer(CUdeviceptr address) {
  return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr): the driver's address
}

void to_runtime_resource(const CUDA_RESOURCE_DESC& from, cudaResourceDesc& to) {
  to = {};
  to.resType = static_cast<cudaResourceType>(from.resType);
  switch (to.resType) {
    case cudaResourceTypeArray:
      to.res.array.array = reinterpret_cast<cudaArray_t>(from.res.array.hArray);
      break;
    case cudaResourceTypeMipmappedArray:
      to.res.mipmap.mipmap = reinterpret_cast<cudaMipmappedArray_t>(from.res.mipmap.hMipmappedArray);
      break;
    case cudaResourceTypeLinear:
      to.res.linear = {.devPtr = to_pointer(from.res.linear.devPtr),
                       .desc = to_channels({.format = from.res.linear.format, .channels = from.res.linear.numChannels}),
                       .sizeInBytes = from.res.linear.sizeInBytes};
      break;
    case cudaResourceTypePitch2D:
      to.res.pitch2D = {
          .devPtr = to_pointer(from.res.pitch2D.devPtr),
          .desc = to_channels({.format = from.res.pitch2D.format, .channels = from.res.pitch2D.numChannels}),
          .width = from.res.pitch2D.width,
          .height = from.res.pitch2D.height,
          .pitchInBytes = from.res.pitch2D.pitchInBytes};
      break;
  }
}

/// The driver's flags, and the member of the runtime's descriptor that each stands for.
struct TextureFlag {
  unsigned flag;
  int cudaTextureDesc::* member;
};
constexpr std::array texture_flags{
    TextureFlag{CU_TRSF_NORMALIZED_COORDINATES, &cudaTextureDesc::normalizedCoords},
    TextureFlag{CU_TRSF_SRGB, &cudaTextureDesc::sRGB},
    TextureFlag{CU_TRSF_DISABLE_TRILINEAR_OPTIMIZATION, &cudaTextureDesc::disableTrilinearOptimization},
    TextureFlag{CU_TRSF_SEAMLESS_CUBEMAP, &cudaTextureDesc::seamlessCubemap}};

CUDA_TEXTURE_DESC to_driver_texture(const cudaTextureDesc& from) {
  CUDA_TEXTURE_DESC to{};
  std::ranges::transform(from.addressMode, to.addressMode,
                         [](cudaTextureAddressMode mode) { return static_cast<CUaddress_mode>(mode); });
  to.filterMode = static_cast<CUfilter_mode>(from.filterMode);
  to.flags = from.readMode == cudaReadModeElementType ? CU_TRSF_READ_AS_INTEGER : 0;
  for (const TextureFlag& each : texture_flags) {
    to.flags |= from.*each.member != 0 ? each.flag : 0;
  }
  to.maxAnisotropy = from.maxAnisotropy;
  to.mipmapFilterMode = static_cast<CUfilter_mode>(from.mipmapFilterMode);
  to.mipmapLevelBias = from.mipmapLevelBias;
  to.minMipmapLevelClamp = from.minMipmapLevelClamp;
  to.maxMipmapLevelClamp = from.maxMipmapLevelClamp;
  std::ranges::copy(from.borderColor, to.borderColor);
  return to;
}

cudaTextureDesc to_runtime_texture(const CUDA_TEXTURE_DESC& from) {
  cudaTextureDesc to{};
  std::ranges::transform(from.addressMode, to.addressMode,
                         [](CUaddress_mode mode) { return static_cast<cudaTextureAddressMode>(mode); });
  to.filterMode = static_cast<cudaTextureFilterMode>(from.filterMode);
  to.readMode = (from.flags & CU_TRSF_READ_AS_INTEGER) != 0 ? cudaReadModeElementType : cudaReadModeNormalizedFloat;
  for (const TextureFlag& each : texture_flags) {
    to.*each.member = (from.flags & each.flag) != 0 ? 1 : 0;
  }
  to.maxAnisotropy = from.maxAnisotropy;
  to.mipmapFilterMode = static_cast<cudaTextureFilterMode>(from.mipmapFilterMode);
  to.mipmapLevelBias = from.mipmapLevelBias;
  to.minMipmapLevelClamp = from.minMipmapLevelClamp;
  to.maxMipmapLevelClamp = from.maxMipmapLevelClamp;
  std::ranges::copy(from.borderColor, to.borderColor);
  return to;
}

template <class Object>
cudaError_t get_resource(CUresult (*entry)(CUDA_RESOURCE_DESC*, Object), cudaResourceDesc* resource, Object object) {
  return with_context([&] {
    CUDA_RESOURCE_DESC driver_resource{};
    const cudaError_t error = resource != nullptr ? driver(entry, &driver_resource, object) : cudaErrorInvalidValue;
    if (error == cudaSuccess) {
      to_runtime_resource(driver_resource, *resource);
    }
    return error;
  });
}

}  // namespace

cudaError_t cudaCreateTextureObject(cudaTextureObject_t* object, const cudaResourceDesc* resource,
                                    const cudaTextureDesc* texture, const cudaResourceViewDesc* view) {
  return with_context([&] {
    if (object == nullptr || resource == nullptr || texture == nullptr) {
      return cudaErrorInvalidValue;
    }
    CUDA_RESOURCE_DESC driver_resource{};
    const cudaError_t error = to_driver_resource(*resource, driver_resource);
    if (error != cudaSuccess) {
      return error;
    }
    const CUDA_TEXTURE_DESC driver_texture = to_driver_texture(*texture);
    return driver(cuTexObjectCreate, object, &driver_resource, &driver_texture, view);
  });
}

cudaError_t cudaDestroyTextureObject(cudaTextureObject_t object) { return forward(cuTexObjectDestroy, object); }

cudaError_t cudaGetTextureObjectResourceDesc(cudaResourceDesc* resource, cudaTextureObject_t object) {
  return get_resource(cuTexObjectGetResourceDesc, resource, object);
}

cudaError_t cudaGetTextureObjectTextureDesc(cudaTextureDesc* texture, cudaTextureObject_t object) {
  return with_context([&] {
    CUDA_TEXTURE_DESC driver_texture{};
    const cudaError_t error =
        texture != nullptr ? driver(cuTexObjectGetTextureDesc, &driver_texture, object) : cudaErrorInvalidValue;
    if (error == cudaSuccess) {
      *texture = to_runtime_texture(driver_texture);
    }
    return error;
  });
}

cudaError_t cudaGetTextureObjectResourceViewDesc(cudaResourceViewDesc* view, cudaTextureObject_t object) {
  return forward(cuTexObjectGetResourceViewDesc, view, object);
}

cudaError_t cudaCreateSurfaceObject(cudaSurfaceObject_t* object, const cudaResourceDesc* resource) {
  return with_context([&] {
    if (object == nullptr || resource == nullptr) {
      return cudaErrorInvalidValue;
    }
    CUDA_RESOURCE_DESC driver_resource{};
    const cudaError_t error = to_driver_resource(*resource, driver_resource);
    return error == cudaSuccess ? driver(cuSurfObjectCreate, object, &driver_resource) : error;
  });
}

cudaError_t cudaDestroySurfaceObject(cudaSurfaceObject_t object) { return forward(cuSurfObjectDestroy, object); }

cudaError_t cudaGetSurfaceObjectResourceDesc(cudaResourceDesc* resource, cudaSurfaceObject_t object) {
  return get_resource(cuSurfObjectGetResourceDesc, resource, object);
}
