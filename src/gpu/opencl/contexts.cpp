// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <utility>

#include "src/gpu/opencl/backend.hpp"

namespace isthmus::opencl {

std::vector<std::uint32_t> LaneBackend::devices_in(const ContextObject& context) const {
  std::array<cl_device_id, 1024> ids{};
  std::size_t bytes = 0;
  std::vector<std::uint32_t> numbers;
  if (driver()->clGetContextInfo(context.handle.get(), CL_CONTEXT_DEVICES, sizeof ids, static_cast<void*>(ids.data()),
                                 &bytes) == CL_SUCCESS) {
    for (cl_device_id id : std::span(ids).first(std::min(bytes / sizeof(cl_device_id), ids.size()))) {
      if (const auto number = number_of(id)) {
        numbers.push_back(*number);
      }
    }
  }
  return numbers;
}

void LaneBackend::add_contexts(marshal::Dispatcher& dispatcher) {
  const auto self = shared_from_this();
  dispatcher.on<CreateContext>([self](const CreateContext::Request& request, marshal::Call& call) -> Answer<Nothing> {
    const auto numbers = marshal::TrailingReader(call.trailing()).elements<std::uint32_t>(request.devices);
    const auto ids = numbers ? self->device_ids(*numbers) : std::nullopt;
    if (!ids || ids->empty()) {
      return refuse(CL_INVALID_DEVICE);
    }
    const Driver& cl = *self->driver();
    auto context = std::make_shared<ContextObject>();
    const std::uint32_t platform = self->device(numbers->front())->platform;
    for (const std::uint32_t number : *numbers) {
      const Driver::Device device = *self->device(number);  // is there, as device_ids has said
      if (device.platform != platform) {
        return refuse(CL_INVALID_DEVICE);
      }
      context->roots.push_back(device.root);
    }
    const std::array<cl_context_properties, 5> properties{
        CL_CONTEXT_PLATFORM, reinterpret_cast<cl_context_properties>(cl.platforms()[platform]),
        request.has_user_sync != 0 ? CL_CONTEXT_INTEROP_USER_SYNC : 0,
        static_cast<cl_context_properties>(request.user_sync), 0};
    cl_int code = CL_SUCCESS;
    context->handle = Owned(
        cl.clCreateContext(properties.data(), static_cast<cl_uint>(ids->size()), ids->data(), nullptr, nullptr, &code),
        cl.clReleaseContext);
    if (code != CL_SUCCESS) {
      return refuse(code);
    }
    static thread_local std::vector<std::uint32_t> held;  // until the reply is sent
    held = self->devices_in(*context);
    call.reply_trailing(std::as_bytes(std::span(held)));
    return self->contexts_.add(request.id, std::move(context)) ? Answer<Nothing>(Nothing{})
                                                               : refuse(CL_INVALID_CONTEXT);
  });

  dispatcher.on<CreateQueue>([self](const CreateQueue::Request& request, marshal::Call&) -> Answer<Nothing> {
    auto context = self->contexts_.find(request.context);
    if (context == nullptr) {
      return refuse(CL_INVALID_CONTEXT);
    }
    const auto device = self->device(request.device);
    if (!device || std::ranges::find(context->roots, device->root) == context->roots.end()) {
      return refuse(CL_INVALID_DEVICE);
    }
    const Driver& cl = *self->driver();
    cl_int code = CL_SUCCESS;
    auto queue = std::make_shared<QueueObject>();
    queue->handle = Owned(cl.clCreateCommandQueue(context->handle.get(), device->id, request.properties, &code),
                          cl.clReleaseCommandQueue);
    queue->local_memory = device->local_memory;
    queue->in_order = (request.properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) == 0;
    queue->context = std::move(context);
    return code != CL_SUCCESS                                ? answer(code)
           : self->queues_.add(request.id, std::move(queue)) ? Answer<Nothing>(Nothing{})
                                                             : refuse(CL_INVALID_COMMAND_QUEUE);
  });

  dispatcher.on<Release>([self](const Release::Request& request, marshal::Call&) -> Answer<Nothing> {
    switch (request.kind) {
      case ObjectKind::context:
        return answer(self->contexts_.take(request.id) ? CL_SUCCESS : CL_INVALID_CONTEXT);
      case ObjectKind::queue: {
        const auto queue = self->queues_.take(request.id);
        if (queue != nullptr) {
          // What was enqueued is to be carried out all the same.
          self->driver()->clFlush(queue->handle.get());
        }
        return answer(queue ? CL_SUCCESS : CL_INVALID_COMMAND_QUEUE);
      }
      case ObjectKind::memory:
        return answer(self->memory_.take(request.id) ? CL_SUCCESS : CL_INVALID_MEM_OBJECT);
      case ObjectKind::program:
        return answer(self->programs_.take(request.id) ? CL_SUCCESS : CL_INVALID_PROGRAM);
      case ObjectKind::kernel:
        return answer(self->kernels_.take(request.id) ? CL_SUCCESS : CL_INVALID_KERNEL);
      case ObjectKind::event:
        return answer(self->events_.take(request.id) ? CL_SUCCESS : CL_INVALID_EVENT);
      case ObjectKind::sampler:
        return answer(self->samplers_.take(request.id) ? CL_SUCCESS : CL_INVALID_SAMPLER);
    }
    return refuse(CL_INVALID_VALUE);
  });
}

}  // namespace isthmus::opencl
