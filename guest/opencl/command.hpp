// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "guest/opencl/types.hpp"

namespace isthmus::opencl {

struct OnMemory;

/// An origin or a region, as the API passes it.
[[nodiscard]] inline std::array<std::uint64_t, 3> three(const std::size_t* numbers) {
  return {numbers[0], numbers[1], numbers[2]};
}

/// Which memory objects a command takes.
enum class Wanted : std::uint8_t { any, buffer, image };

/// An enqueue under way: what all of them check, and their event.
class Enqueue {
 public:
  /// What an application passes to every enqueue. `events` may be garbage.
  struct Arguments {
    cl_command_queue queue = nullptr;
    cl_uint waits = 0;
    const cl_event* events = nullptr;
    cl_event* event = nullptr;
    cl_command_type type = 0;
  };

  /// Checks queue and events. Errors: CL_INVALID_COMMAND_QUEUE, CL_INVALID_EVENT_WAIT_LIST, CL_INVALID_CONTEXT.
  /// \param wants_event an event is made, even if the application asked for none
  [[nodiscard]] static Expected<Enqueue> begin(const Arguments& arguments, bool wants_event = false);
  /// The same for a command that uses one buffer or image. Errors: also those of memory().
  [[nodiscard]] static Expected<OnMemory> begin_on(cl_mem handle, const Arguments& arguments,
                                                   Wanted wanted = Wanted::buffer, bool wants_event = false);

  [[nodiscard]] const std::shared_ptr<Queue>& queue() const noexcept { return queue_; }
  [[nodiscard]] const std::shared_ptr<Event>& event() const noexcept { return event_; }
  [[nodiscard]] const Command& command() const noexcept { return command_; }
  [[nodiscard]] Connection& connection() const noexcept { return *connection_; }
  /// Trailing bytes of the message: the events, and what is added.
  [[nodiscard]] std::vector<std::byte>& trailing() noexcept { return trailing_; }
  void add(std::span<const std::byte> bytes) { trailing_.insert(trailing_.end(), bytes.begin(), bytes.end()); }

  /// The memory object that a command uses. Errors: CL_INVALID_MEM_OBJECT, CL_INVALID_CONTEXT.
  [[nodiscard]] Expected<std::shared_ptr<Memory>> memory(cl_mem handle, Wanted wanted = Wanted::buffer) const;

  /// Posts the message and hands out the event.
  template <marshal::MessageKind M>
  [[nodiscard]] cl_int post(const typename M::Request& request) {
    sent();
    const cl_int code = connection_->post<M>(request, trailing_);
    return code == CL_SUCCESS ? hand_out() : code;
  }

  /// Whether a copy that the application waits for can be made at once, and is: nothing that was sent to the queue is
  /// unfinished, nobody wants to know of the command, and the device uses the slab in place.
  template <class F>
  [[nodiscard]] bool copy_at_once(bool blocking, const F& copy) {
    return blocking && wanted_ == nullptr && command_.waits == 0 && (queue_->device->type & CL_DEVICE_TYPE_CPU) != 0 &&
           queue_->run_if_idle(copy);
  }

  /// A copy that this process makes at the queue's turn (HostAccess): before it returns, or, in a thread of the
  /// library's, before the event is complete. The memory lives as long as `copy`.
  [[nodiscard]] cl_int host_access(const std::shared_ptr<Memory>& memory, std::uint64_t offset, std::uint64_t size,
                                   bool writes, bool blocking, std::function<void()> copy);
  /// The same of what lies in no memory object: shared virtual memory, or the application's own.
  [[nodiscard]] cl_int own_turn(bool blocking, std::function<void()> work, TurnBy by = TurnBy::copy);

  /// The message is about to be sent. Returns the command's number in its queue.
  std::uint64_t sent() {
    if (event_ != nullptr) {
      event_->sent = true;
    }
    return queue_->count();
  }
  [[nodiscard]] cl_int hand_out();

 private:
  [[nodiscard]] cl_int take_turn(HostAccess::Request request, bool blocking, std::function<void()> work, TurnBy by);

  Connection* connection_ = nullptr;
  std::shared_ptr<Queue> queue_;
  std::shared_ptr<Event> event_;
  cl_event* wanted_ = nullptr;
  Command command_;
  std::vector<std::byte> trailing_;
};

struct OnMemory {
  Enqueue enqueue;
  std::shared_ptr<Memory> memory;
};

}  // namespace isthmus::opencl
