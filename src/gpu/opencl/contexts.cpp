// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <utility>

#include "src/gpu/opencl/backend.hpp"

namespace isthmus::opencl {

void LaneBackend::add_contexts(marshal::Dispatcher& dispatcher) {
  const auto self = shared_from_this();
  dispatcher.on<CreateContext>([self](const CreateContext::Request& request, marshal::Call& call) -> Answer<Nothing> {
    const auto numbers = marshal::TrailingReader(call.trailing()).elements<std::uint32_t>(request.devices);
    const auto ids = numbers ? self->device_ids(*numbers) : std::nullopt;
    if (!ids || ids->empty()) {
      return refuse(CL_INVALID_DEVICE);
    }
    const Driver& cl = *self->driver();
    const std::uint32_t platform = cl.devices()[numbers->front()].platform;
    if (std::ranges::any_of(*numbers, [&](auto number) { return cl.devices()[number].platform != platform; })) {
      return refuse(CL_INVALID_DEVICE);
    }
    const std::array<cl_context_properties, 3> properties{
        CL_CONTEXT_PLATFORM, reinterpret_cast<cl_context_properties>(cl.platforms()[platform]), 0};
    cl_int code = CL_SUCCESS;
    auto context = std::make_shared<ContextObject>();
    context->handle = Owned(
        cl.clCreateContext(properties.data(), static_cast<cl_uint>(ids->size()), ids->data(), nullptr, nullptr, &code),
        cl.clReleaseContext);
    context->devices = *numbers;
    return code != CL_SUCCESS                                    ? answer(code)
           : self->contexts_.add(request.id, std::move(context)) ? Answer<Nothing>(Nothing{})
                                                                 : refuse(CL_INVALID_CONTEXT);
  });

  dispatcher.on<CreateQueue>([self](const CreateQueue::Request& request, marshal::Call&) -> Answer<Nothing> {
    auto context = self->contexts_.find(request.context);
    if (context == nullptr) {
      return refuse(CL_INVALID_CONTEXT);
    }
    if (std::ranges::find(context->devices, request.device) == context->devices.end()) {
      return refuse(CL_INVALID_DEVICE);
    }
    const Driver& cl = *self->driver();
    cl_int code = CL_SUCCESS;
    auto queue = std::make_shared<QueueObject>();
    queue->handle = Owned(
        cl.clCreateCommandQueue(context->handle.get(), cl.devices()[request.device].id, request.properties, &code),
        cl.clReleaseCommandQueue);
    queue->device = request.device;
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
