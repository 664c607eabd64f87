// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "isthmus/error.hpp"
#include "isthmus/frame.hpp"

namespace isthmus {

class LaneState;

/// A request as the transport sees it. Its body is `fixed` and `trailing` joined, at most abi::max_body bytes; the host
/// learns where the one ends and the other begins.
struct Message {
  std::uint16_t api = 0;
  std::uint16_t opcode = 0;
  std::span<const std::byte> fixed;
  std::span<const std::byte> trailing;
};

/// What a call brought back.
struct Reply {
  std::int32_t status = 0;  ///< 0, or the service's own error code
  std::uint32_t size = 0;   ///< bytes of reply body, written to the caller's buffer
  std::uint16_t fixed = 0;  ///< of these, bytes of the fixed part; <= size
};

/// Names a call that was submitted; void once its reply was taken, or it was cancelled.
enum class CallId : std::uint32_t {};

/// How much a channel did since it was opened.
struct ChannelStatistics {
  std::uint64_t calls = 0;
  std::uint64_t posts = 0;
  std::uint64_t doorbells = 0;        ///< how often the twin had to be woken
  std::uint64_t dropped_replies = 0;  ///< late replies to calls that were given up
};

/// One client thread's connection to its own worker thread, the twin. Lane::channel() makes it.
///
/// Only the thread that it was made for may use it; any other, and a child after fork, gets Errc::wrong_thread.
class Channel {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr Clock::time_point no_deadline = Clock::time_point::max();

  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  Channel(Channel&&) = delete;
  Channel& operator=(Channel&&) = delete;
  ~Channel();

  /// Sends a request and waits for its reply, whose body is written to `reply`. It is executed after every call and
  /// post of the lane that had returned before, on whatever thread.
  ///
  /// Errors: invalid_argument (body too long; reply longer than `reply`: nothing of it is written), exhausted (more
  /// than 1023 calls in flight), timed_out (the call is given up, but the host may still execute it: hand frames that
  /// it names to keep()), wrong_thread, closed, peer_died, protocol_violation.
  [[nodiscard]] Result<Reply> call(const Message& request, std::span<std::byte> reply = {},
                                   Clock::time_point deadline = no_deadline);

  /// Sends a request that nobody waits for. Waits only for room in the ring. The same order and errors as call().
  /// Frames that the request names are handed over, and freed once the host has executed it; after an error they are
  /// still the caller's.
  [[nodiscard]] Result<void> post(const Message& request, Clock::time_point deadline = no_deadline);
  [[nodiscard]] Result<void> post(const Message& request, std::vector<Frame>&& frames,
                                  Clock::time_point deadline = no_deadline);

  /// Starts a batch of posts and submitted calls, which the host sees all at once, at flush(): cheaper than one by one.
  /// Other threads' requests may wait for it, so flush soon. Whatever waits on this channel flushes first. Errors:
  /// wrong_thread, and the lane's.
  [[nodiscard]] Result<void> hold();
  /// Ends the batch. Harmless where there is none. The same errors.
  [[nodiscard]] Result<void> flush();

  /// Sends a request whose reply is fetched later, by poll() or wait(); replies may come in any order. `reply` must
  /// stay valid until then, or until cancel(). The deadline is for room in the ring. Errors: as call().
  [[nodiscard]] Result<CallId> submit(const Message& request, std::span<std::byte> reply = {},
                                      Clock::time_point deadline = no_deadline);
  /// The reply, if it is there. Never blocks. Errors: as wait(), except timed_out.
  [[nodiscard]] Result<std::optional<Reply>> poll(CallId id);
  /// Blocks for the reply. Errors: invalid_argument (unknown id; reply longer than its buffer), timed_out (the call
  /// stays open: wait again, or cancel), and the lane's as with call().
  [[nodiscard]] Result<Reply> wait(CallId id, Clock::time_point deadline = no_deadline);
  /// Gives a call up; its reply will be dropped, and its buffer is free at once. True if the host may still execute it:
  /// hand frames that it names to keep(). Errors: invalid_argument (unknown id), and the lane's.
  [[nodiscard]] Result<bool> cancel(CallId id);
  /// Keeps a frame until every call that was given up so far is answered; only then its memory is used again. In
  /// another thread than the channel's, which cannot tell when that is: until the lane ends.
  void keep(Frame frame);

  /// A descriptor for somebody else's epoll loop, owned by the channel: readable once a reply has come since poll()
  /// last found none. Read it (8 bytes), then poll() all calls that are open. It is made, with a helper thread of the
  /// lane, by the first call. Errors: exhausted, and those of poll().
  [[nodiscard]] Result<int> completion_fd();

  /// The channel's thread only; it has no way to refuse another.
  [[nodiscard]] ChannelStatistics statistics() const noexcept;

 private:
  friend class LaneState;
  struct Impl;
  explicit Channel(std::unique_ptr<Impl> impl) noexcept;

  std::unique_ptr<Impl> impl_;
};

}  // namespace isthmus
