// SPDX-License-Identifier: Apache-2.0
#include "src/transport/sleeper.hpp"

#include <algorithm>
#include <thread>

#include "src/transport/futex.hpp"

namespace isthmus {
namespace {

// The timer of a side that nobody can wake: a quarter of the time it has waited already, so that a wait is prolonged
// by a quarter at most, within these bounds.
constexpr std::chrono::microseconds shortest_sleeper_nap{20};
constexpr std::chrono::microseconds longest_sleeper_nap{1000};

}  // namespace

std::uint32_t Sleeper::take_ticket() const noexcept {
  if (doorbell_ != nullptr) {
    // Any count will do: a wrong one only ends the block at once.
    return doorbell_->load_acquire().any();  // S0: acquires W4
  }
  return relay_ != nullptr ? relay_->load(std::memory_order_acquire) : 0;  // S0: acquires B3
}

void Sleeper::block(std::uint32_t ticket, Clock::time_point start, Clock::time_point until) noexcept {
  if (doorbell_ != nullptr) {
    futex_wait_until(doorbell_->address(), ticket, until, FutexScope::machine);
  } else if (relay_ != nullptr) {
    static_assert(sizeof *relay_ == sizeof(std::uint32_t));
    futex_wait_until(reinterpret_cast<std::uint32_t*>(relay_), ticket, until, FutexScope::process);
  } else {
    const Clock::time_point now = Clock::now();
    const auto nap = std::clamp<std::chrono::nanoseconds>((now - start) / 4, shortest_sleeper_nap, longest_sleeper_nap);
    std::this_thread::sleep_until(until - now < nap ? until : now + nap);
  }
}

}  // namespace isthmus
