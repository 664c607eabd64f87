// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "isthmus/error.hpp"
#include "isthmus/frame_hold.hpp"
#include "isthmus/pending_call.hpp"
#include "isthmus/reference.hpp"
#include "isthmus/upcalls.hpp"

namespace isthmus {

/// Status of a reply to a request that no service handled.
inline constexpr std::int32_t status_unhandled = INT32_MIN;

/// A request on the worker's side, valid while Service::handle runs, in the thread that it runs in. The body is a
/// private copy, which the guest cannot change any more; what references name is shared memory, which it can: parse
/// nothing there.
class Request {
 public:
  [[nodiscard]] virtual std::uint16_t api() const noexcept = 0;
  [[nodiscard]] virtual std::uint16_t opcode() const noexcept = 0;
  [[nodiscard]] virtual std::span<const std::byte> fixed() const noexcept = 0;
  [[nodiscard]] virtual std::span<const std::byte> trailing() const noexcept = 0;
  /// Whether the client waits; a post takes no reply.
  [[nodiscard]] virtual bool wants_reply() const noexcept = 0;

  /// The bytes that a reference names, or nothing when it lies outside the lane's windows.
  [[nodiscard]] virtual std::optional<std::span<std::byte>> resolve(Reference reference) const noexcept = 0;

  /// Answers a call, once; the reply's body is the two pieces joined, at most abi::max_body bytes. Ignored for a post.
  /// Errors: invalid_argument (too long; second answer).
  virtual Result<void> reply(std::int32_t status, std::span<const std::byte> fixed = {},
                             std::span<const std::byte> trailing = {}) = 0;

  /// Keeps the call, to be answered later from any thread; handle() may return, and the channel goes on with its next
  /// request. Payload that the request names stays the client's: it may be touched until the call is answered, unless
  /// the lane ends. \pre wants_reply(), and neither reply() nor defer() was called before
  [[nodiscard]] virtual PendingCall defer() = 0;

  /// Keeps the frames that this post names from the client until the hold ends: for a device that works on them after
  /// handle() has returned. For a call it holds nothing: its frames stay the client's, until it is answered.
  [[nodiscard]] virtual FrameHold hold_frames() = 0;

  /// The way back to the client; empty when it serves no upcalls. May be kept: it answers `closed` once the lane is
  /// over.
  [[nodiscard]] virtual std::shared_ptr<Upcalls> upcalls() const noexcept = 0;

 protected:
  ~Request() = default;
};

/// What a worker does with requests. One object serves all channels of a lane: handle() is called by many threads at
/// the same time, one for each channel, in the channel's order; and a request starts only when every call and post of
/// the lane that had returned in the client before it was made has been handled. A call that is neither answered nor
/// deferred is answered with status_unhandled.
///
/// handle() must not wait for what a thread of the client has yet to do: other channels may stay behind a post that
/// stands behind this request. What waits, or takes long, is deferred. One that throws ends the lane with that reason.
/// Payload that a post names is the client's again when handle() returns, unless the service holds it.
class Service {
 public:
  Service() = default;
  virtual ~Service() = default;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  Service(Service&&) = delete;
  Service& operator=(Service&&) = delete;

  virtual void handle(Request& request) = 0;
};

}  // namespace isthmus
