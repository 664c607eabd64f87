// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <tuple>
#include <utility>

#include "guest/opencl/command.hpp"
#include "guest/opencl/entry.hpp"
#include "guest/opencl/info.hpp"
#include "guest/opencl/types.hpp"

namespace isthmus::opencl {
namespace {

constexpr cl_uint most_awaited = 2048;

cl_int status_of(Event& event, cl_int& status) {
  status = event.final_status.load(std::memory_order_relaxed);
  Connection* connection = Connection::get();
  if (status != Event::not_known || connection == nullptr) {
    return CL_SUCCESS;
  }
  if (event.queue == nullptr) {
    status = CL_SUBMITTED;
    return CL_SUCCESS;
  }
  const auto answer = connection->query(Subject::event, CL_EVENT_COMMAND_EXECUTION_STATUS, event.id);
  if (!answer || answer->size() != sizeof status) {
    return answer ? CL_OUT_OF_RESOURCES : answer.error();
  }
  std::memcpy(&status, answer->data(), sizeof status);
  if (status <= CL_COMPLETE) {
    event.final_status.store(status, std::memory_order_relaxed);
  }
  return CL_SUCCESS;
}

cl_int mark(const Enqueue::Arguments& arguments, bool barrier) {
  auto enqueue = Enqueue::begin(arguments);
  return enqueue ? enqueue->post<EnqueueMarker>({.command = enqueue->command(), .barrier = barrier ? 1U : 0U})
                 : enqueue.error();
}

}  // namespace

Event::~Event() {
  if (Connection* connection = Connection::get(); connection != nullptr && sent) {
    std::ignore = connection->post<Release>({.kind = ObjectKind::event, .id = id});
  }
}

namespace entry {

cl_int CL_API_CALL wait_for_events(cl_uint count, const cl_event* handles) {
  if (count == 0 || handles == nullptr) {
    return CL_INVALID_VALUE;
  }
  if (count > most_awaited) {
    return CL_OUT_OF_RESOURCES;
  }
  std::vector<std::shared_ptr<Event>> events;
  std::vector<Id> open;
  bool failed = false;
  for (cl_uint i = 0; i < count; ++i) {
    auto event = find<Event>(handles[i]);
    if (event == nullptr) {
      return CL_INVALID_EVENT;
    }
    if (!events.empty() && event->context != events.front()->context) {
      return CL_INVALID_CONTEXT;
    }
    const cl_int known = event->final_status.load(std::memory_order_relaxed);
    failed = failed || known < CL_COMPLETE;
    // What is complete need not be asked for, except a user event: what follows from it is the host's to do.
    if (known == Event::not_known) {
      open.push_back(event->id);
    }
    events.push_back(std::move(event));
  }
  Connection* connection = Connection::get();
  if (connection == nullptr) {
    return CL_OUT_OF_RESOURCES;
  }
  if (!open.empty()) {
    const auto waited = connection->call<WaitForEvents>({}, std::as_bytes(std::span(open)));
    if (!waited) {
      return waited.error();
    }
    for (const auto& event : events) {
      cl_int unknown = Event::not_known;
      event->final_status.compare_exchange_strong(unknown, CL_COMPLETE, std::memory_order_relaxed);
    }
  }
  return failed ? CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST : CL_SUCCESS;
}

cl_int CL_API_CALL get_event_info(cl_event handle, cl_event_info parameter, std::size_t size, void* value,
                                  std::size_t* size_ret) {
  const auto event = find<Event>(handle);
  if (event == nullptr) {
    return CL_INVALID_EVENT;
  }
  const InfoTarget target(size, value, size_ret);
  switch (parameter) {
    case CL_EVENT_COMMAND_QUEUE:
      return target.value(handle_of(event->queue));
    case CL_EVENT_CONTEXT:
      return target.value(handle_of(event->context));
    case CL_EVENT_COMMAND_TYPE:
      return target.value(event->type);
    case CL_EVENT_REFERENCE_COUNT:
      return target.value(event->references());
    case CL_EVENT_COMMAND_EXECUTION_STATUS: {
      cl_int status = 0;
      const cl_int code = status_of(*event, status);
      return code == CL_SUCCESS ? target.value(status) : code;
    }
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL retain_event(cl_event handle) {
  return Object::retain(handle, Event::kind) ? CL_SUCCESS : CL_INVALID_EVENT;
}

cl_int CL_API_CALL release_event(cl_event handle) {
  return Object::release(handle, Event::kind) ? CL_SUCCESS : CL_INVALID_EVENT;
}

cl_int CL_API_CALL get_event_profiling_info(cl_event handle, cl_profiling_info parameter, std::size_t size, void* value,
                                            std::size_t* size_ret) {
  const auto event = find<Event>(handle);
  Connection* connection = Connection::get();
  if (event == nullptr || connection == nullptr) {
    return CL_INVALID_EVENT;
  }
  if (event->queue == nullptr || (event->queue->properties & CL_QUEUE_PROFILING_ENABLE) == 0) {
    return CL_PROFILING_INFO_NOT_AVAILABLE;
  }
  const auto answer = connection->query(Subject::profile, parameter, event->id);
  return answer ? InfoTarget(size, value, size_ret).list(*answer) : answer.error();
}

cl_event CL_API_CALL create_user_event(cl_context handle, cl_int* errcode_ret) {
  const auto context = find<Context>(handle);
  Connection* connection = Connection::get();
  if (context == nullptr || connection == nullptr) {
    return refuse(CL_INVALID_CONTEXT, errcode_ret);
  }
  auto event = std::make_shared<Event>();
  event->id = connection->new_id();
  event->context = context;
  event->type = CL_COMMAND_USER;
  const auto made = connection->call<CreateUserEvent>({.id = event->id, .context = context->id});
  if (!made) {
    return refuse(made.error(), errcode_ret);
  }
  event->sent = true;
  if (!publish(event)) {
    return refuse(CL_OUT_OF_HOST_MEMORY, errcode_ret);
  }
  return give(CL_SUCCESS, handle_of(event), errcode_ret);
}

cl_int CL_API_CALL set_user_event_status(cl_event handle, cl_int status) {
  const auto event = find<Event>(handle);
  Connection* connection = Connection::get();
  if (event == nullptr || connection == nullptr || event->queue != nullptr) {
    return CL_INVALID_EVENT;
  }
  if (status > CL_COMPLETE) {
    return CL_INVALID_VALUE;
  }
  cl_int unknown = Event::not_known;
  if (!event->final_status.compare_exchange_strong(unknown, status)) {
    return CL_INVALID_OPERATION;
  }
  return connection->post<SetUserEvent>({.id = event->id, .status = status});
}

cl_int CL_API_CALL set_event_callback(cl_event handle, cl_int state, void(CL_CALLBACK* notify)(cl_event, cl_int, void*),
                                      void* user_data) {
  const auto event = find<Event>(handle);
  Connection* connection = Connection::get();
  if (event == nullptr || connection == nullptr) {
    return CL_INVALID_EVENT;
  }
  if (notify == nullptr || (state != CL_SUBMITTED && state != CL_RUNNING && state != CL_COMPLETE)) {
    return CL_INVALID_VALUE;
  }
  // The event lives until its callback has run, whatever the application releases.
  const std::uint64_t token = connection->expect_event(
      [event, handle, notify, user_data](cl_int status) { notify(handle, status, user_data); });
  const cl_int code = connection->post<WatchEvent>({.event = event->id, .token = token, .state = state});
  if (code != CL_SUCCESS) {
    connection->forget_event(token);
  }
  return code;
}

cl_int CL_API_CALL enqueue_marker(cl_command_queue queue, cl_event* event) {
  return event == nullptr ? CL_INVALID_VALUE : mark({.queue = queue, .event = event, .type = CL_COMMAND_MARKER}, false);
}

cl_int CL_API_CALL enqueue_barrier(cl_command_queue queue) {
  return mark({.queue = queue, .type = CL_COMMAND_BARRIER}, true);
}

cl_int CL_API_CALL enqueue_wait_for_events(cl_command_queue queue, cl_uint count, const cl_event* events) {
  if (count == 0 || events == nullptr) {
    return CL_INVALID_VALUE;
  }
  const cl_int code = mark({.queue = queue, .waits = count, .events = events, .type = CL_COMMAND_BARRIER}, true);
  return code == CL_INVALID_EVENT_WAIT_LIST ? CL_INVALID_EVENT : code;
}

cl_int CL_API_CALL enqueue_marker_with_wait_list(cl_command_queue queue, cl_uint waits, const cl_event* events,
                                                 cl_event* event) {
  return mark({.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_MARKER}, false);
}

cl_int CL_API_CALL enqueue_barrier_with_wait_list(cl_command_queue queue, cl_uint waits, const cl_event* events,
                                                  cl_event* event) {
  return mark({.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_BARRIER}, true);
}

}  // namespace entry
}  // namespace isthmus::opencl
