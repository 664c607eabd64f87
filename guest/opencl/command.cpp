// SPDX-License-Identifier: Apache-2.0
#include "guest/opencl/command.hpp"

#include <tuple>
#include <utility>

namespace isthmus::opencl {
namespace {

constexpr cl_uint most_waits = 2048;  // what fits into a message beside the rest

}  // namespace

Expected<Enqueue> Enqueue::begin(const Arguments& arguments, bool wants_event) {
  Enqueue enqueue;
  enqueue.queue_ = find<Queue>(arguments.queue);
  enqueue.connection_ = Connection::get();
  if (enqueue.queue_ == nullptr || enqueue.connection_ == nullptr) {
    return std::unexpected(CL_INVALID_COMMAND_QUEUE);
  }
  if ((arguments.events == nullptr) != (arguments.waits == 0)) {
    return std::unexpected(CL_INVALID_EVENT_WAIT_LIST);
  }
  if (arguments.waits > most_waits) {
    return std::unexpected(CL_OUT_OF_RESOURCES);
  }
  for (cl_uint i = 0; i < arguments.waits; ++i) {
    const auto event = find<Event>(arguments.events[i]);
    if (event == nullptr) {
      return std::unexpected(CL_INVALID_EVENT_WAIT_LIST);
    }
    if (event->context != enqueue.queue_->context) {
      return std::unexpected(CL_INVALID_CONTEXT);
    }
    enqueue.add(std::as_bytes(std::span(&event->id, 1)));
  }
  enqueue.command_.queue = enqueue.queue_->id;
  enqueue.command_.waits = arguments.waits;
  enqueue.wanted_ = arguments.event;
  if (arguments.event != nullptr || wants_event) {
    enqueue.event_ = std::make_shared<Event>();
    enqueue.event_->id = enqueue.connection_->new_id();
    enqueue.event_->context = enqueue.queue_->context;
    enqueue.event_->queue = enqueue.queue_;
    enqueue.event_->type = arguments.type;
    enqueue.command_.event = enqueue.event_->id;
  }
  return enqueue;
}

Expected<OnMemory> Enqueue::begin_on(cl_mem handle, const Arguments& arguments, Wanted wanted, bool wants_event) {
  auto enqueue = begin(arguments, wants_event);
  if (!enqueue) {
    return std::unexpected(enqueue.error());
  }
  auto memory = enqueue->memory(handle, wanted);
  if (!memory) {
    return std::unexpected(memory.error());
  }
  return OnMemory{.enqueue = std::move(*enqueue), .memory = std::move(*memory)};
}

Expected<std::shared_ptr<Memory>> Enqueue::memory(cl_mem handle, Wanted wanted) const {
  auto memory = find<Memory>(handle);
  if (memory == nullptr || (wanted != Wanted::any && memory->image.has_value() != (wanted == Wanted::image))) {
    return std::unexpected(CL_INVALID_MEM_OBJECT);
  }
  if (memory->context != queue_->context) {
    return std::unexpected(CL_INVALID_CONTEXT);
  }
  return memory;
}

cl_int Enqueue::hand_out() {
  if (wanted_ == nullptr) {
    return CL_SUCCESS;
  }
  if (!publish(event_)) {
    return CL_OUT_OF_HOST_MEMORY;
  }
  *wanted_ = handle_of(event_);
  return CL_SUCCESS;
}

cl_int Enqueue::host_access(const std::shared_ptr<Memory>& memory, std::uint64_t offset, std::uint64_t size,
                            bool writes, bool blocking, std::function<void()> copy) {
  return take_turn(
      {.command = command_, .memory = memory->id, .offset = offset, .size = size, .writes = writes ? 1U : 0U}, blocking,
      std::move(copy), TurnBy::copy);
}

cl_int Enqueue::own_turn(bool blocking, std::function<void()> work, TurnBy by) {
  return take_turn({.command = command_}, blocking, std::move(work), by);
}

cl_int Enqueue::take_turn(HostAccess::Request request, bool blocking, std::function<void()> work, TurnBy by) {
  request.turn = connection_->new_id();
  if (copy_at_once(blocking, work)) {
    return CL_SUCCESS;
  }
  const std::uint64_t number = sent();
  if (blocking) {
    const auto turn = connection_->call<HostAccess>(request, trailing_);
    if (!turn) {
      return turn.error();
    }
    work();
    if ((queue_->properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) == 0) {
      queue_->complete(number);  // its turn came when everything before was complete
    }
    const cl_int code = connection_->post<HostDone>({.turn = request.turn, .status = CL_COMPLETE});
    return code == CL_SUCCESS ? hand_out() : code;
  }
  connection_->expect_turn(request.turn, std::move(work), by);
  const cl_int code = connection_->post_always<HostAccess>(request, trailing_);
  if (code != CL_SUCCESS) {
    connection_->forget_turn(request.turn);
    return code;
  }
  return hand_out();
}

}  // namespace isthmus::opencl
