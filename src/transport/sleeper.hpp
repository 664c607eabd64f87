// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "isthmus/shared_word.hpp"
#include "src/transport/spin.hpp"

namespace isthmus {

/// How one side of a channel waits: spin, then arm, re-check, block. The other half of the protocol is Doorbell.
///
/// Why no wake-up is lost. The sleeper takes the doorbell's count (S0), stores `sleeping` (S1), fences (S2), looks once
/// more (S3), and blocks; the kernel lets it block only while the count is still S0's. The waker publishes (W1), fences
/// (W2), looks at `sleeping` (W3), and where that is 1 it counts the doorbell up (W4), and only then wakes. Suppose a
/// sleeper blocked for ever with something published. Its S3 did not see W1, or it would not have blocked. The two
/// fences have one order, and the look behind the later one sees the store before the earlier one; so W3 saw S1, or
/// what the sleeper stored after it, which is nothing. So W4 came. Had S0 seen W4 (the waker saw an earlier arming), it
/// had acquired W1, and S3 would have seen that; so S0 did not see it, and W4 ends the block, or keeps it from
/// beginning. All that holds for each waker by itself.
///
/// Only the sleeper writes `sleeping`: a waker that clears it after ringing can erase the next arming. What is waited
/// for may be anything that its waker publishes before it fences. docs/memory-model.md says what is checked.
///
/// One thread.
class Sleeper {
 public:
  using Clock = std::chrono::steady_clock;

  /// Who sets `sleeping`, and what it is woken by.
  struct Wiring {
    SharedWord<std::uint32_t>* sleeping = nullptr;
    /// A futex in shared memory (both sides are processes of one kernel).
    SharedWord<std::uint32_t>* doorbell = nullptr;
    /// Instead: a word that another thread of this process counts up, which watches the lane's pending bits.
    std::atomic<std::uint32_t>* relay = nullptr;
    // With neither, nobody can wake this side (ivshmem-plain has no interrupts): it looks again at growing intervals.
  };

  explicit Sleeper(const Wiring& wiring) noexcept
      : sleeping_(wiring.sleeping),
        doorbell_(wiring.doorbell),
        relay_(wiring.relay),
        spinner_(wiring.doorbell != nullptr ? Spinner::max_budget : Spinner::max_budget_by_timer) {}

  /// Looks for as long as the answer of a busy peer takes, where this thread may spin.
  template <class Ready>
  [[nodiscard]] bool look_briefly(const Ready& ready) noexcept {
    return spinner_.spin_briefly(ready);
  }

  /// Returns true as soon as `ready()` holds, false once `until` has passed. `before_sleep()` runs each time before
  /// this side arms: the place to publish credit.
  template <class Ready, class BeforeSleep>
  [[nodiscard]] bool wait(const Ready& ready, Clock::time_point until, const BeforeSleep& before_sleep) noexcept {
    if (spinner_.spin_briefly(ready)) {
      return true;
    }
    const Clock::time_point start = Clock::now();
    const BusyWaiter busy(start);
    if (spinner_.spin(ready)) {
      return true;
    }
    for (;;) {
      before_sleep();
      const std::uint32_t ticket = take_ticket();  // S0
      sleeping_->store_relaxed(1);                 // S1
      full_fence();                                // S2
      bool found = ready();                        // S3
      if (!found) {
        block(ticket, start, until);
      }
      sleeping_->store_relaxed(0);
      found = found || ready();
      const Clock::time_point now = Clock::now();
      if (found || now >= until) {
        spinner_.observe(now - start);
        return found;
      }
    }
  }

 private:
  [[nodiscard]] std::uint32_t take_ticket() const noexcept;
  void block(std::uint32_t ticket, Clock::time_point start, Clock::time_point until) noexcept;

  SharedWord<std::uint32_t>* sleeping_;
  SharedWord<std::uint32_t>* doorbell_;
  std::atomic<std::uint32_t>* relay_;
  Spinner spinner_;
};

}  // namespace isthmus
