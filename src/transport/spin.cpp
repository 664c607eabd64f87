// SPDX-License-Identifier: Apache-2.0
#include "src/transport/spin.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>

namespace isthmus {
namespace {

std::uint32_t count_places(std::uint32_t max_places) noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return std::min(max_places, static_cast<std::uint32_t>(std::max(cpus - 1, 0)));
}

std::uint64_t next_id() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

Spinner::Spinner(std::chrono::nanoseconds most) noexcept : most_(most), budget_(most), id_(next_id()) {}

std::array<SpinPlace, Spinner::max_places> Spinner::places;
const std::uint32_t Spinner::place_count = count_places(max_places);
alignas(128) std::array<std::atomic<std::uint64_t>, 2> BusyWaiter::waiting{};

BusyWaiter::BusyWaiter(Clock::time_point now) noexcept
    : period_(static_cast<std::uint64_t>(now.time_since_epoch() / period)) {
  std::atomic<std::uint64_t>& word = waiting[period_ % 2];
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  std::uint64_t next = 0;
  do {
    // Of an older period nobody counts any more. A newer one is there where this thread was held up: then it counts
    // in that.
    period_ = std::max(period_, period_of(seen));
    next = period_of(seen) == period_ ? seen + 1 : (period_ << count_bits) + 1;
  } while (!word.compare_exchange_weak(seen, next, std::memory_order_relaxed));
}

BusyWaiter::~BusyWaiter() {
  std::atomic<std::uint64_t>& word = waiting[period_ % 2];
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  while (period_of(seen) == period_ && count_of(seen) != 0 &&
         !word.compare_exchange_weak(seen, seen - 1, std::memory_order_relaxed)) {
  }
}

void BusyWaiter::forget_all() noexcept {
  for (auto& word : waiting) {
    word.store(0, std::memory_order_relaxed);
  }
}

namespace {

// The threads that waited when the process forked are not in the child.
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, &BusyWaiter::forget_all);

}  // namespace

Spinner::~Spinner() {
  std::uint64_t mine = id_;
  places[place_].holder.compare_exchange_strong(mine, 0, std::memory_order_relaxed);
}

bool Spinner::find_place() noexcept {
  for (std::uint32_t i = 0; i < allowed(); ++i) {
    SpinPlace& place = places[i];
    std::uint64_t holder = place.holder.load(std::memory_order_relaxed);
    if (holder != 0 && place.spinning.load(std::memory_order_relaxed)) {
      continue;
    }
    if (place.holder.compare_exchange_strong(holder, id_, std::memory_order_relaxed)) {
      place_ = i;
      place.spinning.store(true, std::memory_order_relaxed);
      return true;
    }
  }
  return false;
}

void Spinner::observe(std::chrono::nanoseconds wait) noexcept {
  usual_wait_ += (std::min(wait, most_ * 8) - usual_wait_) / 8;
  // A wait that spinning cannot outlast is not worth spinning for.
  budget_ = usual_wait_ > most_ ? min_budget : std::clamp(usual_wait_ * 2, min_budget, most_);
}

}  // namespace isthmus
