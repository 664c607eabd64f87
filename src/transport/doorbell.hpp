// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "isthmus/shared_word.hpp"

namespace isthmus {

/// Wakes the other side of a channel, if it sleeps. Carries no data; may be lost or spurious. The waker's half of the
/// protocol that sleeper.hpp explains. One thread.
class Doorbell {
 public:
  /// Rings by a futex in shared memory.
  Doorbell(const SharedWord<std::uint32_t>& peer_sleeping, SharedWord<std::uint32_t>& futex) noexcept
      : peer_sleeping_(&peer_sleeping), futex_(&futex) {}
  /// Rings by setting a bit that a waiter of the other side looks at, at intervals.
  Doorbell(const SharedWord<std::uint32_t>& peer_sleeping, SharedWord<std::uint64_t>& pending,
           std::uint64_t bit) noexcept
      : peer_sleeping_(&peer_sleeping), pending_(&pending), bit_(bit) {}
  /// Has nothing to ring: the other side looks by itself.
  explicit Doorbell(const SharedWord<std::uint32_t>& peer_sleeping) noexcept : peer_sleeping_(&peer_sleeping) {}

  /// To be called once after a batch of messages, or credit, was published. Rings only a peer that sleeps.
  void flush() noexcept {
    full_fence();                                    // W2; W1 is the release store of what was published
    if (peer_sleeping_->load_relaxed().equals(1)) {  // W3
      ring();
    }
  }

  /// How often the bell was rung.
  [[nodiscard]] std::uint64_t rung() const noexcept { return rung_; }

 private:
  void ring() noexcept;

  const SharedWord<std::uint32_t>* peer_sleeping_;
  SharedWord<std::uint32_t>* futex_ = nullptr;
  SharedWord<std::uint64_t>* pending_ = nullptr;
  std::uint64_t bit_ = 0;
  std::uint64_t rung_ = 0;
};

}  // namespace isthmus
