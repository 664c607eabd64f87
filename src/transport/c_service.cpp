// SPDX-License-Identifier: Apache-2.0
#include "src/transport/c_service.hpp"

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "isthmus/frame_hold.hpp"
#include "isthmus/pending_call.hpp"
#include "isthmus/upcalls.hpp"
#include "src/transport/c_error.hpp"
#include "src/transport/c_handles.hpp"
#include "src/transport/c_message.hpp"
#include "src/transport/c_struct.hpp"
#include "src/transport/text.hpp"

// The service's side of the C interface: requests, and what may be kept of them.

namespace isthmus::c {
namespace {

/// The request that a thread is handling.
struct Handled {
  Request* request;
  std::uintptr_t handle;
  ProcessMark process;
  bool settled = false;  // answered or deferred
};
thread_local constinit Handled* handled = nullptr;

// No two requests of a process have the same number: a thread takes 2^36 of them at a time. No table, because a request
// is never looked up by another thread than its own.
std::uintptr_t new_request() noexcept {
  static constinit std::atomic<std::uint64_t> blocks{0};
  static constinit thread_local std::uint64_t next = 0;
  constexpr unsigned block_bits = 36;
  if (next % (std::uint64_t{1} << block_bits) == 0) {
    next = (blocks.fetch_add(1, std::memory_order_relaxed) << block_bits) + 1;
  }
  return next++ << handle_kind_bits | static_cast<std::uintptr_t>(CHandleKind::request);
}

/// What is kept of a request, and the process that may use it.
template <class T>
struct Kept {
  T value;
  ProcessMark process;
};

constinit CHandles<Kept<PendingCall>, CHandleKind::pending_call> pending_calls;
constinit CHandles<Kept<FrameHold>, CHandleKind::frame_hold> frame_holds;
constinit CHandles<Kept<std::shared_ptr<Upcalls>>, CHandleKind::upcalls> all_upcalls;

constexpr std::string_view bad_request =
    "request: NULL, no request at all, handled by another thread, or its handler has returned";

template <class Body>
isthmus_result with_request(isthmus_request* handle, const Body& body) noexcept {
  return guarded([&]() -> isthmus_result {
    if (handled == nullptr || handled->handle != number(handle)) {
      return invalid(bad_request);
    }
    return handled->process.is_this_process() ? body(*handled) : in_a_child();
  });
}

// Runs a body with what a handle keeps. In a child after fork it stays where it is: its end would reach the parent.
template <class Table, class Body>
isthmus_result with_kept(const Table& table, std::uintptr_t handle, std::string_view bad, const Body& body) noexcept {
  return guarded([&]() -> isthmus_result {
    auto* const known = table.find(handle);
    if (known == nullptr) {
      return invalid(bad);
    }
    return known->process.is_this_process() ? body(known->value) : in_a_child();
  });
}
template <class Table>
isthmus_result release(Table& table, std::uintptr_t handle, std::string_view bad) noexcept {
  return guarded([&]() -> isthmus_result {
    const auto* const known = table.find(handle);
    if (handle == 0 || (known != nullptr && !known->process.is_this_process())) {
      return ISTHMUS_OK;
    }
    return table.take(handle) ? ISTHMUS_OK : invalid(bad);
  });
}

// Keeps something of a request, and gives out its handle.
template <class Table, class T, class Handle>
isthmus_result keep(Table& table, const Handled& known, T value, std::string_view what, Handle** out) {
  const auto handle = table.put({.value = std::move(value), .process = known.process});
  if (!handle) {
    return failed(ISTHMUS_EXHAUSTED, text("no handle is left for ", what));
  }
  *out = disguise<Handle>(*handle);
  return ISTHMUS_OK;
}

isthmus_result read_answer(const isthmus_answer* given, isthmus_answer& known) {
  if (const auto result = read_struct(given, known, "answer"); result != ISTHMUS_OK) {
    return result;
  }
  return check_body("answer", known.fixed, known.fixed_size, known.trailing, known.trailing_size);
}

// Answers by whatever has the function for it.
template <class T>
isthmus_result send_answer(T& call, const isthmus_answer& answer) {
  return result_of(
      call.reply(answer.status, bytes(answer.fixed, answer.fixed_size), bytes(answer.trailing, answer.trailing_size)));
}

constexpr std::string_view bad_call = "pending_call: NULL, answered before, or no pending call at all";
constexpr std::string_view bad_hold = "frame_hold: released before, or no hold at all";
constexpr std::string_view bad_upcalls = "upcalls: NULL, released before, or no upcalls at all";

}  // namespace

isthmus_result read_service(const isthmus_service* given, isthmus_service& known) {
  if (const auto result = read_struct(given, known, "service"); result != ISTHMUS_OK) {
    return result;
  }
  if (known.handle == nullptr) {
    return invalid("service: handle is NULL");
  }
  return known.reserved == 0
             ? ISTHMUS_OK
             : failed(ISTHMUS_UNSUPPORTED, text("service: reserved is ", known.reserved, ", and should be 0"));
}

void CService::handle(Request& request) {
  Handled current{.request = &request, .handle = new_request(), .process = process_};
  handled = &current;
  functions_.handle(functions_.context, disguise<isthmus_request>(current.handle));
  handled = nullptr;
}

}  // namespace isthmus::c

// ---- the interface -------------------------------------------------------------------------------------------------

using namespace isthmus;
using namespace isthmus::c;

extern "C" {

isthmus_result isthmus_request_message(isthmus_request* request, isthmus_message* message) {
  return with_request(request, [&](const Handled& known) -> isthmus_result {
    if (const auto result = check_size(message, "message"); result != ISTHMUS_OK) {
      return result;
    }
    const auto fixed = known.request->fixed();
    const auto trailing = known.request->trailing();
    write_struct({.struct_size = 0,
                  .api = known.request->api(),
                  .opcode = known.request->opcode(),
                  .fixed = fixed.data(),
                  .fixed_size = fixed.size(),
                  .trailing = trailing.data(),
                  .trailing_size = trailing.size()},
                 message);
    return ISTHMUS_OK;
  });
}

int isthmus_request_wants_reply(isthmus_request* request) {
  int wants = 0;
  const auto known = with_request(request, [&](const Handled& found) -> isthmus_result {
    wants = found.request->wants_reply() ? 1 : 0;
    return ISTHMUS_OK;
  });
  return known == ISTHMUS_OK ? wants : 0;
}

isthmus_result isthmus_request_resolve(isthmus_request* request, const isthmus_reference* reference, void** data) {
  return with_request(request, [&](const Handled& known) -> isthmus_result {
    if (reference == nullptr || data == nullptr) {
      return invalid("isthmus_request_resolve: NULL");
    }
    const auto named = std::bit_cast<Reference>(*reference);
    const auto found = known.request->resolve(named);
    if (!found) {
      return invalid(text("reference: ", named.length, " bytes from ", named.offset(), " on in window ",
                          std::uint32_t{named.window()}, " are not within the lane's windows"));
    }
    *data = found->data();
    return ISTHMUS_OK;
  });
}

isthmus_result isthmus_request_reply(isthmus_request* request, const isthmus_answer* answer) {
  return with_request(request, [&](Handled& known) -> isthmus_result {
    isthmus_answer checked;
    if (const auto result = read_answer(answer, checked); result != ISTHMUS_OK) {
      return result;
    }
    const auto result = send_answer(*known.request, checked);
    known.settled = known.settled || result == ISTHMUS_OK;
    return result;
  });
}

isthmus_result isthmus_request_defer(isthmus_request* request, isthmus_pending_call** call) {
  return with_request(request, [&](Handled& known) -> isthmus_result {
    if (call == nullptr) {
      return invalid("isthmus_request_defer: NULL");
    }
    if (!known.request->wants_reply()) {
      return invalid("request: a post, which takes no reply");
    }
    if (known.settled) {
      return invalid("request: answered or deferred before");
    }
    known.settled = true;
    return keep(pending_calls, known, known.request->defer(), "a pending call", call);
  });
}

isthmus_result isthmus_request_hold_frames(isthmus_request* request, isthmus_frame_hold** hold) {
  return with_request(request, [&](const Handled& known) -> isthmus_result {
    if (hold == nullptr) {
      return invalid("isthmus_request_hold_frames: NULL");
    }
    if (known.request->wants_reply()) {
      *hold = nullptr;
      return ISTHMUS_OK;
    }
    return keep(frame_holds, known, known.request->hold_frames(), "a hold of frames", hold);
  });
}

isthmus_result isthmus_request_upcalls(isthmus_request* request, isthmus_upcalls** upcalls) {
  return with_request(request, [&](const Handled& known) -> isthmus_result {
    if (upcalls == nullptr) {
      return invalid("isthmus_request_upcalls: NULL");
    }
    auto way_back = known.request->upcalls();
    return way_back != nullptr ? keep(all_upcalls, known, std::move(way_back), "upcalls", upcalls)
                               : failed(ISTHMUS_NOT_FOUND, "upcalls: the client serves none (yet)");
  });
}

isthmus_result isthmus_pending_call_reply(isthmus_pending_call* call, const isthmus_answer* answer) {
  return with_kept(pending_calls, number(call), bad_call, [&](const PendingCall& /*known*/) -> isthmus_result {
    isthmus_answer checked;
    if (const auto result = read_answer(answer, checked); result != ISTHMUS_OK) {
      return result;
    }
    auto taken = pending_calls.take(number(call));  // of two threads that answer, one does
    return taken ? send_answer(taken->value, checked) : invalid(bad_call);
  });
}

isthmus_result isthmus_frame_hold_release(isthmus_frame_hold* hold) {
  return release(frame_holds, number(hold), bad_hold);
}

isthmus_result isthmus_upcalls_call(isthmus_upcalls* upcalls, const isthmus_message* message, void* buffer,
                                    size_t buffer_size, int64_t timeout_ns, isthmus_reply* reply) {
  return with_kept(
      all_upcalls, number(upcalls), bad_upcalls, [&](const std::shared_ptr<Upcalls>& known) -> isthmus_result {
        Message request;
        if (const auto result = read_call(message, request, buffer, buffer_size, reply); result != ISTHMUS_OK) {
          return result;
        }
        const auto answer = known->call(request, bytes(buffer, buffer_size), deadline(timeout_ns));
        if (!answer) {
          return failed(answer.error());
        }
        write_reply(*answer, reply);
        return ISTHMUS_OK;
      });
}

isthmus_result isthmus_upcalls_post(isthmus_upcalls* upcalls, const isthmus_message* message, int64_t timeout_ns) {
  return with_kept(all_upcalls, number(upcalls), bad_upcalls,
                   [&](const std::shared_ptr<Upcalls>& known) -> isthmus_result {
                     Message request;
                     if (const auto result = read_request(message, request); result != ISTHMUS_OK) {
                       return result;
                     }
                     return result_of(known->post(request, deadline(timeout_ns)));
                   });
}

isthmus_result isthmus_upcalls_release(isthmus_upcalls* upcalls) {
  return release(all_upcalls, number(upcalls), bad_upcalls);
}

}  // extern "C"
