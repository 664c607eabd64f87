// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <span>

namespace isthmus::perf {

using Clock = std::chrono::steady_clock;

/// One of two that are compared. Rounds of both alternate; between its rounds a participant must not use a processor.
/// "Call" is whatever is counted: a round trip, a message, an allocation. Failures are thrown (std::runtime_error).
class Participant {
 public:
  /// Calls at a round's start that are not timed: they wake a peer that slept, and warm caches.
  static constexpr std::uint32_t warm_up_calls = 32;

  Participant() = default;
  virtual ~Participant() = default;
  Participant(const Participant&) = delete;
  Participant& operator=(const Participant&) = delete;
  Participant(Participant&&) = delete;
  Participant& operator=(Participant&&) = delete;

  /// Announces call(warm_up) and then `calls` more of them: the time to get a peer going.
  virtual void begin(std::uint32_t /*warm_up*/, std::uint32_t /*calls*/) {}
  virtual void call(std::uint32_t count) = 0;

  /// Makes that many calls, and says how long they took.
  virtual std::chrono::nanoseconds round(std::uint32_t calls);
  /// Times each call by itself; the clock's own cost (about 20 ns) is in each sample.
  void sample(std::span<double> nanoseconds);
};

/// The same calls, each after a pause during which the client sleeps (or waits busily, where it is too short to sleep).
class AfterPause final : public Participant {
 public:
  AfterPause(Participant& inner, std::chrono::nanoseconds pause) noexcept : inner_(&inner), pause_(pause) {}

  void call(std::uint32_t count) override { inner_->call(count); }
  std::chrono::nanoseconds round(std::uint32_t calls) override;

 private:
  Participant* inner_;
  std::chrono::nanoseconds pause_;
};

/// Waits without sleeping.
void busy_wait(std::chrono::nanoseconds time) noexcept;

}  // namespace isthmus::perf
