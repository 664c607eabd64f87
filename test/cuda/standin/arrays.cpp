// SPDX-License-Identifier: Apache-2.0
// Entry points of arrays, textures and surfaces.
#include <cuda.h>

#include <algorithm>

#include "test/cuda/standin/array.hpp"
#include "test/cuda/standin/context.hpp"
#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"

namespace isthmus::standin {
namespace {

std::size_t bytes_of_channel(CUarray_format format) {
  switch (format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8:
      return 1;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF:
      return 2;
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT:
      return 4;
    default:
      fail(CUDA_ERROR_INVALID_VALUE, "a format that the stand-in does not know");
  }
}

std::shared_ptr<Array> make_array(Context& context, const CUDA_ARRAY3D_DESCRIPTOR& about) {
  require(about.NumChannels == 1 || about.NumChannels == 2 || about.NumChannels == 4, CUDA_ERROR_INVALID_VALUE,
          "channels");
  require(about.Width > 0 && (about.Depth == 0 || about.Height > 0 || (about.Flags & CUDA_ARRAY3D_LAYERED) != 0),
          CUDA_ERROR_INVALID_VALUE, "an array without a size");
  require(about.Width <= 131072 && about.Height <= 65536 && about.Depth <= 16384, CUDA_ERROR_INVALID_VALUE,
          "an array larger than the device's largest");
  auto array = std::make_shared<Array>();
  array->context = &context;
  array->about = about;
  array->row = about.Width * about.NumChannels * bytes_of_channel(about.Format);
  array->rows = std::max<std::size_t>(about.Height, 1);
  array->bytes.assign(array->row * array->rows * std::max<std::size_t>(about.Depth, 1), std::byte{0xa5});
  return array;
}

std::size_t halved(std::size_t size, unsigned level) { return size == 0 ? 0 : std::max<std::size_t>(size >> level, 1); }

void check_resource(const CUDA_RESOURCE_DESC& resource) {
  switch (resource.resType) {
    case CU_RESOURCE_TYPE_ARRAY:
      driver().arrays.get(resource.res.array.hArray);
      return;
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
      driver().mipmapped_arrays.get(resource.res.mipmap.hMipmappedArray);
      return;
    case CU_RESOURCE_TYPE_LINEAR:
      bytes_of_channel(resource.res.linear.format);
      require(driver().memory.device_may_use(resource.res.linear.devPtr, resource.res.linear.sizeInBytes),
              CUDA_ERROR_INVALID_VALUE, "not device memory");
      return;
    case CU_RESOURCE_TYPE_PITCH2D: {
      const auto& plane = resource.res.pitch2D;
      const std::size_t row = plane.width * plane.numChannels * bytes_of_channel(plane.format);
      require(plane.height > 0 && row <= plane.pitchInBytes &&
                  driver().memory.device_may_use(plane.devPtr, (plane.height - 1) * plane.pitchInBytes + row),
              CUDA_ERROR_INVALID_VALUE, "not device memory");
      return;
    }
  }
  fail(CUDA_ERROR_INVALID_VALUE, "resType");
}

}  // namespace

Side side_of(CUarray array, std::size_t x, std::size_t y, std::size_t z, const Extent& extent) {
  const auto found = driver().arrays.get(array);
  const std::size_t slices = std::max<std::size_t>(found->about.Depth, 1);
  require(x <= found->row && extent.width <= found->row - x && y <= found->rows && extent.height <= found->rows - y &&
              z <= slices && extent.depth <= slices - z,
          CUDA_ERROR_INVALID_VALUE, "not all of it lies in the array");
  const std::size_t slice = found->row * found->rows;
  return {.start = found->bytes.data() + z * slice + y * found->row + x,
          .pitch = found->row,
          .slice = slice,
          .device = true};
}

void drop_arrays(const Context& context) {
  const auto ours = [&](const auto& object) { return object.context == &context; };
  driver().arrays.drop(ours);
  driver().mipmapped_arrays.drop(ours);
  driver().textures.drop(ours);
  driver().surfaces.drop(ours);
}

}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuArray3DCreate(CUarray* array, const CUDA_ARRAY3D_DESCRIPTOR* about) {
  return in_context(__func__, [&](Context& context) {
    require(about != nullptr, CUDA_ERROR_INVALID_VALUE);
    out(array) = driver().arrays.add(make_array(context, *about));
  });
}

CUresult cuArrayDestroy(CUarray array) {
  return in_context(__func__, [&](Context& context) {
    require(!driver().arrays.get(array)->is_level, CUDA_ERROR_INVALID_HANDLE, "a level of a mipmapped array");
    context.synchronize();
    driver().arrays.take(array);
  });
}

CUresult cuArray3DGetDescriptor(CUDA_ARRAY3D_DESCRIPTOR* about, CUarray array) {
  return in_context(__func__, [&](Context&) { out(about) = driver().arrays.get(array)->about; });
}

CUresult cuMipmappedArrayCreate(CUmipmappedArray* array, const CUDA_ARRAY3D_DESCRIPTOR* about, unsigned levels) {
  return in_context(__func__, [&](Context& context) {
    require(about != nullptr && levels >= 1 && levels <= 17, CUDA_ERROR_INVALID_VALUE);
    auto whole = std::make_shared<MipmappedArray>(MipmappedArray{.context = &context, .levels = {}});
    for (unsigned level = 0; level < levels; ++level) {
      CUDA_ARRAY3D_DESCRIPTOR part = *about;
      part.Width = halved(about->Width, level);
      part.Height = halved(about->Height, level);
      part.Depth = (about->Flags & CUDA_ARRAY3D_LAYERED) != 0 ? about->Depth : halved(about->Depth, level);
      auto made = make_array(context, part);
      made->is_level = true;
      whole->levels.push_back(driver().arrays.add(std::move(made)));
    }
    out(array) = driver().mipmapped_arrays.add(std::move(whole));
  });
}

CUresult cuMipmappedArrayGetLevel(CUarray* level, CUmipmappedArray array, unsigned index) {
  return in_context(__func__, [&](Context&) {
    const auto whole = driver().mipmapped_arrays.get(array);
    require(index < whole->levels.size(), CUDA_ERROR_INVALID_VALUE, "no such level");
    out(level) = whole->levels[index];
  });
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray array) {
  return in_context(__func__, [&](Context& context) {
    driver().mipmapped_arrays.get(array);
    context.synchronize();
    const auto whole = driver().mipmapped_arrays.take(array);
    for (CUarray level : whole->levels) {
      driver().arrays.take(level);
    }
  });
}

CUresult cuTexObjectCreate(CUtexObject* object, const CUDA_RESOURCE_DESC* resource, const CUDA_TEXTURE_DESC* texture,
                           const CUDA_RESOURCE_VIEW_DESC* /*view*/) {
  return in_context(__func__, [&](Context& context) {
    require(resource != nullptr && texture != nullptr, CUDA_ERROR_INVALID_VALUE);
    check_resource(*resource);
    out(object) = driver().textures.add(
        std::make_shared<Texture>(Texture{.context = &context, .resource = *resource, .texture = *texture}));
  });
}

CUresult cuTexObjectDestroy(CUtexObject object) {
  return in_context(__func__, [&](Context&) { driver().textures.take(object, CUDA_ERROR_INVALID_VALUE); });
}

CUresult cuTexObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource, CUtexObject object) {
  return in_context(
      __func__, [&](Context&) { out(resource) = driver().textures.get(object, CUDA_ERROR_INVALID_VALUE)->resource; });
}

CUresult cuTexObjectGetTextureDesc(CUDA_TEXTURE_DESC* texture, CUtexObject object) {
  return in_context(__func__,
                    [&](Context&) { out(texture) = driver().textures.get(object, CUDA_ERROR_INVALID_VALUE)->texture; });
}

CUresult cuSurfObjectCreate(CUsurfObject* object, const CUDA_RESOURCE_DESC* resource) {
  return in_context(__func__, [&](Context& context) {
    require(resource != nullptr && resource->resType == CU_RESOURCE_TYPE_ARRAY, CUDA_ERROR_INVALID_VALUE,
            "a surface needs an array");
    const auto array = driver().arrays.get(resource->res.array.hArray);
    require((array->about.Flags & CUDA_ARRAY3D_SURFACE_LDST) != 0, CUDA_ERROR_INVALID_VALUE,
            "an array without CUDA_ARRAY3D_SURFACE_LDST");
    out(object) = driver().surfaces.add(std::make_shared<Texture>(Texture{.context = &context, .resource = *resource}));
  });
}

CUresult cuSurfObjectDestroy(CUsurfObject object) {
  return in_context(__func__, [&](Context&) { driver().surfaces.take(object, CUDA_ERROR_INVALID_VALUE); });
}

CUresult cuSurfObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource, CUsurfObject object) {
  return in_context(
      __func__, [&](Context&) { out(resource) = driver().surfaces.get(object, CUDA_ERROR_INVALID_VALUE)->resource; });
}
