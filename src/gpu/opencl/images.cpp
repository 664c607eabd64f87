// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <tuple>
#include <utility>

#include "src/gpu/opencl/backend.hpp"
#include "src/gpu/opencl/image_shape.hpp"
#include "src/gpu/opencl/memory_flags.hpp"

namespace isthmus::opencl {
namespace {

cl_image_desc description_of(const ImageShape& shape, cl_mem buffer) {
  cl_image_desc description{};
  description.image_type = shape.kind;
  description.image_width = shape.width;
  description.image_height = shape.height;
  description.image_depth = shape.depth;
  description.image_array_size = shape.layers;
  if (buffer == nullptr) {  // else the buffer has the memory
    description.image_row_pitch = shape.row_pitch;
    description.image_slice_pitch = shape.slice_pitch;
  }
  description.buffer = buffer;
  return description;
}

}  // namespace

Answer<std::shared_ptr<MemoryObject>> LaneBackend::image_region(Id image, const std::array<std::uint64_t, 3>& origin,
                                                                const std::array<std::uint64_t, 3>& region) const {
  auto found = memory_.find(image);
  if (found == nullptr || !found->image) {
    return refuse(CL_INVALID_MEM_OBJECT);
  }
  if (!holds(*found->image, origin, region)) {
    return refuse(CL_INVALID_VALUE);
  }
  return found;
}

std::byte* LaneBackend::map(const Place& place, const MemoryObject& memory, cl_map_flags flags, std::uint64_t offset,
                            std::uint64_t size, cl_event* made, cl_int& code) const {
  const Driver& cl = *driver();
  if (!memory.image) {
    return static_cast<std::byte*>(cl.clEnqueueMapBuffer(place.queue.handle.get(), memory.handle.get(), CL_FALSE, flags,
                                                         offset, size, place.waits, place.events, made, &code));
  }
  // The client uses a part; the rest of the image must keep what it holds.
  constexpr cl_map_flags invalidates = CL_MAP_WRITE_INVALIDATE_REGION;
  const cl_map_flags kept = (flags & invalidates) != 0 ? (flags & ~invalidates) | CL_MAP_WRITE : flags;
  const std::array<std::size_t, 3> origin{};
  const std::array<std::size_t, 3> region = *pixels_of(*memory.image);
  std::size_t row_pitch = 0;
  std::size_t slice_pitch = 0;
  auto* at = static_cast<std::byte*>(cl.clEnqueueMapImage(place.queue.handle.get(), memory.handle.get(), CL_FALSE, kept,
                                                          origin.data(), region.data(), &row_pitch, &slice_pitch,
                                                          place.waits, place.events, made, &code));
  return code == CL_SUCCESS ? at + offset : nullptr;
}

Answer<Nothing> LaneBackend::create_image(const CreateImage::Request& request, const marshal::Call& call) {
  auto context = contexts_.find(request.context);
  if (context == nullptr) {
    return refuse(CL_INVALID_CONTEXT);
  }
  const auto shape = with_pitches(request.shape);
  const auto size = shape ? size_of(*shape) : std::nullopt;
  if (!size || (request.flags & ~access_flags) != 0) {
    return refuse(size ? CL_INVALID_VALUE : CL_INVALID_IMAGE_DESCRIPTOR);
  }
  auto image = std::make_shared<MemoryObject>();
  std::shared_ptr<MemoryObject> buffer;
  if (shape->kind == CL_MEM_OBJECT_IMAGE1D_BUFFER) {
    const auto found = range(request.buffer, 0, *size);
    if (!found) {
      return refuse(CL_INVALID_IMAGE_DESCRIPTOR);
    }
    buffer = *found;
    image->bytes = buffer->bytes;
  } else {
    const auto bytes = call.resolve(request.memory);
    if (!bytes || bytes->size() < *size) {
      return refuse(CL_INVALID_IMAGE_SIZE);
    }
    image->bytes = bytes->data();
  }
  const Driver& cl = *driver();
  const cl_image_format format{.image_channel_order = shape->channel_order,
                               .image_channel_data_type = shape->channel_type};
  const cl_image_desc description = description_of(*shape, buffer != nullptr ? buffer->handle.get() : nullptr);
  const cl_mem_flags flags = (request.flags & device_flags) | (buffer != nullptr ? 0 : CL_MEM_USE_HOST_PTR);
  cl_int code = CL_SUCCESS;
  image->handle = Owned(cl.clCreateImage(context->handle.get(), flags, &format, &description,
                                         buffer != nullptr ? nullptr : image->bytes, &code),
                        cl.clReleaseMemObject);
  if (code != CL_SUCCESS) {
    return refuse(code);
  }
  image->context = std::move(context);
  image->size = *size;
  image->image = *shape;
  cl_mem handle = image->handle.get();
  if (!memory_.add(request.id, std::move(image))) {
    return refuse(CL_INVALID_MEM_OBJECT);
  }
  if (buffer == nullptr) {
    tell_of_release(handle, request.id, call);
  }
  return Nothing{};
}

void LaneBackend::add_images(marshal::Dispatcher& dispatcher) {
  const auto self = shared_from_this();
  dispatcher.on<CreateImage>(
      [self](const CreateImage::Request& request, marshal::Call& call) { return self->create_image(request, call); });

  dispatcher.on<CreateSampler>([self](const CreateSampler::Request& request, marshal::Call&) -> Answer<Nothing> {
    auto context = self->contexts_.find(request.context);
    if (context == nullptr) {
      return refuse(CL_INVALID_CONTEXT);
    }
    const Driver& cl = *self->driver();
    cl_int code = CL_SUCCESS;
    auto sampler = std::make_shared<SamplerObject>();
    sampler->handle = Owned(cl.clCreateSampler(context->handle.get(), request.normalized != 0 ? CL_TRUE : CL_FALSE,
                                               request.addressing, request.filter, &code),
                            cl.clReleaseSampler);
    sampler->context = std::move(context);
    return code != CL_SUCCESS                                    ? answer(code)
           : self->samplers_.add(request.id, std::move(sampler)) ? Answer<Nothing>(Nothing{})
                                                                 : refuse(CL_INVALID_SAMPLER);
  });

  on_enqueue<EnqueueCopyImage>(
      dispatcher,
      [](LaneBackend& backend, const EnqueueCopyImage::Request& request, marshal::TrailingReader&,
         const Place& place) -> cl_int {
        const Driver& cl = *backend.driver();
        cl_command_queue queue = place.queue.handle.get();
        const auto from = backend.memory_.find(request.from);
        const auto to = backend.memory_.find(request.to);
        if (from == nullptr || to == nullptr || (!from->image && !to->image)) {
          return CL_INVALID_MEM_OBJECT;
        }
        const MemoryObject& image = from->image ? *from : *to;
        const auto fits = [&](const MemoryObject& memory, const std::array<std::uint64_t, 3>& origin) {
          if (memory.image) {
            return holds(*memory.image, origin, request.region);
          }
          // Bytes of a region that holds() in the image: no product overflows, because the image has more.
          return lies_within(origin[0],
                             pixel_size(image.image->channel_order, image.image->channel_type) * request.region[0] *
                                 request.region[1] * request.region[2],
                             memory.size);
        };
        if (!fits(image, from->image ? request.from_origin : request.to_origin) || !fits(*from, request.from_origin) ||
            !fits(*to, request.to_origin)) {
          return CL_INVALID_VALUE;
        }
        if (!to->image) {
          return cl.clEnqueueCopyImageToBuffer(queue, from->handle.get(), to->handle.get(), request.from_origin.data(),
                                               request.region.data(), request.to_origin[0], place.waits, place.events,
                                               place.made);
        }
        if (!from->image) {
          return cl.clEnqueueCopyBufferToImage(queue, from->handle.get(), to->handle.get(), request.from_origin[0],
                                               request.to_origin.data(), request.region.data(), place.waits,
                                               place.events, place.made);
        }
        if (from->image->channel_order != to->image->channel_order ||
            from->image->channel_type != to->image->channel_type) {
          return CL_IMAGE_FORMAT_MISMATCH;
        }
        return cl.clEnqueueCopyImage(queue, from->handle.get(), to->handle.get(), request.from_origin.data(),
                                     request.to_origin.data(), request.region.data(), place.waits, place.events,
                                     place.made);
      });

  on_enqueue<EnqueueFillImage>(dispatcher,
                               [](LaneBackend& backend, const EnqueueFillImage::Request& request,
                                  marshal::TrailingReader&, const Place& place) -> cl_int {
                                 const auto image = backend.image_region(request.image, request.origin, request.region);
                                 if (!image) {
                                   return image.error();
                                 }
                                 return backend.driver()->clEnqueueFillImage(
                                     place.queue.handle.get(), (*image)->handle.get(), request.color.data(),
                                     request.origin.data(), request.region.data(), place.waits, place.events,
                                     place.made);
                               });
}

}  // namespace isthmus::opencl
