// SPDX-License-Identifier: Apache-2.0

// Arrays, and copies into and out of them.

#include "guest/cuda/array.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "guest/cuda/copies.hpp"
#include "guest/cuda/device_memory.hpp"
#include "guest/cuda/frontend.hpp"

namespace isthmus::cuda {
namespace {

// The most that is staged at a time for a copy between an array and ordinary memory.
constexpr std::uint64_t array_staging = std::uint64_t{16} << 20;

struct ArrayExtent {
  std::uint64_t width;
  std::uint64_t height;
  std::uint64_t depth;
};

// Memory on one side of a copy, from the first byte that it touches.
struct MemorySide {
  CUmemorytype type;
  std::uint64_t address;
  std::uint64_t pitch;
  std::uint64_t height;

  [[nodiscard]] std::byte* row(std::uint64_t row, std::uint64_t slice) const {
    const std::uint64_t at = address + (slice * height + row) * pitch;
    return reinterpret_cast<std::byte*>(at);  // NOLINT(performance-no-int-to-ptr): unified addressing
  }
};

struct GivenMemory {
  CUmemorytype type;
  const void* host;
  CUdeviceptr device;
  std::uint64_t pitch;
  std::uint64_t height;
  std::uint64_t x;
  std::uint64_t y;
  std::uint64_t z;
};

// Fills in what may be left out, and checks that the numbers fit each other.
std::optional<MemorySide> memory_side(const Frontend& cuda, const GivenMemory& given, const ArrayExtent& extent) {
  MemorySide side{.type = given.type,
                  .address = given.type == CU_MEMORYTYPE_HOST ? reinterpret_cast<std::uintptr_t>(given.host)
                                                              : std::uint64_t{given.device},
                  .pitch = given.pitch,
                  .height = given.height};
  const auto range = cuda.memory.find(side.address);
  const bool on_device = range && lies_on_device(range->value.kind);
  if (side.type == CU_MEMORYTYPE_UNIFIED || (range && lies_in_slab(range->value.kind))) {
    side.type = on_device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;  // managed memory is the slab's
  }
  const bool is_one_row = extent.height == 1 && extent.depth == 1;
  side.pitch = side.pitch == 0 && is_one_row ? given.x + extent.width : side.pitch;
  side.height = side.height == 0 ? given.y + extent.height : side.height;
  const bool is_known_type = side.type == CU_MEMORYTYPE_DEVICE || side.type == CU_MEMORYTYPE_HOST;
  if (!is_known_type || side.address == 0 || given.x > side.pitch || extent.width > side.pitch - given.x ||
      (extent.depth > 1 && side.height < given.y + extent.height) || (side.type == CU_MEMORYTYPE_HOST && on_device)) {
    return std::nullopt;
  }
  side.address += (given.z * side.height + given.y) * side.pitch + given.x;
  return side;
}

// Bytes from the first to the last.
std::uint64_t reach_of(const MemorySide& side, const ArrayExtent& extent) {
  return ((extent.depth - 1) * side.height + extent.height - 1) * side.pitch + extent.width;
}

// Where all of a side lies in the slab, if it is pinned.
std::optional<Reference> slab_of(const Frontend& cuda, const MemorySide& side, const ArrayExtent& extent) {
  const std::uint64_t bytes = reach_of(side, extent);
  const auto range = cuda.memory.find(side.address);
  if (!range || !lies_in_slab(range->value.kind) || !range->holds(side.address, bytes)) {
    return std::nullopt;
  }
  return Reference::make(0, range->value.offset + (side.address - range->base), bytes);
}

// Through a frame without gaps, in parts of whole rows.
CUresult staged_array_copy(const Here& here, CopyArray::Request request, const MemorySide& host,
                           const ArrayExtent& extent) {
  const bool to_array = request.direction == ArrayCopy::from_memory;
  const std::uint64_t rows_at_once = std::clamp<std::uint64_t>(array_staging / extent.width, 1, extent.height);
  auto frame = here.lane().allocate(extent.width * rows_at_once);
  if (!frame) {
    return frame.error().code == Errc::exhausted ? CUDA_ERROR_OUT_OF_MEMORY : here.lane().lost(frame.error());
  }
  const ArrayPlace start = request.array;
  request.depth = 1;
  request.wait = 1;
  for (std::uint64_t slice = 0; slice < extent.depth; ++slice) {
    for (std::uint64_t first = 0; first < extent.height; first += rows_at_once) {
      const std::uint64_t rows = std::min(rows_at_once, extent.height - first);
      for (std::uint64_t row = 0; to_array && row < rows; ++row) {
        std::memcpy(frame->data() + row * extent.width, host.row(first + row, slice), extent.width);
      }
      request.array.y = start.y + first;
      request.array.z = start.z + slice;
      request.height = rows;
      request.memory = {.slab = frame->reference(0, rows * extent.width), .pitch = extent.width, .height = rows};
      if (const CUresult code = here.lane().tell<CopyArray>(request); code != CUDA_SUCCESS) {
        return code;
      }
      for (std::uint64_t row = 0; !to_array && row < rows; ++row) {
        std::memcpy(host.row(first + row, slice), frame->data() + row * extent.width, extent.width);
      }
    }
  }
  return CUDA_SUCCESS;
}

// The array of a handle that a copy may use; null where there is none.
const ArrayRecord* plain_array(const Frontend& cuda, CUarray array) {
  const ArrayRecord* const record = cuda.arrays.find(array);
  return record != nullptr && !record->is_mipmapped ? record : nullptr;
}

Id array_name(const void* handle) { return reinterpret_cast<std::uintptr_t>(handle); }

CUresult create_array(void** handle, const CUDA_ARRAY3D_DESCRIPTOR* about, unsigned levels) {
  return entry_here([&](const Here& here) -> CUresult {
    if (handle == nullptr || about == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto id = here.cuda.arrays.reserve();
    if (!id) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const auto made = call_for_memory<CreateArray>(here.cuda, here.context,
                                                   {.id = *id,
                                                    .context = here.context,
                                                    .shape = {.width = about->Width,
                                                              .height = about->Height,
                                                              .depth = about->Depth,
                                                              .format = static_cast<std::uint32_t>(about->Format),
                                                              .channels = about->NumChannels,
                                                              .flags = about->Flags},
                                                    .levels = levels});
    if (!made) {
      here.cuda.arrays.cancel(*id);
      return made.error();
    }
    here.cuda.arrays.publish(*id, {.context = here.context, .is_mipmapped = levels != 0, .about = *about});
    return give(handle, handle_of<void*>(*id));
  });
}

CUresult destroy_array(Id id, bool is_mipmapped) {
  return entry_here([&](const Here& here) -> CUresult {
    const ArrayRecord* const record = here.cuda.arrays.find(id);
    if (record == nullptr || record->is_mipmapped != is_mipmapped || record->whole != 0) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    const Id context = record->context;
    if (!here.cuda.arrays.remove(id)) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if (is_mipmapped) {
      here.cuda.arrays.remove_if([&](const ArrayRecord& level) { return level.whole == id; });
    }
    return here.lane().tell<DestroyArray>({.id = id, .context = context});
  });
}

}  // namespace

CUresult copy_array_box(const Here& here, const Place& place, const CUDA_MEMCPY3D& box, When when) {
  const bool from_array = box.srcMemoryType == CU_MEMORYTYPE_ARRAY;
  const bool to_array = box.dstMemoryType == CU_MEMORYTYPE_ARRAY;
  const ArrayExtent extent{.width = box.WidthInBytes, .height = box.Height, .depth = box.Depth};
  if (extent.width == 0 || extent.height == 0 || extent.depth == 0) {
    return CUDA_SUCCESS;
  }
  if ((from_array && plain_array(here.cuda, box.srcArray) == nullptr) ||
      (to_array && plain_array(here.cuda, box.dstArray) == nullptr)) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  const ArrayPlace source{.array = array_name(box.srcArray), .x = box.srcXInBytes, .y = box.srcY, .z = box.srcZ};
  const ArrayPlace target{.array = array_name(box.dstArray), .x = box.dstXInBytes, .y = box.dstY, .z = box.dstZ};
  CopyArray::Request request{.place = place,
                             .array = to_array ? target : source,
                             .memory = {},
                             .source = {},
                             .width = extent.width,
                             .height = extent.height,
                             .depth = extent.depth,
                             .direction = to_array ? ArrayCopy::from_memory : ArrayCopy::to_memory,
                             .wait = 0};
  if (from_array && to_array) {
    request.direction = ArrayCopy::from_array;
    request.source = source;
    return here.lane().tell<CopyArray>(request);
  }
  const GivenMemory given = to_array ? GivenMemory{.type = box.srcMemoryType,
                                                   .host = box.srcHost,
                                                   .device = box.srcDevice,
                                                   .pitch = box.srcPitch,
                                                   .height = box.srcHeight,
                                                   .x = box.srcXInBytes,
                                                   .y = box.srcY,
                                                   .z = box.srcZ}
                                     : GivenMemory{.type = box.dstMemoryType,
                                                   .host = box.dstHost,
                                                   .device = box.dstDevice,
                                                   .pitch = box.dstPitch,
                                                   .height = box.dstHeight,
                                                   .x = box.dstXInBytes,
                                                   .y = box.dstY,
                                                   .z = box.dstZ};
  const auto memory = memory_side(here.cuda, given, extent);
  if (!memory) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  request.memory = {.address = memory->address, .slab = {}, .pitch = memory->pitch, .height = memory->height};
  if (memory->type == CU_MEMORYTYPE_DEVICE) {
    return here.cuda.knowledge_of(memory->address, reach_of(*memory, extent)) == Knowledge::outside
               ? CUDA_ERROR_INVALID_VALUE
               : here.lane().tell<CopyArray>(request);
  }
  const auto slab = slab_of(here.cuda, *memory, extent);
  if (!slab) {
    return staged_array_copy(here, request, *memory, extent);
  }
  request.memory.slab = *slab;
  request.wait = when == When::at_once ? 1 : 0;
  return here.lane().tell<CopyArray>(request);
}

}  // namespace isthmus::cuda

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

CUresult CUDAAPI cuArray3DCreate(CUarray* array, const CUDA_ARRAY3D_DESCRIPTOR* about) {
  return create_array(reinterpret_cast<void**>(array), about, 0);
}

CUresult CUDAAPI cuArrayCreate(CUarray* array, const CUDA_ARRAY_DESCRIPTOR* about) {
  if (about == nullptr) {
    return create_array(reinterpret_cast<void**>(array), nullptr, 0);
  }
  const CUDA_ARRAY3D_DESCRIPTOR flat{.Width = about->Width,
                                     .Height = about->Height,
                                     .Depth = 0,
                                     .Format = about->Format,
                                     .NumChannels = about->NumChannels,
                                     .Flags = 0};
  return create_array(reinterpret_cast<void**>(array), &flat, 0);
}

CUresult CUDAAPI cuArrayDestroy(CUarray array) { return destroy_array(array_name(array), false); }

CUresult CUDAAPI cuArray3DGetDescriptor(CUDA_ARRAY3D_DESCRIPTOR* about, CUarray array) {
  return entry_here([&](const Here& here) -> CUresult {
    const ArrayRecord* const record = plain_array(here.cuda, array);
    return record == nullptr ? CUDA_ERROR_INVALID_HANDLE : give(about, record->about);
  });
}

CUresult CUDAAPI cuArrayGetDescriptor(CUDA_ARRAY_DESCRIPTOR* about, CUarray array) {
  CUDA_ARRAY3D_DESCRIPTOR whole{};
  const CUresult code = cuArray3DGetDescriptor(&whole, array);
  return code != CUDA_SUCCESS ? code
                              : give(about, CUDA_ARRAY_DESCRIPTOR{.Width = whole.Width,
                                                                  .Height = whole.Height,
                                                                  .Format = whole.Format,
                                                                  .NumChannels = whole.NumChannels});
}

CUresult CUDAAPI cuMipmappedArrayCreate(CUmipmappedArray* array, const CUDA_ARRAY3D_DESCRIPTOR* about,
                                        unsigned int levels) {
  return levels == 0 ? CUDA_ERROR_INVALID_VALUE : create_array(reinterpret_cast<void**>(array), about, levels);
}

CUresult CUDAAPI cuMipmappedArrayDestroy(CUmipmappedArray array) { return destroy_array(array_name(array), true); }

CUresult CUDAAPI cuMipmappedArrayGetLevel(CUarray* level, CUmipmappedArray array, unsigned int index) {
  return entry_here([&](const Here& here) -> CUresult {
    const ArrayRecord* const whole = here.cuda.arrays.find(array);
    if (whole == nullptr || !whole->is_mipmapped) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if (level == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // The same level has the same handle whenever it is asked for.
    const std::scoped_lock lock(here.cuda.levels_mutex);
    if (const auto known = here.cuda.levels.find({array_name(array), index}); known != here.cuda.levels.end()) {
      if (here.cuda.arrays.find(known->second) != nullptr) {
        return give(level, handle_of<CUarray>(known->second));
      }
    }
    const auto id = here.cuda.arrays.reserve();
    if (!id) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const auto found = here.lane().call<ArrayLevel>(
        {.id = *id, .mipmapped = array_name(array), .context = whole->context, .level = index});
    if (!found) {
      here.cuda.arrays.cancel(*id);
      return found.error();
    }
    const ArrayShape& shape = found->reply;
    here.cuda.arrays.publish(*id, {.context = whole->context,
                                   .whole = array_name(array),
                                   .level = index,
                                   .is_mipmapped = false,
                                   .about = {.Width = shape.width,
                                             .Height = shape.height,
                                             .Depth = shape.depth,
                                             .Format = static_cast<CUarray_format>(shape.format),
                                             .NumChannels = shape.channels,
                                             .Flags = shape.flags}});
    here.cuda.levels.insert_or_assign({array_name(array), index}, *id);
    return give(level, handle_of<CUarray>(*id));
  });
}
