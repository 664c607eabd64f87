// SPDX-License-Identifier: Apache-2.0
#include <tuple>
#include <utility>

#include "src/gpu/opencl/backend.hpp"
#include "src/gpu/opencl/upcall.hpp"

// A command that the client carries out. The driver sees a map, a wait for a user event, and an unmap:
//
//     ... commands before | map -> "your turn" ----> the client copies ----> HostDone -> user event | unmap | ... after
//
// So the order of the queue holds on every device, whether it maps in place or copies, and nothing is copied here.

// Without a memory object there are markers in the place of map and unmap.

namespace isthmus::opencl {

cl_int LaneBackend::begin_turn(const Place& place, cl_event* begun) const {
  const Driver& cl = *driver();
  if (place.queue.in_order || place.waits != 0) {
    return cl.clEnqueueMarkerWithWaitList(place.queue.handle.get(), place.waits, place.events, begun);
  }
  // A marker that waits for nothing would wait for all that was enqueued before; this command waits for nothing.
  cl_int code = CL_SUCCESS;
  Owned complete(cl.clCreateUserEvent(place.queue.context->handle.get(), &code), cl.clReleaseEvent);
  code = code == CL_SUCCESS ? cl.clSetUserEventStatus(complete.get(), CL_COMPLETE) : code;
  if (code == CL_SUCCESS) {
    *begun = complete.release();
  }
  return code;
}

Answer<Nothing> LaneBackend::host_access(const HostAccess::Request& request, marshal::Call& call) {
  marshal::TrailingReader trailing(call.trailing());
  const auto turn = std::make_shared<EventObject>();
  auto began = std::make_shared<EventObject>();
  bool began_by_command = false;  // otherwise it has no times
  const auto done = enqueue(request.command, trailing, [&](const Place& place) -> cl_int {
    std::shared_ptr<MemoryObject> memory;
    if (request.memory != 0) {
      const auto found = any_range(request.memory, request.offset, request.size);
      if (!found) {
        return found.error();
      }
      memory = *found;
    }
    const Driver& cl = *driver();
    cl_int code = CL_SUCCESS;
    turn->handle = Owned(cl.clCreateUserEvent(place.queue.context->handle.get(), &code), cl.clReleaseEvent);
    turn->user = true;
    if (code != CL_SUCCESS || !turns_.add(request.turn, turn)) {
      return code != CL_SUCCESS ? code : CL_INVALID_VALUE;
    }
    cl_command_queue queue = place.queue.handle.get();
    cl_event mapped = nullptr;
    std::byte* at = nullptr;
    if (memory != nullptr) {
      at = map(place, *memory, request.writes != 0 ? CL_MAP_WRITE : CL_MAP_READ, request.offset, request.size, &mapped,
               code);
    } else {
      code = begin_turn(place, &mapped);
    }
    if (code != CL_SUCCESS) {
      turns_.take(request.turn);
      return code;
    }
    began->handle = Owned(mapped, cl.clReleaseEvent);
    began_by_command = memory != nullptr || place.queue.in_order || place.waits != 0;
    cl_event waited_for = turn->handle.get();
    code = memory == nullptr
               ? cl.clEnqueueMarkerWithWaitList(queue, 1, &waited_for, place.made)
               : cl.clEnqueueUnmapMemObject(queue, memory->handle.get(), memory->image ? at - request.offset : at, 1,
                                            &waited_for, place.made);
    cl.clFlush(queue);
    return code;
  });
  const auto upcalls = call.upcalls();
  if (!done) {
    if (!call.wants_reply()) {
      soon_.push([upcalls, id = request.turn, status = done.error()] {
        tell<HostTurn>(upcalls, {.turn = id, .status = status});
      });
    }
    return done;
  }
  if (const auto event = events_.find(request.command.event); event != nullptr && began_by_command) {
    driver()->clRetainEvent(began->handle.get());
    event->began = Owned(began->handle.get(), driver()->clReleaseEvent);
  }
  const auto fail_turn = [cl = driver()](const EventObject& failed, cl_int status) {
    std::ignore = cl->clSetUserEventStatus(failed.handle.get(), status);
  };
  if (call.wants_reply()) {
    cl_event mapped = began->handle.get();
    const cl_int code = wait(std::span(&mapped, 1));
    if (code != CL_SUCCESS) {
      turns_.take(request.turn);
      fail_turn(*turn, code);
    }
    return answer(code);
  }
  const cl_int code =
      when(began->handle.get(), CL_COMPLETE, [this, began, turn, upcalls, fail_turn, id = request.turn](cl_int status) {
        if (status < 0) {
          turns_.take(id);
          fail_turn(*turn, status);
        }
        tell<HostTurn>(upcalls, {.turn = id, .status = status});
      });
  if (code != CL_SUCCESS) {
    turns_.take(request.turn);
    fail_turn(*turn, code);
    soon_.push([upcalls, id = request.turn, code] { tell<HostTurn>(upcalls, {.turn = id, .status = code}); });
  }
  return Nothing{};
}

void LaneBackend::add_host_access(marshal::Dispatcher& dispatcher) {
  const auto self = shared_from_this();
  dispatcher.on<HostAccess>(
      [self](const HostAccess::Request& request, marshal::Call& call) { return self->host_access(request, call); });
  dispatcher.on<HostDone>([self](const HostDone::Request& request, marshal::Call&) -> Answer<Nothing> {
    const auto turn = self->turns_.take(request.turn);
    if (turn == nullptr || request.status > 0) {
      return refuse(CL_INVALID_EVENT);
    }
    return answer(self->driver()->clSetUserEventStatus(turn->handle.get(), request.status));
  });
}

}  // namespace isthmus::opencl
