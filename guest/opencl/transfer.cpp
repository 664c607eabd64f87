// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <ranges>
#include <utility>

#include "guest/opencl/box_transfer.hpp"
#include "guest/opencl/command.hpp"
#include "guest/opencl/entry.hpp"
#include "guest/opencl/types.hpp"
#include "isthmus/bulk_copy.hpp"
#include "src/gpu/opencl/bounds.hpp"

namespace isthmus::opencl {
namespace {

// A write so short travels in the message: a round trip would take longer than its copies.
constexpr std::size_t short_write = 4096;
// From here on several threads copy.
constexpr std::size_t long_copy = std::size_t{2} << 20;
constexpr cl_uint most_buffers = 1024;

void copy_bytes(std::byte* to, const std::byte* from, std::size_t size) {
  const bool apart = to + size <= from || from + size <= to;
  if (size >= long_copy && apart) {
    BulkCopy().copy(std::span(to, size), std::span(from, size));
  } else {
    std::memmove(to, from, size);  // an application may pass a part of the mapped buffer itself
  }
}

cl_int transfer_box(const Enqueue::Arguments& arguments, cl_mem buffer, bool writes, bool blocking,
                    const std::size_t* buffer_origin, const std::size_t* host_origin, const std::size_t* region,
                    std::array<std::size_t, 4> pitches, std::byte* host) {
  auto begun = Enqueue::begin_on(buffer, arguments);
  if (!begun) {
    return begun.error();
  }
  auto& [enqueue, memory] = *begun;
  if (buffer_origin == nullptr || host_origin == nullptr || region == nullptr || host == nullptr) {
    return CL_INVALID_VALUE;
  }
  BoxTransfer box{.memory = {}, .host = {}, .region = three(region)};
  box.memory =
      with_pitches({.origin = three(buffer_origin), .row_pitch = pitches[0], .slice_pitch = pitches[1]}, box.region);
  box.host =
      with_pitches({.origin = three(host_origin), .row_pitch = pitches[2], .slice_pitch = pitches[3]}, box.region);
  return transfer(enqueue, memory, box, writes, blocking, host);
}

bool is_same_or_part(const Memory& a, const Memory& b) {
  const Memory* root_of_a = a.parent != nullptr ? a.parent.get() : &a;
  const Memory* root_of_b = b.parent != nullptr ? b.parent.get() : &b;
  return root_of_a == root_of_b;
}

bool overlap(std::uint64_t a, std::uint64_t b, std::uint64_t size) { return a < b + size && b < a + size; }

}  // namespace

namespace entry {

cl_int CL_API_CALL enqueue_read_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, std::size_t offset,
                                       std::size_t size, void* to, cl_uint waits, const cl_event* events,
                                       cl_event* event) {
  auto begun = Enqueue::begin_on(
      buffer, {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_READ_BUFFER});
  if (!begun) {
    return begun.error();
  }
  auto& [enqueue, memory] = *begun;
  if (to == nullptr || size == 0 || !lies_within(offset, size, memory->size)) {
    return CL_INVALID_VALUE;
  }
  if (!memory->host_may_read()) {
    return CL_INVALID_OPERATION;
  }
  return enqueue.host_access(memory, offset, size, false, blocking != CL_FALSE, [memory, offset, size, to] {
    copy_bytes(static_cast<std::byte*>(to), memory->bytes + offset, size);
  });
}

cl_int CL_API_CALL enqueue_write_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, std::size_t offset,
                                        std::size_t size, const void* from, cl_uint waits, const cl_event* events,
                                        cl_event* event) {
  auto begun = Enqueue::begin_on(
      buffer, {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_WRITE_BUFFER});
  if (!begun) {
    return begun.error();
  }
  auto& [enqueue, memory] = *begun;
  if (from == nullptr || size == 0 || !lies_within(offset, size, memory->size)) {
    return CL_INVALID_VALUE;
  }
  if (!memory->host_may_write()) {
    return CL_INVALID_OPERATION;
  }
  const auto copy = [memory, offset, size, from] {
    copy_bytes(memory->bytes + offset, static_cast<const std::byte*>(from), size);
  };
  if (enqueue.copy_at_once(blocking != CL_FALSE, copy)) {
    return CL_SUCCESS;
  }
  if (size <= short_write && (blocking == CL_FALSE || waits == 0)) {
    enqueue.add(std::span(static_cast<const std::byte*>(from), size));
    return enqueue.post<EnqueueWrite>({.command = enqueue.command(), .memory = memory->id, .offset = offset});
  }
  return enqueue.host_access(memory, offset, size, true, blocking != CL_FALSE, copy);
}

cl_int CL_API_CALL enqueue_read_buffer_rect(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                                            const std::size_t* buffer_origin, const std::size_t* host_origin,
                                            const std::size_t* region, std::size_t buffer_row, std::size_t buffer_slice,
                                            std::size_t host_row, std::size_t host_slice, void* host, cl_uint waits,
                                            const cl_event* events, cl_event* event) {
  return transfer_box(
      {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_READ_BUFFER_RECT}, buffer,
      false, blocking != CL_FALSE, buffer_origin, host_origin, region, {buffer_row, buffer_slice, host_row, host_slice},
      static_cast<std::byte*>(host));
}

cl_int CL_API_CALL enqueue_write_buffer_rect(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                                             const std::size_t* buffer_origin, const std::size_t* host_origin,
                                             const std::size_t* region, std::size_t buffer_row,
                                             std::size_t buffer_slice, std::size_t host_row, std::size_t host_slice,
                                             const void* host, cl_uint waits, const cl_event* events, cl_event* event) {
  // One function copies both ways; it only reads this one.
  auto* readable = static_cast<std::byte*>(const_cast<void*>(host));
  return transfer_box(
      {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_WRITE_BUFFER_RECT}, buffer,
      true, blocking != CL_FALSE, buffer_origin, host_origin, region, {buffer_row, buffer_slice, host_row, host_slice},
      readable);
}

cl_int CL_API_CALL enqueue_copy_buffer(cl_command_queue queue, cl_mem from_handle, cl_mem to_handle,
                                       std::size_t from_offset, std::size_t to_offset, std::size_t size, cl_uint waits,
                                       const cl_event* events, cl_event* event) {
  auto enqueue = Enqueue::begin(
      {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_COPY_BUFFER});
  if (!enqueue) {
    return enqueue.error();
  }
  const auto from = enqueue->memory(from_handle);
  const auto to = enqueue->memory(to_handle);
  if (!from || !to) {
    return from ? to.error() : from.error();
  }
  if (size == 0 || !lies_within(from_offset, size, (*from)->size) || !lies_within(to_offset, size, (*to)->size)) {
    return CL_INVALID_VALUE;
  }
  if (is_same_or_part(**from, **to) && overlap((*from)->origin + from_offset, (*to)->origin + to_offset, size)) {
    return CL_MEM_COPY_OVERLAP;
  }
  return enqueue->post<EnqueueCopy>({.command = enqueue->command(),
                                     .from = (*from)->id,
                                     .to = (*to)->id,
                                     .from_offset = from_offset,
                                     .to_offset = to_offset,
                                     .size = size});
}

cl_int CL_API_CALL enqueue_copy_buffer_rect(cl_command_queue queue, cl_mem from_handle, cl_mem to_handle,
                                            const std::size_t* from_origin, const std::size_t* to_origin,
                                            const std::size_t* region, std::size_t from_row, std::size_t from_slice,
                                            std::size_t to_row, std::size_t to_slice, cl_uint waits,
                                            const cl_event* events, cl_event* event) {
  auto enqueue = Enqueue::begin(
      {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_COPY_BUFFER_RECT});
  if (!enqueue) {
    return enqueue.error();
  }
  const auto from = enqueue->memory(from_handle);
  const auto to = enqueue->memory(to_handle);
  if (!from || !to) {
    return from ? to.error() : from.error();
  }
  if (from_origin == nullptr || to_origin == nullptr || region == nullptr) {
    return CL_INVALID_VALUE;
  }
  EnqueueCopyBox::Request request;
  request.command = enqueue->command();
  request.from = (*from)->id;
  request.to = (*to)->id;
  request.region = three(region);
  request.from_box =
      with_pitches({.origin = three(from_origin), .row_pitch = from_row, .slice_pitch = from_slice}, request.region);
  request.to_box =
      with_pitches({.origin = three(to_origin), .row_pitch = to_row, .slice_pitch = to_slice}, request.region);
  const auto reads = extent_of(request.from_box, request.region);
  const auto writes = extent_of(request.to_box, request.region);
  if (!reads || !writes || !lies_within(reads->begin, reads->size, (*from)->size) ||
      !lies_within(writes->begin, writes->size, (*to)->size)) {
    return CL_INVALID_VALUE;
  }
  if (*from == *to && (request.from_box.row_pitch != request.to_box.row_pitch ||
                       request.from_box.slice_pitch != request.to_box.slice_pitch)) {
    return CL_INVALID_VALUE;
  }
  if (*from == *to) {
    const auto apart = [&](std::size_t i) {
      const std::uint64_t a = request.from_box.origin.at(i);
      const std::uint64_t b = request.to_box.origin.at(i);
      return !overlap(a, b, request.region.at(i));
    };
    // Boxes with the same pitches overlap where they do in every dimension.
    if (!apart(0) && !apart(1) && !apart(2)) {
      return CL_MEM_COPY_OVERLAP;
    }
  }
  return enqueue->post<EnqueueCopyBox>(request);
}

cl_int CL_API_CALL enqueue_fill_buffer(cl_command_queue queue, cl_mem buffer, const void* pattern,
                                       std::size_t pattern_size, std::size_t offset, std::size_t size, cl_uint waits,
                                       const cl_event* events, cl_event* event) {
  auto begun = Enqueue::begin_on(
      buffer, {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_FILL_BUFFER});
  if (!begun) {
    return begun.error();
  }
  auto& [enqueue, memory] = *begun;
  if (pattern == nullptr || !is_pattern_size(pattern_size) || size == 0 || offset % pattern_size != 0 ||
      size % pattern_size != 0 || !lies_within(offset, size, memory->size)) {
    return CL_INVALID_VALUE;
  }
  EnqueueFill::Request request{.command = enqueue.command(),
                               .memory = memory->id,
                               .offset = offset,
                               .size = size,
                               .pattern_size = static_cast<std::uint32_t>(pattern_size)};
  std::memcpy(request.pattern.data(), pattern, pattern_size);
  return enqueue.post<EnqueueFill>(request);
}

cl_int CL_API_CALL enqueue_migrate_mem_objects(cl_command_queue queue, cl_uint count, const cl_mem* buffers,
                                               cl_mem_migration_flags flags, cl_uint waits, const cl_event* events,
                                               cl_event* event) {
  auto enqueue = Enqueue::begin(
      {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_MIGRATE_MEM_OBJECTS});
  if (!enqueue) {
    return enqueue.error();
  }
  constexpr cl_mem_migration_flags known = CL_MIGRATE_MEM_OBJECT_HOST | CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED;
  if (count == 0 || count > most_buffers || buffers == nullptr || (flags & ~known) != 0) {
    return CL_INVALID_VALUE;
  }
  for (cl_uint i = 0; i < count; ++i) {
    if (const auto memory = enqueue->memory(buffers[i], Wanted::any); !memory) {
      return memory.error();
    }
  }
  // Where a buffer best lies is the driver's affair; what remains is the command's place in the queue.
  return enqueue->post<EnqueueMarker>({.command = enqueue->command()});
}

}  // namespace entry
}  // namespace isthmus::opencl
