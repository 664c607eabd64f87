// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <tuple>
#include <utility>

#include "src/gpu/cuda/backend.hpp"

namespace isthmus::cuda {
namespace {

ArrayShape shape_of(const CUDA_ARRAY3D_DESCRIPTOR& from) {
  return {.width = from.Width,
          .height = from.Height,
          .depth = from.Depth,
          .format = static_cast<std::uint32_t>(from.Format),
          .channels = from.NumChannels,
          .flags = from.Flags};
}

CUDA_ARRAY3D_DESCRIPTOR descriptor_of(const ArrayShape& from) {
  return {.Width = from.width,
          .Height = from.height,
          .Depth = from.depth,
          .Format = static_cast<CUarray_format>(from.format),
          .NumChannels = from.channels,
          .Flags = from.flags};
}

// Bytes of memory from the first to the last of a copy, or nothing where the numbers overflow or contradict each other.
std::optional<std::uint64_t> extent_of(const RowMemory& memory, const CopyArray::Request& copy) {
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  const bool overflows = __builtin_mul_overflow(copy.depth - 1, memory.height, &rows) ||
                         __builtin_add_overflow(rows, copy.height - 1, &rows) ||
                         __builtin_mul_overflow(rows, memory.pitch, &bytes) ||
                         __builtin_add_overflow(bytes, copy.width, &bytes);
  const bool overlaps = (copy.height > 1 || copy.depth > 1) && memory.pitch < copy.width;
  return overflows || overlaps || (copy.depth > 1 && memory.height < copy.height) ? std::nullopt : std::optional(bytes);
}

// One side of a copy as the driver describes it; `Copy` is CUDA_MEMCPY3D.
void set_array(CUDA_MEMCPY3D& copy, bool is_target, const ArrayPlace& at, CUarray array) {
  if (is_target) {
    copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.dstArray = array;
    std::tie(copy.dstXInBytes, copy.dstY, copy.dstZ) = std::tie(at.x, at.y, at.z);
  } else {
    copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.srcArray = array;
    std::tie(copy.srcXInBytes, copy.srcY, copy.srcZ) = std::tie(at.x, at.y, at.z);
  }
}

void set_memory(CUDA_MEMCPY3D& copy, bool is_target, const RowMemory& memory, std::uint64_t start) {
  const bool is_host = memory.slab.length != 0;
  const CUmemorytype type = is_host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
  void* const host = is_host ? reinterpret_cast<void*>(start) : nullptr;  // NOLINT(performance-no-int-to-ptr)
  if (is_target) {
    copy.dstMemoryType = type;
    copy.dstHost = host;
    copy.dstDevice = is_host ? 0 : start;
    copy.dstPitch = memory.pitch;
    copy.dstHeight = memory.height;
  } else {
    copy.srcMemoryType = type;
    copy.srcHost = host;
    copy.srcDevice = is_host ? 0 : start;
    copy.srcPitch = memory.pitch;
    copy.srcHeight = memory.height;
  }
}

// What an array is called in the account: handles are addresses of the worker's, where no device memory lies.
std::uint64_t key_of(const ArrayObject& object) {
  return object.mipmapped != nullptr ? reinterpret_cast<std::uintptr_t>(object.mipmapped)
                                     : reinterpret_cast<std::uintptr_t>(object.array);
}

}  // namespace

CUresult LaneBackend::destroy_array(const ArrayObject& object) {
  return account_.settle(key_of(object), [&] {
    return object.mipmapped != nullptr ? driver_->cuMipmappedArrayDestroy(object.mipmapped)
                                       : driver_->cuArrayDestroy(object.array);
  });
}

std::shared_ptr<ArrayObject> LaneBackend::living_array(Id id) const {
  auto found = arrays_.find(id);
  return found != nullptr && found->context->alive.load(std::memory_order_acquire) ? found : nullptr;
}

Answer<Nothing> LaneBackend::handle(const CreateArray::Request& request, marshal::Call& /*call*/) {
  const auto context = contexts_.find(request.context);
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS || context == nullptr) {
    return refuse(code != CUDA_SUCCESS ? code : CUDA_ERROR_INVALID_CONTEXT);
  }
  if (request.levels > UINT32_MAX || request.shape.format > CU_AD_FORMAT_MAX) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  auto object = std::make_shared<ArrayObject>(ArrayObject{.context = context, .whole = nullptr});
  const CUDA_ARRAY3D_DESCRIPTOR descriptor = descriptor_of(request.shape);
  const auto create = [&] {
    return request.levels == 0 ? driver_->cuArray3DCreate(&object->array, &descriptor)
                               : driver_->cuMipmappedArrayCreate(&object->mipmapped, &descriptor,
                                                                 static_cast<std::uint32_t>(request.levels));
  };
  const CUresult code = account_.spend(bytes_of_array(descriptor, request.levels), context->handle, create,
                                       [&] { return key_of(*object); });
  if (code != CUDA_SUCCESS) {
    return refuse(code);
  }
  if (arrays_.add(request.id, object)) {
    return Nothing{};
  }
  std::ignore = destroy_array(*object);
  return refuse(CUDA_ERROR_INVALID_HANDLE);
}

Answer<ArrayShape> LaneBackend::handle(const ArrayLevel::Request& request, marshal::Call& /*call*/) {
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const auto whole = living_array(request.mipmapped);
  if (whole == nullptr || whole->mipmapped == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  if (request.level > UINT32_MAX) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  auto level = std::make_shared<ArrayObject>(ArrayObject{.context = whole->context, .whole = whole});
  CUDA_ARRAY3D_DESCRIPTOR descriptor{};
  CUresult code =
      driver_->cuMipmappedArrayGetLevel(&level->array, whole->mipmapped, static_cast<std::uint32_t>(request.level));
  code = code == CUDA_SUCCESS ? driver_->cuArray3DGetDescriptor(&descriptor, level->array) : code;
  if (code != CUDA_SUCCESS) {
    return refuse(code);
  }
  return arrays_.add(request.id, std::move(level)) ? Answer<ArrayShape>(shape_of(descriptor))
                                                   : refuse(CUDA_ERROR_INVALID_HANDLE);
}

Answer<Nothing> LaneBackend::handle(const DestroyArray::Request& request, marshal::Call& /*call*/) {
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const auto object = living_array(request.id);
  if (object == nullptr || object->whole != nullptr) {  // a level goes with the whole
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  // Known to be gone before it is: another thread's array may get the handle as soon as the driver has it back.
  if (arrays_.take(request.id) == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  arrays_.remove_if([&](const ArrayObject& other) { return other.whole == object; });
  return answer(destroy_array(*object));
}

Answer<Nothing> LaneBackend::handle(const CopyArray::Request& request, marshal::Call& call) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  if (request.width == 0 || request.height == 0 || request.depth == 0) {
    return Nothing{};
  }
  const auto array = living_array(request.array.array);
  if (array == nullptr || array->array == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  if (request.wait != 0) {
    if (const CUresult code = check_capture(place->stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        code != CUDA_SUCCESS) {
      return refuse(code);
    }
  }
  const bool is_target = request.direction != ArrayCopy::to_memory;
  // Bounds of arrays are the driver's to check.
  CUDA_MEMCPY3D copy{};
  set_array(copy, is_target, request.array, array->array);
  copy.WidthInBytes = request.width;
  copy.Height = request.height;
  copy.Depth = request.depth;
  if (request.direction == ArrayCopy::from_array) {
    const auto source = living_array(request.source.array);
    if (source == nullptr || source->array == nullptr) {
      return refuse(CUDA_ERROR_INVALID_HANDLE);
    }
    set_array(copy, false, request.source, source->array);
    return answer(driver_->cuMemcpy3DAsync(&copy, place->stream));
  }
  const RowMemory& memory = request.memory;
  const auto extent = extent_of(memory, request);
  if (!extent || request.direction > ArrayCopy::from_array) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  CUresult code = CUDA_SUCCESS;
  if (memory.slab.length == 0) {
    if (!is_device_memory(memory.address, *extent)) {
      return refuse(CUDA_ERROR_INVALID_VALUE);
    }
    set_memory(copy, !is_target, memory, memory.address);
    code = driver_->cuMemcpy3DAsync(&copy, place->stream);
  } else {
    const auto bytes = call.resolve(memory.slab);
    if (!bytes || *extent > bytes->size()) {
      return refuse(CUDA_ERROR_INVALID_VALUE);
    }
    slab_->use(*bytes, place->context);
    const auto run = [&](std::uint64_t offset, std::uint64_t x, std::uint64_t row, std::uint64_t slice) {
      ArrayPlace at = request.array;
      at.x += x;
      at.y += row;
      at.z += slice;
      set_array(copy, is_target, at, array->array);
      set_memory(copy, !is_target, memory, reinterpret_cast<std::uintptr_t>(bytes->data()) + offset);
      return driver_->cuMemcpy3DAsync(&copy, place->stream);
    };
    if (slab_->piece(bytes->data(), *extent) == *extent) {
      code = run(0, 0, 0, 0);
    } else {  // somewhere in it is the border of two registrations: row by row, and that row in pieces
      copy.Height = copy.Depth = 1;
      for (std::uint64_t line = 0; line < request.height * request.depth && code == CUDA_SUCCESS; ++line) {
        const std::uint64_t slice = line / request.height;
        const std::uint64_t row = line % request.height;
        const std::uint64_t start = (slice * memory.height + row) * memory.pitch;
        for (std::uint64_t x = 0; x < request.width && code == CUDA_SUCCESS; x += copy.WidthInBytes) {
          copy.WidthInBytes = slab_->piece(bytes->data() + start + x, request.width - x);
          code = run(start + x, x, row, slice);
        }
      }
    }
  }
  if (code == CUDA_SUCCESS && request.wait != 0 && call.wants_reply()) {
    code = driver_->cuStreamSynchronize(place->stream);
  }
  return answer(code);
}

}  // namespace isthmus::cuda
