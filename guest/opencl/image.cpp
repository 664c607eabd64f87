// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <tuple>
#include <utility>

#include "guest/opencl/entry.hpp"
#include "guest/opencl/info.hpp"
#include "guest/opencl/memory_flags.hpp"
#include "guest/opencl/types.hpp"
#include "src/gpu/opencl/image_shape.hpp"

namespace isthmus::opencl {
namespace {

// Sizes that a kind of image has not are ignored in what the application passes.
std::optional<ImageShape> shape_of(const cl_image_format& format, const cl_image_desc& description) {
  ImageShape shape{.kind = description.image_type,
                   .channel_order = format.image_channel_order,
                   .channel_type = format.image_channel_data_type,
                   .width = description.image_width,
                   .row_pitch = description.image_row_pitch,
                   .slice_pitch = has_slices(description.image_type) ? description.image_slice_pitch : 0};
  switch (description.image_type) {
    case CL_MEM_OBJECT_IMAGE2D_ARRAY:
      shape.height = description.image_height;
      [[fallthrough]];
    case CL_MEM_OBJECT_IMAGE1D_ARRAY:
      shape.layers = description.image_array_size;
      break;
    case CL_MEM_OBJECT_IMAGE3D:
      shape.depth = description.image_depth;
      [[fallthrough]];
    case CL_MEM_OBJECT_IMAGE2D:
      shape.height = description.image_height;
      break;
    default:
      break;
  }
  return with_pitches(shape);
}

// Whether one of the devices can have an image so large.
bool is_small_enough(const Context& context, const ImageShape& shape) {
  const auto fits = [&shape](Device& device) {
    const auto most = [&device](cl_device_info parameter) { return device.value<std::size_t>(parameter, 0); };
    switch (shape.kind) {
      case CL_MEM_OBJECT_IMAGE1D_BUFFER:
        return shape.width <= most(CL_DEVICE_IMAGE_MAX_BUFFER_SIZE);
      case CL_MEM_OBJECT_IMAGE3D:
        return shape.width <= most(CL_DEVICE_IMAGE3D_MAX_WIDTH) && shape.height <= most(CL_DEVICE_IMAGE3D_MAX_HEIGHT) &&
               shape.depth <= most(CL_DEVICE_IMAGE3D_MAX_DEPTH);
      default:
        return shape.width <= most(CL_DEVICE_IMAGE2D_MAX_WIDTH) && shape.height <= most(CL_DEVICE_IMAGE2D_MAX_HEIGHT) &&
               shape.layers <= most(CL_DEVICE_IMAGE_MAX_ARRAY_SIZE);
    }
  };
  return std::ranges::any_of(context.devices, [&fits](const auto& device) { return fits(*device); });
}

// Everything that can be wrong with a new image but its buffer; CL_SUCCESS and the shape, otherwise.
cl_int check_new_image(const Context& context, cl_mem_flags flags, const cl_image_format* format,
                       const cl_image_desc* description, const void* host, ImageShape& shape) {
  if (!flags_fit(flags)) {
    return CL_INVALID_VALUE;
  }
  if (format == nullptr || pixel_size(format->image_channel_order, format->image_channel_data_type) == 0) {
    return CL_INVALID_IMAGE_FORMAT_DESCRIPTOR;
  }
  if (description != nullptr && description->buffer != nullptr && description->image_type == CL_MEM_OBJECT_IMAGE2D) {
    return CL_INVALID_OPERATION;  // what some devices can
  }
  if (description == nullptr || description->num_mip_levels != 0 || description->num_samples != 0 ||
      (host == nullptr && (description->image_row_pitch != 0 || description->image_slice_pitch != 0)) ||
      (description->buffer != nullptr) != (description->image_type == CL_MEM_OBJECT_IMAGE1D_BUFFER)) {
    return CL_INVALID_IMAGE_DESCRIPTOR;
  }
  const auto made = shape_of(*format, *description);
  if (!made || !size_of(*made)) {
    return CL_INVALID_IMAGE_DESCRIPTOR;
  }
  shape = *made;
  if (!context.has_images()) {
    return CL_INVALID_OPERATION;
  }
  if (!is_small_enough(context, shape)) {
    return CL_INVALID_IMAGE_SIZE;
  }
  return host_pointer_fits(flags, host) ? CL_SUCCESS : CL_INVALID_HOST_PTR;
}

// Takes memory for an image, or its buffer's.
cl_int place_image(Connection& connection, Memory& image, cl_mem buffer, void* host) {
  image.size = *size_of(*image.image);
  if (buffer == nullptr) {
    auto frame = frame_with(connection, image.size, host);
    if (!frame) {
      return frame.error();
    }
    image.bytes = frame->data();
    image.application = (image.flags & CL_MEM_USE_HOST_PTR) != 0 ? static_cast<std::byte*>(host) : nullptr;
    image.frame = std::move(*frame);
    return CL_SUCCESS;
  }
  image.parent = find<Memory>(buffer);
  if (image.parent == nullptr || image.parent->image || image.parent->context != image.context) {
    return CL_INVALID_IMAGE_DESCRIPTOR;
  }
  if (image.size > image.parent->size) {
    return CL_INVALID_IMAGE_SIZE;
  }
  image.bytes = image.parent->bytes;
  image.application = image.parent->application;
  return CL_SUCCESS;
}

}  // namespace

namespace entry {

cl_mem CL_API_CALL create_image(cl_context context_handle, cl_mem_flags flags, const cl_image_format* format,
                                const cl_image_desc* description, void* host, cl_int* errcode_ret) {
  const auto context = find<Context>(context_handle);
  Connection* connection = Connection::get();
  if (context == nullptr || connection == nullptr) {
    return refuse(CL_INVALID_CONTEXT, errcode_ret);
  }
  auto image = std::make_shared<Memory>();
  image->image.emplace();
  if (const cl_int code = check_new_image(*context, flags, format, description, host, *image->image);
      code != CL_SUCCESS) {
    return refuse(code, errcode_ret);
  }
  image->context = context;
  image->flags = with_kernel_access(flags);
  if (const cl_int code = place_image(*connection, *image, description->buffer, host); code != CL_SUCCESS) {
    return refuse(code, errcode_ret);
  }
  const Id id = connection->new_id();
  const auto made =
      connection->call<CreateImage>({.id = id,
                                     .context = context->id,
                                     .buffer = image->parent != nullptr ? image->parent->id : 0,
                                     .flags = image->flags & told_flags,
                                     .memory = image->parent != nullptr ? Reference{} : image->frame.reference(),
                                     .shape = *image->image});
  if (!made) {
    return refuse(made.error(), errcode_ret);
  }
  image->id = id;
  if (!publish(image)) {
    return refuse(CL_OUT_OF_HOST_MEMORY, errcode_ret);
  }
  return give(CL_SUCCESS, handle_of(image), errcode_ret);
}

cl_mem CL_API_CALL create_image_2d(cl_context context, cl_mem_flags flags, const cl_image_format* format,
                                   std::size_t width, std::size_t height, std::size_t row_pitch, void* host,
                                   cl_int* errcode_ret) {
  cl_image_desc description{};
  description.image_type = CL_MEM_OBJECT_IMAGE2D;
  description.image_width = width;
  description.image_height = height;
  description.image_row_pitch = row_pitch;
  return create_image(context, flags, format, &description, host, errcode_ret);
}

cl_mem CL_API_CALL create_image_3d(cl_context context, cl_mem_flags flags, const cl_image_format* format,
                                   std::size_t width, std::size_t height, std::size_t depth, std::size_t row_pitch,
                                   std::size_t slice_pitch, void* host, cl_int* errcode_ret) {
  cl_image_desc description{};
  description.image_type = CL_MEM_OBJECT_IMAGE3D;
  description.image_width = width;
  description.image_height = height;
  description.image_depth = depth;
  description.image_row_pitch = row_pitch;
  description.image_slice_pitch = slice_pitch;
  return create_image(context, flags, format, &description, host, errcode_ret);
}

cl_int CL_API_CALL get_supported_image_formats(cl_context handle, cl_mem_flags flags, cl_mem_object_type kind,
                                               cl_uint room, cl_image_format* formats, cl_uint* count_ret) {
  constexpr cl_mem_flags both_ways = CL_MEM_KERNEL_READ_AND_WRITE;
  const auto context = find<Context>(handle);
  Connection* connection = Connection::get();
  if (context == nullptr || connection == nullptr) {
    return CL_INVALID_CONTEXT;
  }
  if (!flags_fit(flags & ~both_ways) || (room == 0 && formats != nullptr) || kind < CL_MEM_OBJECT_IMAGE2D ||
      kind > CL_MEM_OBJECT_IMAGE1D_BUFFER) {
    return CL_INVALID_VALUE;
  }
  std::vector<std::byte> known;
  if (context->has_images()) {
    auto answer =
        connection->query(Subject::image_formats, kind, context->id,
                          (flags & both_ways) != 0 ? flags & both_ways : with_kernel_access(flags) & kernel_access);
    if (!answer) {
      return answer.error();
    }
    known = std::move(*answer);
  }
  const std::size_t count = known.size() / sizeof(cl_image_format);
  if (formats != nullptr && !known.empty()) {
    std::memcpy(formats, known.data(), std::min<std::size_t>(count, room) * sizeof(cl_image_format));
  }
  if (count_ret != nullptr) {
    *count_ret = static_cast<cl_uint>(count);
  }
  return CL_SUCCESS;
}

cl_int CL_API_CALL get_image_info(cl_mem handle, cl_image_info parameter, std::size_t size, void* value,
                                  std::size_t* size_ret) {
  const auto image = find<Memory>(handle);
  if (image == nullptr || !image->image) {
    return CL_INVALID_MEM_OBJECT;
  }
  const ImageShape& shape = *image->image;
  const InfoTarget target(size, value, size_ret);
  const auto number = [&target](std::uint64_t answer) { return target.value(static_cast<std::size_t>(answer)); };
  switch (parameter) {
    case CL_IMAGE_FORMAT:
      return target.value(
          cl_image_format{.image_channel_order = shape.channel_order, .image_channel_data_type = shape.channel_type});
    case CL_IMAGE_ELEMENT_SIZE:
      return number(pixel_size(shape.channel_order, shape.channel_type));
    case CL_IMAGE_ROW_PITCH:
      return number(shape.row_pitch);
    case CL_IMAGE_SLICE_PITCH:
      return number(shape.slice_pitch);
    case CL_IMAGE_WIDTH:
      return number(shape.width);
    case CL_IMAGE_HEIGHT:
      return number(shape.height);
    case CL_IMAGE_DEPTH:
      return number(shape.depth);
    case CL_IMAGE_ARRAY_SIZE:
      return number(shape.layers);
    case CL_IMAGE_BUFFER:
      return target.value(handle_of(image->parent));
    case CL_IMAGE_NUM_MIP_LEVELS:
    case CL_IMAGE_NUM_SAMPLES:
      return target.value(cl_uint{0});
    default:
      return CL_INVALID_VALUE;
  }
}

}  // namespace entry
}  // namespace isthmus::opencl
