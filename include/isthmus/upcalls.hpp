// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "isthmus/channel.hpp"
#include "isthmus/error.hpp"

namespace isthmus {

/// The host's way to call its client, over the lane's upcall pair: callbacks to run, asynchronous errors, text. The
/// client answers in a thread of its own (Lane::serve_upcalls), also while its other threads wait in calls. Any thread;
/// one upcall at a time is under way, the others wait for it.
class Upcalls {
 public:
  Upcalls() = default;
  virtual ~Upcalls() = default;
  Upcalls(const Upcalls&) = delete;
  Upcalls& operator=(const Upcalls&) = delete;
  Upcalls(Upcalls&&) = delete;
  Upcalls& operator=(Upcalls&&) = delete;

  /// Calls the client and waits for its answer. The client is not trusted: it may answer anything, or never; give a
  /// deadline. Errors: those of Channel::call; closed when the lane is over.
  [[nodiscard]] virtual Result<Reply> call(const Message& message, std::span<std::byte> reply,
                                           Channel::Clock::time_point deadline) = 0;
  /// Tells the client something. Waits only for room in the ring.
  [[nodiscard]] virtual Result<void> post(const Message& message, Channel::Clock::time_point deadline) = 0;
};

}  // namespace isthmus
