// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "src/gpu/opencl/backend.hpp"
#include "src/gpu/opencl/bounds.hpp"

namespace isthmus::opencl {

void LaneBackend::add_commands(marshal::Dispatcher& dispatcher) {
  const auto self = shared_from_this();

  dispatcher.on<EnqueueWrite>([self](const EnqueueWrite::Request& request, marshal::Call& call) {
    Trailing trailing(call.trailing());
    return self->enqueue(
        request.command, trailing,
        [&](const QueueObject& queue, cl_uint waits, const cl_event* events, cl_event* made) -> cl_int {
          const auto memory = self->memory_.find(request.memory);
          const auto bytes = trailing.rest();
          if (memory == nullptr) {
            return CL_INVALID_MEM_OBJECT;
          }
          if (bytes.empty() || !lies_within(request.offset, bytes.size(), memory->size)) {
            return CL_INVALID_VALUE;
          }
          const Driver& cl = *self->driver();
          // The message is gone when the driver writes.
          auto copy = std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end());
          cl_event written = nullptr;
          const cl_int code =
              cl.clEnqueueWriteBuffer(queue.handle.get(), memory->handle.get(), CL_FALSE, request.offset, copy->size(),
                                      copy->data(), waits, events, &written);
          if (code != CL_SUCCESS) {
            return code;
          }
          if (self->when(written, CL_COMPLETE, [copy](cl_int) { std::ignore = copy; }) != CL_SUCCESS) {
            // Nobody will say when the driver is done with it: better lost than used after its end.
            std::ignore = new std::shared_ptr<std::vector<std::byte>>(std::move(copy));
          }
          if (made != nullptr) {
            *made = written;
          } else {
            cl.clReleaseEvent(written);
          }
          return CL_SUCCESS;
        });
  });

  dispatcher.on<EnqueueCopy>([self](const EnqueueCopy::Request& request, marshal::Call& call) {
    Trailing trailing(call.trailing());
    return self->enqueue(
        request.command, trailing,
        [&](const QueueObject& queue, cl_uint waits, const cl_event* events, cl_event* made) -> cl_int {
          const auto from = self->memory_.find(request.from);
          const auto to = self->memory_.find(request.to);
          if (from == nullptr || to == nullptr) {
            return CL_INVALID_MEM_OBJECT;
          }
          if (request.size == 0 || !lies_within(request.from_offset, request.size, from->size) ||
              !lies_within(request.to_offset, request.size, to->size)) {
            return CL_INVALID_VALUE;
          }
          return self->driver()->clEnqueueCopyBuffer(queue.handle.get(), from->handle.get(), to->handle.get(),
                                                     request.from_offset, request.to_offset, request.size, waits,
                                                     events, made);
        });
  });

  dispatcher.on<EnqueueCopyBox>([self](const EnqueueCopyBox::Request& request, marshal::Call& call) {
    Trailing trailing(call.trailing());
    return self->enqueue(
        request.command, trailing,
        [&](const QueueObject& queue, cl_uint waits, const cl_event* events, cl_event* made) -> cl_int {
          const auto from = self->memory_.find(request.from);
          const auto to = self->memory_.find(request.to);
          if (from == nullptr || to == nullptr) {
            return CL_INVALID_MEM_OBJECT;
          }
          const auto reads = extent_of(request.from_box, request.region);
          const auto writes = extent_of(request.to_box, request.region);
          if (!reads || !writes || !lies_within(reads->begin, reads->size, from->size) ||
              !lies_within(writes->begin, writes->size, to->size)) {
            return CL_INVALID_VALUE;
          }
          return self->driver()->clEnqueueCopyBufferRect(
              queue.handle.get(), from->handle.get(), to->handle.get(), request.from_box.origin.data(),
              request.to_box.origin.data(), request.region.data(), request.from_box.row_pitch,
              request.from_box.slice_pitch, request.to_box.row_pitch, request.to_box.slice_pitch, waits, events, made);
        });
  });

  dispatcher.on<EnqueueFill>([self](const EnqueueFill::Request& request, marshal::Call& call) {
    Trailing trailing(call.trailing());
    return self->enqueue(
        request.command, trailing,
        [&](const QueueObject& queue, cl_uint waits, const cl_event* events, cl_event* made) -> cl_int {
          const auto memory = self->memory_.find(request.memory);
          if (memory == nullptr) {
            return CL_INVALID_MEM_OBJECT;
          }
          if (!is_pattern_size(request.pattern_size) || request.size == 0 ||
              request.offset % request.pattern_size != 0 || request.size % request.pattern_size != 0 ||
              !lies_within(request.offset, request.size, memory->size)) {
            return CL_INVALID_VALUE;
          }
          return self->driver()->clEnqueueFillBuffer(queue.handle.get(), memory->handle.get(), request.pattern.data(),
                                                     request.pattern_size, request.offset, request.size, waits, events,
                                                     made);
        });
  });

  dispatcher.on<EnqueueMarker>([self](const EnqueueMarker::Request& request, marshal::Call& call) {
    Trailing trailing(call.trailing());
    return self->enqueue(request.command, trailing,
                         [&](const QueueObject& queue, cl_uint waits, const cl_event* events, cl_event* made) {
                           const Driver& cl = *self->driver();
                           return request.barrier != 0
                                      ? cl.clEnqueueBarrierWithWaitList(queue.handle.get(), waits, events, made)
                                      : cl.clEnqueueMarkerWithWaitList(queue.handle.get(), waits, events, made);
                         });
  });

  dispatcher.on<EnqueueMap>([self](const EnqueueMap::Request& request, marshal::Call& call) {
    Trailing trailing(call.trailing());
    return self->enqueue(
        request.command, trailing,
        [&](const QueueObject& queue, cl_uint waits, const cl_event* events, cl_event* made) -> cl_int {
          const auto memory = self->memory_.find(request.memory);
          if (memory == nullptr) {
            return CL_INVALID_MEM_OBJECT;
          }
          if (request.size == 0 || !lies_within(request.offset, request.size, memory->size)) {
            return CL_INVALID_VALUE;
          }
          cl_int code = CL_SUCCESS;
          const void* mapped =
              self->driver()->clEnqueueMapBuffer(queue.handle.get(), memory->handle.get(), CL_FALSE, request.flags,
                                                 request.offset, request.size, waits, events, made, &code);
          // A buffer over given memory is mapped into that memory: the client counts on it.
          return code != CL_SUCCESS || mapped == memory->bytes + request.offset ? code : CL_MAP_FAILURE;
        });
  });

  dispatcher.on<EnqueueUnmap>([self](const EnqueueUnmap::Request& request, marshal::Call& call) {
    Trailing trailing(call.trailing());
    return self->enqueue(
        request.command, trailing,
        [&](const QueueObject& queue, cl_uint waits, const cl_event* events, cl_event* made) -> cl_int {
          const auto memory = self->memory_.find(request.memory);
          if (memory == nullptr) {
            return CL_INVALID_MEM_OBJECT;
          }
          if (request.offset >= memory->size) {
            return CL_INVALID_VALUE;
          }
          return self->driver()->clEnqueueUnmapMemObject(queue.handle.get(), memory->handle.get(),
                                                         memory->bytes + request.offset, waits, events, made);
        });
  });
}

}  // namespace isthmus::opencl
