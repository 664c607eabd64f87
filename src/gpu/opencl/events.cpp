// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "src/gpu/opencl/backend.hpp"
#include "src/gpu/opencl/upcall.hpp"

namespace isthmus::opencl {

Answer<Nothing> LaneBackend::wait_for_events(marshal::Call& call) {
  const auto names = marshal::TrailingReader(call.trailing()).elements<Id>(call.trailing().size() / sizeof(Id));
  if (!names) {
    return refuse(CL_INVALID_VALUE);
  }
  std::vector<std::shared_ptr<EventObject>> events;
  for (const Id name : *names) {
    events.push_back(events_.find(name));
    if (events.back() == nullptr) {
      return refuse(CL_INVALID_EVENT);
    }
  }
  if (events.empty() || !call.wants_reply()) {
    return refuse(CL_INVALID_VALUE);
  }
  std::vector<cl_event> handles;
  for (const auto& event : events) {
    handles.push_back(event->handle.get());
  }
  return answer(wait(handles));
}

// The client's thread waits for the answer, and this one is its own: nothing else is kept waiting, and nobody has to be
// woken in between. A worker whose client dies meanwhile is killed.
cl_int LaneBackend::wait(std::span<const cl_event> events) const {
  const Driver& cl = *driver();
  cl_int code = cl.clWaitForEvents(static_cast<cl_uint>(events.size()), events.data());
  for (cl_event event : events) {  // not every driver tells by its result that one has failed
    cl_int status = CL_COMPLETE;
    if (code == CL_SUCCESS &&
        cl.clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, nullptr) == CL_SUCCESS &&
        status < CL_COMPLETE) {
      code = CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST;
    }
  }
  return code;
}

void LaneBackend::add_events(marshal::Dispatcher& dispatcher) {
  const auto self = shared_from_this();
  dispatcher.on<CreateUserEvent>([self](const CreateUserEvent::Request& request, marshal::Call&) -> Answer<Nothing> {
    const auto context = self->contexts_.find(request.context);
    if (context == nullptr) {
      return refuse(CL_INVALID_CONTEXT);
    }
    const Driver& cl = *self->driver();
    cl_int code = CL_SUCCESS;
    auto event = std::make_shared<EventObject>();
    event->handle = Owned(cl.clCreateUserEvent(context->handle.get(), &code), cl.clReleaseEvent);
    event->user = true;
    return code != CL_SUCCESS                                ? answer(code)
           : self->events_.add(request.id, std::move(event)) ? Answer<Nothing>(Nothing{})
                                                             : refuse(CL_INVALID_EVENT);
  });
  dispatcher.on<SetUserEvent>([self](const SetUserEvent::Request& request, marshal::Call&) -> Answer<Nothing> {
    const auto event = self->events_.find(request.id);
    if (event == nullptr || !event->user) {
      return refuse(CL_INVALID_EVENT);
    }
    return request.status > 0 ? refuse(CL_INVALID_VALUE)
                              : answer(self->driver()->clSetUserEventStatus(event->handle.get(), request.status));
  });
  dispatcher.on<Flush>([self](const Flush::Request& request, marshal::Call&) -> Answer<Nothing> {
    const auto queue = self->queues_.find(request.queue);
    return queue == nullptr ? refuse(CL_INVALID_COMMAND_QUEUE) : answer(self->driver()->clFlush(queue->handle.get()));
  });
  dispatcher.on<Finish>([self](const Finish::Request& request, marshal::Call& call) -> Answer<Nothing> {
    const auto queue = self->queues_.find(request.queue);
    if (queue == nullptr || !call.wants_reply()) {
      return refuse(CL_INVALID_COMMAND_QUEUE);
    }
    return answer(self->driver()->clFinish(queue->handle.get()));  // whether commands failed, their events say
  });
  dispatcher.on<WaitForEvents>(
      [self](const WaitForEvents::Request&, marshal::Call& call) { return self->wait_for_events(call); });
  dispatcher.on<WatchEvent>([self](const WatchEvent::Request& request, marshal::Call& call) -> Answer<Nothing> {
    const auto event = self->events_.find(request.event);
    if (event == nullptr) {
      return refuse(CL_INVALID_EVENT);
    }
    if (request.state < CL_COMPLETE || request.state > CL_SUBMITTED) {
      return refuse(CL_INVALID_VALUE);
    }
    return answer(self->when(event->handle.get(), request.state,
                             [upcalls = call.upcalls(), event, token = request.token](cl_int status) {
                               tell<EventReached>(upcalls, {.token = token, .status = status});
                             }));
  });
}

}  // namespace isthmus::opencl
