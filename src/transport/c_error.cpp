// SPDX-License-Identifier: Apache-2.0
#include "src/transport/c_error.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace isthmus::c {
namespace {

// Zero is success in C, so each code is one more than in C++.
constexpr isthmus_result code(Errc errc) { return static_cast<isthmus_result>(errc) + 1; }
static_assert(code(Errc::invalid_argument) == ISTHMUS_INVALID_ARGUMENT && code(Errc::not_found) == ISTHMUS_NOT_FOUND);
static_assert(code(Errc::permission_denied) == ISTHMUS_PERMISSION_DENIED);
static_assert(code(Errc::version_mismatch) == ISTHMUS_VERSION_MISMATCH && code(Errc::busy) == ISTHMUS_BUSY);
static_assert(code(Errc::exhausted) == ISTHMUS_EXHAUSTED && code(Errc::timed_out) == ISTHMUS_TIMED_OUT);
static_assert(code(Errc::peer_died) == ISTHMUS_PEER_DIED && code(Errc::closed) == ISTHMUS_CLOSED);
static_assert(code(Errc::protocol_violation) == ISTHMUS_PROTOCOL_VIOLATION);
static_assert(code(Errc::unsupported) == ISTHMUS_UNSUPPORTED && code(Errc::wrong_thread) == ISTHMUS_WRONG_THREAD);
static_assert(code(Errc::system) == ISTHMUS_SYSTEM);

// No std::string: it must work without memory, and have nothing to destroy when the thread ends.
thread_local constinit std::array<char, 512> last_error{};

}  // namespace

isthmus_result failed(isthmus_result result, std::string_view why) noexcept {
  const std::size_t length = std::min(why.size(), last_error.size() - 1);
  std::copy_n(why.begin(), length, last_error.begin());
  last_error.at(length) = '\0';
  return result;
}

isthmus_result failed(const Error& error) noexcept { return failed(code(error.code), error.message); }

isthmus_result in_a_child() noexcept {
  return failed(ISTHMUS_WRONG_THREAD,
                "used in a child after fork, which owns nothing of its parent's; attach anew there");
}

}  // namespace isthmus::c

extern "C" {

const char* isthmus_last_error(void) { return isthmus::c::last_error.data(); }

const char* isthmus_result_name(isthmus_result result) {
  constexpr std::array names{"ok",
                             "invalid_argument",
                             "not_found",
                             "permission_denied",
                             "version_mismatch",
                             "busy",
                             "exhausted",
                             "timed_out",
                             "peer_died",
                             "closed",
                             "protocol_violation",
                             "unsupported",
                             "wrong_thread",
                             "system"};
  static_assert(names.size() == ISTHMUS_SYSTEM + 1);
  return result >= 0 && static_cast<std::size_t>(result) < names.size() ? names.at(static_cast<std::size_t>(result))
                                                                        : "unknown";
}

}  // extern "C"
