// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <tuple>
#include <utility>

#include "src/gpu/opencl/backend.hpp"
#include "src/gpu/opencl/upcall.hpp"

namespace isthmus::opencl {
namespace {

// A call that waits for several events, answered by the last.
struct Waiter {
  explicit Waiter(PendingCall call, std::size_t events) : pending(std::move(call)), left(events) {}

  void arrived(cl_int status, std::size_t count = 1) {
    if (status < 0) {
      failed.store(true, std::memory_order_relaxed);
    }
    if (left.fetch_sub(count, std::memory_order_acq_rel) == count) {
      std::ignore = pending.reply(failed.load(std::memory_order_relaxed) ? CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST
                                                                         : CL_SUCCESS);
    }
  }

  PendingCall pending;
  std::atomic<std::size_t> left;
  std::atomic<bool> failed{false};
};

}  // namespace

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
  const auto waiter = std::make_shared<Waiter>(call.defer(), events.size());
  for (const auto& event : events) {
    flush_queue_of(event->handle.get());
  }
  for (const auto& event : events) {
    if (when(event->handle.get(), CL_COMPLETE, [waiter, event](cl_int status) { waiter->arrived(status); }) !=
        CL_SUCCESS) {
      waiter->arrived(CL_OUT_OF_RESOURCES);
    }
  }
  return Nothing{};
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
    const Driver& cl = *self->driver();
    cl_event last = nullptr;
    if (const cl_int code = cl.clEnqueueMarkerWithWaitList(queue->handle.get(), 0, nullptr, &last);
        code != CL_SUCCESS) {
      return refuse(code);
    }
    auto marker = std::make_shared<Owned<cl_event>>(last, cl.clReleaseEvent);
    auto pending = std::make_shared<PendingCall>(call.defer());
    const cl_int code = self->when(last, CL_COMPLETE, [pending, marker, queue](cl_int) {
      std::ignore = pending->reply(CL_SUCCESS);  // whether commands failed, their events say
    });
    cl.clFlush(queue->handle.get());
    if (code != CL_SUCCESS) {
      std::ignore = pending->reply(code);
    }
    return Nothing{};
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
