// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstring>
#include <utility>

#include "guest/opencl/box_transfer.hpp"
#include "guest/opencl/command.hpp"
#include "guest/opencl/entry.hpp"
#include "guest/opencl/types.hpp"
#include "src/gpu/opencl/image_shape.hpp"

namespace isthmus::opencl {
namespace {

cl_int transfer_image(const Enqueue::Arguments& arguments, cl_mem handle, bool writes, bool blocking,
                      const std::size_t* origin, const std::size_t* region, std::size_t row_pitch,
                      std::size_t slice_pitch, std::byte* host) {
  auto begun = Enqueue::begin_on(handle, arguments, Wanted::image);
  if (!begun) {
    return begun.error();
  }
  auto& [enqueue, image] = *begun;
  const ImageShape& shape = *image->image;
  if (origin == nullptr || region == nullptr || host == nullptr || (slice_pitch != 0 && !has_slices(shape.kind)) ||
      !holds(shape, three(origin), three(region))) {
    return CL_INVALID_VALUE;
  }
  const ByteRegion bytes = bytes_of_region(shape, three(origin), three(region));
  // The layers of an array of lines are a slice pitch apart, not a row pitch.
  const std::size_t row = shape.kind == CL_MEM_OBJECT_IMAGE1D_ARRAY && slice_pitch != 0 ? slice_pitch : row_pitch;
  const std::size_t slice = shape.kind == CL_MEM_OBJECT_IMAGE1D_ARRAY ? 0 : slice_pitch;
  const Box host_box = with_pitches({.origin = {}, .row_pitch = row, .slice_pitch = slice}, bytes.region);
  return transfer(enqueue, image, {.memory = bytes.box, .host = host_box, .region = bytes.region}, writes, blocking,
                  host);
}

bool overlap_in_all(const std::array<std::uint64_t, 3>& a, const std::array<std::uint64_t, 3>& b,
                    const std::array<std::uint64_t, 3>& region) {
  bool all = true;
  for (std::size_t i = 0; i < region.size(); ++i) {
    all = all && a.at(i) < b.at(i) + region.at(i) && b.at(i) < a.at(i) + region.at(i);
  }
  return all;
}

// Between an image and a buffer. `image_origin` and `region` may be null.
cl_int copy_with_buffer(const Enqueue::Arguments& arguments, cl_mem image_handle, cl_mem buffer_handle,
                        const std::size_t* image_origin, const std::size_t* region, std::size_t offset,
                        bool to_buffer) {
  auto begun = Enqueue::begin_on(image_handle, arguments, Wanted::image);
  if (!begun) {
    return begun.error();
  }
  auto& [enqueue, image] = *begun;
  const auto buffer = enqueue.memory(buffer_handle);
  if (!buffer) {
    return buffer.error();
  }
  if (image_origin == nullptr || region == nullptr || !holds(*image->image, three(image_origin), three(region))) {
    return CL_INVALID_VALUE;
  }
  const ByteRegion bytes = bytes_of_region(*image->image, three(image_origin), three(region));
  if (!lies_within(offset, bytes.region[0] * bytes.region[1] * bytes.region[2], (*buffer)->size)) {
    return CL_INVALID_VALUE;
  }
  const std::array<std::uint64_t, 3> buffer_origin{offset, 0, 0};
  return enqueue.post<EnqueueCopyImage>({.command = enqueue.command(),
                                         .from = to_buffer ? image->id : (*buffer)->id,
                                         .to = to_buffer ? (*buffer)->id : image->id,
                                         .from_origin = to_buffer ? three(image_origin) : buffer_origin,
                                         .to_origin = to_buffer ? buffer_origin : three(image_origin),
                                         .region = three(region)});
}

}  // namespace

namespace entry {

cl_int CL_API_CALL enqueue_read_image(cl_command_queue queue, cl_mem image, cl_bool blocking, const std::size_t* origin,
                                      const std::size_t* region, std::size_t row_pitch, std::size_t slice_pitch,
                                      void* to, cl_uint waits, const cl_event* events, cl_event* event) {
  return transfer_image(
      {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_READ_IMAGE}, image, false,
      blocking != CL_FALSE, origin, region, row_pitch, slice_pitch, static_cast<std::byte*>(to));
}

cl_int CL_API_CALL enqueue_write_image(cl_command_queue queue, cl_mem image, cl_bool blocking,
                                       const std::size_t* origin, const std::size_t* region, std::size_t row_pitch,
                                       std::size_t slice_pitch, const void* from, cl_uint waits, const cl_event* events,
                                       cl_event* event) {
  // One function copies both ways; it only reads this one.
  auto* readable = static_cast<std::byte*>(const_cast<void*>(from));
  return transfer_image(
      {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_WRITE_IMAGE}, image, true,
      blocking != CL_FALSE, origin, region, row_pitch, slice_pitch, readable);
}

cl_int CL_API_CALL enqueue_copy_image(cl_command_queue queue, cl_mem from_handle, cl_mem to_handle,
                                      const std::size_t* from_origin, const std::size_t* to_origin,
                                      const std::size_t* region, cl_uint waits, const cl_event* events,
                                      cl_event* event) {
  auto begun = Enqueue::begin_on(
      from_handle, {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_COPY_IMAGE},
      Wanted::image);
  if (!begun) {
    return begun.error();
  }
  auto& [enqueue, from] = *begun;
  const auto to = enqueue.memory(to_handle, Wanted::image);
  if (!to) {
    return to.error();
  }
  const ImageShape& from_shape = *from->image;
  const ImageShape& to_shape = *(*to)->image;
  if (from_shape.channel_order != to_shape.channel_order || from_shape.channel_type != to_shape.channel_type) {
    return CL_IMAGE_FORMAT_MISMATCH;
  }
  if (from_origin == nullptr || to_origin == nullptr || region == nullptr ||
      !holds(from_shape, three(from_origin), three(region)) || !holds(to_shape, three(to_origin), three(region))) {
    return CL_INVALID_VALUE;
  }
  if (from == *to && overlap_in_all(three(from_origin), three(to_origin), three(region))) {
    return CL_MEM_COPY_OVERLAP;
  }
  return enqueue.post<EnqueueCopyImage>({.command = enqueue.command(),
                                         .from = from->id,
                                         .to = (*to)->id,
                                         .from_origin = three(from_origin),
                                         .to_origin = three(to_origin),
                                         .region = three(region)});
}

cl_int CL_API_CALL enqueue_copy_image_to_buffer(cl_command_queue queue, cl_mem image, cl_mem buffer,
                                                const std::size_t* origin, const std::size_t* region,
                                                std::size_t offset, cl_uint waits, const cl_event* events,
                                                cl_event* event) {
  return copy_with_buffer(
      {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_COPY_IMAGE_TO_BUFFER},
      image, buffer, origin, region, offset, true);
}

cl_int CL_API_CALL enqueue_copy_buffer_to_image(cl_command_queue queue, cl_mem buffer, cl_mem image, std::size_t offset,
                                                const std::size_t* origin, const std::size_t* region, cl_uint waits,
                                                const cl_event* events, cl_event* event) {
  return copy_with_buffer(
      {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_COPY_BUFFER_TO_IMAGE},
      image, buffer, origin, region, offset, false);
}

cl_int CL_API_CALL enqueue_fill_image(cl_command_queue queue, cl_mem handle, const void* color,
                                      const std::size_t* origin, const std::size_t* region, cl_uint waits,
                                      const cl_event* events, cl_event* event) {
  auto begun = Enqueue::begin_on(
      handle, {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_FILL_IMAGE},
      Wanted::image);
  if (!begun) {
    return begun.error();
  }
  auto& [enqueue, image] = *begun;
  if (color == nullptr || origin == nullptr || region == nullptr ||
      !holds(*image->image, three(origin), three(region))) {
    return CL_INVALID_VALUE;
  }
  EnqueueFillImage::Request request{
      .command = enqueue.command(), .image = image->id, .origin = three(origin), .region = three(region)};
  // A depth image takes one number, every other image four.
  std::memcpy(request.color.data(), color, image->image->channel_order == CL_DEPTH ? 4 : request.color.size());
  return enqueue.post<EnqueueFillImage>(request);
}

}  // namespace entry
}  // namespace isthmus::opencl
