// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <utility>

#include "guest/opencl/command.hpp"
#include "guest/opencl/entry.hpp"
#include "guest/opencl/info.hpp"
#include "guest/opencl/types.hpp"
#include "src/gpu/opencl/bounds.hpp"

namespace isthmus::opencl {
namespace {

// A pointer into the slab, where the buffer is: nothing is copied.
cl_int map_in_place(Enqueue& enqueue, const Memory& memory, cl_map_flags flags, std::uint64_t offset,
                    std::uint64_t size, bool blocking) {
  const cl_int code = enqueue.post<EnqueueMap>(
      {.command = enqueue.command(), .memory = memory.id, .flags = flags, .offset = offset, .size = size});
  if (code != CL_SUCCESS || !blocking) {
    return code;
  }
  const auto waited = enqueue.connection().call<WaitForEvents>({}, std::as_bytes(std::span(&enqueue.event()->id, 1)));
  return waited ? CL_SUCCESS : waited.error();
}

}  // namespace

namespace entry {

void* CL_API_CALL enqueue_map_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, cl_map_flags flags,
                                     std::size_t offset, std::size_t size, cl_uint waits, const cl_event* events,
                                     cl_event* event, cl_int* errcode_ret) {
  auto begun = Enqueue::begin_on(
      buffer, {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_MAP_BUFFER},
      blocking != CL_FALSE);
  if (!begun) {
    return refuse(begun.error(), errcode_ret);
  }
  auto& [enqueue, memory] = *begun;
  constexpr cl_map_flags known = CL_MAP_READ | CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION;
  if ((flags & ~known) != 0 ||
      ((flags & CL_MAP_WRITE_INVALIDATE_REGION) != 0 && (flags & (CL_MAP_READ | CL_MAP_WRITE)) != 0) || size == 0 ||
      !lies_within(offset, size, memory->size)) {
    return refuse(CL_INVALID_VALUE, errcode_ret);
  }
  if (!memory->host_may_map(flags)) {
    return refuse(CL_INVALID_OPERATION, errcode_ret);
  }
  std::byte* const address = (memory->application != nullptr ? memory->application : memory->bytes) + offset;
  {
    const std::scoped_lock lock(memory->mutex);
    memory->mappings.push_back({.address = address, .offset = offset, .size = size, .flags = flags});
  }
  cl_int code = CL_SUCCESS;
  if (memory->application == nullptr) {
    code = map_in_place(enqueue, *memory, flags, offset, size, blocking != CL_FALSE);
  } else {
    code = enqueue.host_access(
        memory, offset, size, false, blocking != CL_FALSE,
        [memory = memory, address, offset, size] { std::memcpy(address, memory->bytes + offset, size); });
  }
  if (code != CL_SUCCESS) {
    const std::scoped_lock lock(memory->mutex);
    const auto mapping = std::ranges::find(memory->mappings, address, &Memory::Mapping::address);
    if (mapping != memory->mappings.end()) {
      memory->mappings.erase(mapping);
    }
    return refuse(code, errcode_ret);
  }
  return give(CL_SUCCESS, static_cast<void*>(address), errcode_ret);
}

cl_int CL_API_CALL enqueue_unmap_mem_object(cl_command_queue queue, cl_mem buffer, void* address, cl_uint waits,
                                            const cl_event* events, cl_event* event) {
  auto begun = Enqueue::begin_on(
      buffer, {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_UNMAP_MEM_OBJECT});
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
  return enqueue.host_access(memory, mapping.offset, mapping.size, writes, false, [memory = memory, mapping, writes] {
    if (writes) {
      std::memcpy(memory->bytes + mapping.offset, mapping.address, mapping.size);
    }
  });
}

}  // namespace entry
}  // namespace isthmus::opencl
