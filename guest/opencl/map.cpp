// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "guest/opencl/box_transfer.hpp"
#include "guest/opencl/command.hpp"
#include "guest/opencl/entry.hpp"
#include "guest/opencl/info.hpp"
#include "guest/opencl/types.hpp"
#include "src/gpu/opencl/bounds.hpp"
#include "src/gpu/opencl/image_shape.hpp"

namespace isthmus::opencl {
namespace {

// A pointer into the slab, where the memory is: nothing is copied.
cl_int map_in_place(Enqueue& enqueue, const Memory& memory, const Memory::Mapping& mapping, bool blocking) {
  const cl_int code = enqueue.post<EnqueueMap>({.command = enqueue.command(),
                                                .memory = memory.id,
                                                .flags = mapping.flags,
                                                .offset = mapping.offset,
                                                .size = mapping.size});
  if (code != CL_SUCCESS || !blocking) {
    return code;
  }
  const auto waited = enqueue.connection().call<WaitForEvents>({}, std::as_bytes(std::span(&enqueue.event()->id, 1)));
  return waited ? CL_SUCCESS : waited.error();
}

bool is_way_to_map(cl_map_flags flags) {
  constexpr cl_map_flags known = CL_MAP_READ | CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION;
  return (flags & ~known) == 0 &&
         ((flags & CL_MAP_WRITE_INVALIDATE_REGION) == 0 || (flags & (CL_MAP_READ | CL_MAP_WRITE)) == 0);
}

// Everything of `mapping` but the address is set, and lies in the memory.
void* map_memory(Enqueue& enqueue, const std::shared_ptr<Memory>& memory, Memory::Mapping mapping, bool blocking,
                 cl_int* errcode_ret) {
  if (!memory->host_may_map(mapping.flags)) {
    return refuse(CL_INVALID_OPERATION, errcode_ret);
  }
  std::byte* const address = (memory->application != nullptr ? memory->application : memory->bytes) + mapping.offset;
  mapping.address = address;
  {
    const std::scoped_lock lock(memory->mutex);
    memory->mappings.push_back(mapping);
  }
  const cl_int code =
      memory->application == nullptr
          ? map_in_place(enqueue, *memory, mapping, blocking)
          : enqueue.host_access(memory, mapping.offset, mapping.size, false, blocking, [memory, mapping] {
              copy_box(memory->application, mapping.box, memory->bytes, mapping.box, mapping.region);
            });
  if (code != CL_SUCCESS) {
    const std::scoped_lock lock(memory->mutex);
    const auto at = std::ranges::find(memory->mappings, address, &Memory::Mapping::address);
    if (at != memory->mappings.end()) {
      memory->mappings.erase(at);
    }
    return refuse(code, errcode_ret);
  }
  return give(CL_SUCCESS, static_cast<void*>(address), errcode_ret);
}

}  // namespace

namespace entry {

void* CL_API_CALL enqueue_map_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, cl_map_flags flags,
                                     std::size_t offset, std::size_t size, cl_uint waits, const cl_event* events,
                                     cl_event* event, cl_int* errcode_ret) {
  auto begun = Enqueue::begin_on(
      buffer, {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_MAP_BUFFER},
      Wanted::buffer, blocking != CL_FALSE);
  if (!begun) {
    return refuse(begun.error(), errcode_ret);
  }
  auto& [enqueue, memory] = *begun;
  if (!is_way_to_map(flags) || size == 0 || !lies_within(offset, size, memory->size)) {
    return refuse(CL_INVALID_VALUE, errcode_ret);
  }
  return map_memory(enqueue, memory,
                    {.offset = offset,
                     .size = size,
                     .box = {.origin = {offset, 0, 0}, .row_pitch = size, .slice_pitch = size},
                     .region = {size, 1, 1},
                     .flags = flags},
                    blocking != CL_FALSE, errcode_ret);
}

void* CL_API_CALL enqueue_map_image(cl_command_queue queue, cl_mem image, cl_bool blocking, cl_map_flags flags,
                                    const std::size_t* origin, const std::size_t* region, std::size_t* row_pitch,
                                    std::size_t* slice_pitch, cl_uint waits, const cl_event* events, cl_event* event,
                                    cl_int* errcode_ret) {
  auto begun = Enqueue::begin_on(
      image, {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_MAP_IMAGE},
      Wanted::image, blocking != CL_FALSE);
  if (!begun) {
    return refuse(begun.error(), errcode_ret);
  }
  auto& [enqueue, memory] = *begun;
  const ImageShape& shape = *memory->image;
  if (!is_way_to_map(flags) || origin == nullptr || region == nullptr || row_pitch == nullptr ||
      (slice_pitch == nullptr && has_slices(shape.kind)) || !holds(shape, three(origin), three(region))) {
    return refuse(CL_INVALID_VALUE, errcode_ret);
  }
  const ByteRegion bytes = bytes_of_region(shape, three(origin), three(region));
  const auto extent = extent_of(bytes.box, bytes.region);
  if (!extent) {
    return refuse(CL_INVALID_VALUE, errcode_ret);
  }
  void* const address = map_memory(
      enqueue, memory,
      {.offset = extent->begin, .size = extent->size, .box = bytes.box, .region = bytes.region, .flags = flags},
      blocking != CL_FALSE, errcode_ret);
  if (address != nullptr) {
    *row_pitch = shape.row_pitch;
    if (slice_pitch != nullptr) {
      *slice_pitch = shape.slice_pitch;
    }
  }
  return address;
}

cl_int CL_API_CALL enqueue_unmap_mem_object(cl_command_queue queue, cl_mem handle, void* address, cl_uint waits,
                                            const cl_event* events, cl_event* event) {
  auto begun = Enqueue::begin_on(
      handle, {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_UNMAP_MEM_OBJECT},
      Wanted::any);
  if (!begun) {
    return begun.error();
  }
  auto& [enqueue, memory] = *begun;
  Memory::Mapping mapping;
  {
    const std::scoped_lock lock(memory->mutex);
    const auto at = std::ranges::find(memory->mappings, static_cast<std::byte*>(address), &Memory::Mapping::address);
    if (at == memory->mappings.end()) {
      return CL_INVALID_VALUE;
    }
    mapping = *at;
    memory->mappings.erase(at);
  }
  if (memory->application == nullptr) {
    return enqueue.post<EnqueueUnmap>({.command = enqueue.command(), .memory = memory->id, .offset = mapping.offset});
  }
  const bool writes = (mapping.flags & (CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION)) != 0;
  return enqueue.host_access(memory, mapping.offset, mapping.size, writes, false, [memory, mapping, writes] {
    if (writes) {
      copy_box(memory->bytes, mapping.box, memory->application, mapping.box, mapping.region);
    }
  });
}

}  // namespace entry
}  // namespace isthmus::opencl
