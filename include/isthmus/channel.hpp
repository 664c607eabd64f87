// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "isthmus/error.hpp"

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

  /// Sends a request and waits for its reply, whose body is written to `reply`.
  ///
  /// Errors: invalid_argument (body too long; reply longer than `reply`: nothing of it is written), timed_out (the call
  /// is given up and its late reply will be dropped, but the host may still execute it: memory that the request names
  /// must stay untouched until the lane ends), wrong_thread, closed, peer_died, protocol_violation.
  [[nodiscard]] Result<Reply> call(const Message& request, std::span<std::byte> reply = {},
                                   Clock::time_point deadline = no_deadline);

  /// Sends a request that nobody waits for. Waits only for room in the ring. The same errors as call().
  [[nodiscard]] Result<void> post(const Message& request, Clock::time_point deadline = no_deadline);

  [[nodiscard]] ChannelStatistics statistics() const noexcept;

 private:
  friend class LaneState;
  struct Impl;
  explicit Channel(std::unique_ptr<Impl> impl) noexcept;

  std::unique_ptr<Impl> impl_;
};

}  // namespace isthmus
