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
  const Clock::time_point now = Clock::now();
  if (now >= until) {
    return;
  }
  // Far-away bounds are cut, so that the subtraction cannot overflow.
  const auto left = until - now > std::chrono::hours(1) ? std::chrono::nanoseconds(std::chrono::hours(1))
                                                        : std::chrono::nanoseconds(until - now);
  if (doorbell_ != nullptr) {
    futex_wait(doorbell_->address(), ticket, left, FutexScope::machine);
  } else if (relay_ != nullptr) {
    static_assert(sizeof *relay_ == sizeof(std::uint32_t));
    futex_wait(reinterpret_cast<std::uint32_t*>(relay_), ticket, left, FutexScope::process);
  } else {
    const auto nap = std::clamp<std::chrono::nanoseconds>((now - start) / 4, shortest_sleeper_nap, longest_sleeper_nap);
    std::this_thread::sleep_for(std::min(nap, left));
  }
}

}  // namespace isthmus
