// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/opencl/backend.hpp"

#include <tuple>
#include <utility>

#include "src/gpu/opencl/bounds.hpp"
#include "src/gpu/opencl/opencl_service.hpp"

namespace isthmus::opencl {
namespace {

struct Watch {
  std::shared_ptr<TaskQueue> queue;
  Owned<cl_event> event;
  decltype(&::clGetEventInfo) get_info;
  std::move_only_function<void(cl_int)> function;
};

// Some drivers tell a callback "complete" where the event has failed: the event itself knows.
void run_watch(Watch& watch, cl_int said) {
  cl_int status = said;
  if (said >= CL_COMPLETE && (watch.get_info(watch.event.get(), CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status,
                                             &status, nullptr) != CL_SUCCESS ||
                              status > CL_COMPLETE)) {
    status = said;
  }
  watch.function(status < CL_COMPLETE ? status : said);
}

extern "C" void CL_CALLBACK on_event(cl_event, cl_int status, void* data) {
  std::unique_ptr<Watch> watch(static_cast<Watch*>(data));
  const std::shared_ptr<TaskQueue> queue = watch->queue;
  queue->push([watch = std::move(watch), status] { run_watch(*watch, status); });
}

}  // namespace

LaneBackend::~LaneBackend() {
  const Driver* cl = driver();
  if (cl == nullptr) {
    return;
  }
  constexpr cl_int gone = CL_OUT_OF_RESOURCES;
  const auto give_up = [cl](const EventObject& event) {
    if (event.user) {
      std::ignore = cl->clSetUserEventStatus(event.handle.get(), gone);  // fails where it was set before
    }
  };
  turns_.each(give_up);
  events_.each(give_up);
  for (const Driver::Device& part : parts_) {
    cl->clReleaseDevice(part.id);
  }
}

Answer<Nothing> LaneBackend::enqueue(const Command& command, marshal::TrailingReader& trailing,
                                     const Enqueue& function) {
  cl_event made = nullptr;
  const cl_int code = try_to_enqueue(command, trailing, function, command.event != 0 ? &made : nullptr);
  if (code != CL_SUCCESS) {
    keep_failed(command, code);
    return refuse(code);
  }
  if (command.event != 0) {
    auto event = std::make_shared<EventObject>();
    event->handle = Owned(made, driver()->clReleaseEvent);
    if (!events_.add(command.event, std::move(event))) {
      return refuse(CL_INVALID_EVENT);
    }
  }
  return Nothing{};
}

cl_int LaneBackend::try_to_enqueue(const Command& command, marshal::TrailingReader& trailing, const Enqueue& function,
                                   cl_event* made) {
  const auto queue = queues_.find(command.queue);
  if (queue == nullptr) {
    return CL_INVALID_COMMAND_QUEUE;
  }
  const auto names = trailing.elements<Id>(command.waits);
  if (!names) {
    return CL_INVALID_EVENT_WAIT_LIST;
  }
  std::vector<std::shared_ptr<EventObject>> objects;
  std::vector<cl_event> events;
  for (const Id name : *names) {
    auto event = events_.find(name);
    if (event == nullptr) {
      return CL_INVALID_EVENT_WAIT_LIST;
    }
    events.push_back(event->handle.get());
    objects.push_back(std::move(event));
  }
  return function({.queue = *queue,
                   .waits = static_cast<cl_uint>(events.size()),
                   .events = events.empty() ? nullptr : events.data(),
                   .made = made});
}

void LaneBackend::keep_failed(const Command& command, cl_int code) {
  // The call has returned in the client long ago: only the event can tell.
  const auto queue = command.event == 0 ? nullptr : queues_.find(command.queue);
  if (queue == nullptr) {
    return;
  }
  const Driver& cl = *driver();
  cl_int made = CL_SUCCESS;
  auto event = std::make_shared<EventObject>();
  event->handle = Owned(cl.clCreateUserEvent(queue->context->handle.get(), &made), cl.clReleaseEvent);
  if (made == CL_SUCCESS) {
    std::ignore = cl.clSetUserEventStatus(event->handle.get(), code < 0 ? code : CL_OUT_OF_RESOURCES);
    std::ignore = events_.add(command.event, std::move(event));
  }
}

cl_int LaneBackend::when(cl_event event, cl_int state, std::move_only_function<void(cl_int)> function) {
  const Driver& cl = *driver();
  cl.clRetainEvent(event);
  auto watch = std::make_unique<Watch>(Watch{.queue = soon_.queue(),
                                             .event = Owned(event, cl.clReleaseEvent),
                                             .get_info = cl.clGetEventInfo,
                                             .function = std::move(function)});
  const cl_int code = cl.clSetEventCallback(event, state, on_event, watch.get());
  if (code == CL_SUCCESS) {
    std::ignore = watch.release();  // on_event has it
  }
  return code;
}

Answer<std::shared_ptr<MemoryObject>> LaneBackend::any_range(Id memory, std::uint64_t offset,
                                                             std::uint64_t size) const {
  auto found = memory_.find(memory);
  if (found == nullptr) {
    return refuse(CL_INVALID_MEM_OBJECT);
  }
  if (size == 0 || !lies_within(offset, size, found->size)) {
    return refuse(CL_INVALID_VALUE);
  }
  return found;
}

Answer<std::shared_ptr<MemoryObject>> LaneBackend::range(Id memory, std::uint64_t offset, std::uint64_t size) const {
  auto found = any_range(memory, offset, size);
  return found && (*found)->image ? refuse(CL_INVALID_MEM_OBJECT) : found;
}

void add_opencl_service(marshal::Dispatcher& dispatcher, std::span<const std::byte> window) {
  const auto backend = std::make_shared<LaneBackend>(window);
  backend->add_discovery(dispatcher);
  backend->add_devices(dispatcher);
  backend->add_contexts(dispatcher);
  backend->add_memory(dispatcher);
  backend->add_images(dispatcher);
  backend->add_programs(dispatcher);
  backend->add_linking(dispatcher);
  backend->add_kernels(dispatcher);
  backend->add_commands(dispatcher);
  backend->add_events(dispatcher);
  backend->add_host_access(dispatcher);
}

}  // namespace isthmus::opencl
