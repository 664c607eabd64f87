// SPDX-License-Identifier: Apache-2.0
#include "perf/support/participant.hpp"

#include <thread>

namespace isthmus::perf {
namespace {

// The kernel's timers are not precise enough below.
constexpr std::chrono::microseconds shortest_sleep{200};

}  // namespace

std::chrono::nanoseconds Participant::round(std::uint32_t calls) {
  begin(warm_up_calls, calls);
  call(warm_up_calls);
  const Clock::time_point start = Clock::now();
  call(calls);
  return Clock::now() - start;
}

void Participant::sample(std::span<double> nanoseconds) {
  begin(warm_up_calls, static_cast<std::uint32_t>(nanoseconds.size()));
  call(warm_up_calls);
  Clock::time_point last = Clock::now();
  for (double& sample : nanoseconds) {
    call(1);
    const Clock::time_point now = Clock::now();
    sample = std::chrono::duration<double, std::nano>(now - last).count();
    last = now;
  }
}

std::chrono::nanoseconds AfterPause::round(std::uint32_t calls) {
  inner_->begin(1, calls);
  inner_->call(1);
  std::chrono::nanoseconds sum{0};
  for (std::uint32_t i = 0; i < calls; ++i) {
    if (pause_ < shortest_sleep) {
      busy_wait(pause_);
    } else {
      std::this_thread::sleep_for(pause_);
    }
    const Clock::time_point start = Clock::now();
    inner_->call(1);
    sum += Clock::now() - start;
  }
  return sum;
}

void busy_wait(std::chrono::nanoseconds time) noexcept {
  const Clock::time_point end = Clock::now() + time;
  while (Clock::now() < end) {
  }
}

}  // namespace isthmus::perf
