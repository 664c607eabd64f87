// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <utility>

namespace isthmus {

/// What kind of failure an Error is. A program decides by this value; a person reads the text.
enum class Errc : std::uint16_t {
  invalid_argument,    ///< the caller passed something that can never work
  not_found,           ///< no such region, device, endpoint or service
  permission_denied,   ///< the operating system refused access
  version_mismatch,    ///< the peer speaks another ABI version, or is not Isthmus at all
  busy,                ///< somebody else owns it now
  exhausted,           ///< no lane, channel, slab memory or file-system space is left
  timed_out,           ///< the bound of the wait has passed; the peer may still be alive
  peer_died,           ///< the process on the other side is gone
  closed,              ///< the lane or channel was closed in an orderly way, by either side
  protocol_violation,  ///< the peer broke the shared-memory protocol; the channel is poisoned
  unsupported,         ///< this build, kernel or machine cannot do it
  wrong_thread,        ///< a channel was used by a thread, or in a process, that does not own it
  system,              ///< any other failure of the operating system
};

/// One failure: a code for the program, and a text that names the thing, the value, the limit and the way out.
struct Error {
  Errc code;
  std::string message;
};

/// The return type of everything that can fail.
template <class T>
using Result = std::expected<T, Error>;

/// Makes the failure branch of a Result: `return fail(Errc::not_found, "...");`.
[[nodiscard]] inline std::unexpected<Error> fail(Errc code, std::string message) {
  return std::unexpected<Error>(Error{code, std::move(message)});
}

}  // namespace isthmus
