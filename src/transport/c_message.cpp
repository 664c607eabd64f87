// SPDX-License-Identifier: Apache-2.0
#include "src/transport/c_message.hpp"

#include <chrono>
#include <limits>

#include "isthmus/abi.hpp"
#include "src/transport/c_error.hpp"
#include "src/transport/c_struct.hpp"
#include "src/transport/text.hpp"

namespace isthmus::c {

Channel::Clock::time_point deadline(std::int64_t timeout_ns) {
  if (timeout_ns < 0) {
    return Channel::no_deadline;
  }
  const auto now = Channel::Clock::now();
  const auto farthest = Channel::no_deadline - now;
  const std::chrono::nanoseconds timeout(timeout_ns);
  return timeout >= farthest ? Channel::no_deadline : now + timeout;
}

isthmus_result check_body(std::string_view name, const void* fixed, std::size_t fixed_size, const void* trailing,
                          std::size_t trailing_size) {
  if ((fixed == nullptr && fixed_size != 0) || (trailing == nullptr && trailing_size != 0)) {
    return invalid(text(name, ": a NULL pointer with a size that is not 0"));
  }
  static_assert(abi::max_body <= std::numeric_limits<std::uint16_t>::max());  // so a fixed part's size fits its field
  // Each alone first, because the sum of two sizes that cannot be could be one that can.
  if (fixed_size > abi::max_body || trailing_size > abi::max_body || fixed_size + trailing_size > abi::max_body) {
    return invalid(text(name, ": a fixed part of ", fixed_size, " bytes and ", trailing_size, " trailing ones; ",
                        abi::max_body, " together are possible, put more into a frame"));
  }
  return ISTHMUS_OK;
}

isthmus_result read_request(const isthmus_message* given, Message& request) {
  isthmus_message known;
  if (const auto result = read_struct(given, known, "message"); result != ISTHMUS_OK) {
    return result;
  }
  if (const auto result = check_body("message", known.fixed, known.fixed_size, known.trailing, known.trailing_size);
      result != ISTHMUS_OK) {
    return result;
  }
  request = {.api = known.api,
             .opcode = known.opcode,
             .fixed = bytes(known.fixed, known.fixed_size),
             .trailing = bytes(known.trailing, known.trailing_size)};
  return ISTHMUS_OK;
}

isthmus_result read_call(const isthmus_message* given, Message& request, const void* buffer, std::size_t buffer_size,
                         const isthmus_reply* reply) {
  if (const auto result = read_request(given, request); result != ISTHMUS_OK) {
    return result;
  }
  if (const auto result = check_size(reply, "reply"); result != ISTHMUS_OK) {
    return result;
  }
  return buffer == nullptr && buffer_size != 0 ? invalid("buffer: NULL with a size that is not 0") : ISTHMUS_OK;
}

void write_reply(const Reply& reply, isthmus_reply* given) noexcept {
  write_struct({.struct_size = 0, .status = reply.status, .size = reply.size, .fixed_size = reply.fixed}, given);
}

}  // namespace isthmus::c
