// SPDX-License-Identifier: Apache-2.0
#include "src/transport/spin.hpp"

#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>

namespace isthmus {
namespace {

// A place that allows one thread to spin. It stays with its thread between waits, so that a call pays for no
// read-modify-write; another thread takes it over when its holder is not spinning. All of it is a heuristic: a race
// costs one spin too many, never a wake-up.
struct alignas(128) Place {
  std::atomic<std::uint64_t> holder{0};
  std::atomic<bool> spinning{false};
};

constexpr std::uint32_t max_places = 64;

std::array<Place, max_places>& places() noexcept {
  static std::array<Place, max_places> all;
  return all;
}

std::uint32_t place_count() noexcept {
  static const std::uint32_t count = [] {
    cpu_set_t set;
    CPU_ZERO(&set);
    const int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return std::min(max_places, static_cast<std::uint32_t>(std::max(cpus - 1, 0)));
  }();
  return count;
}

std::uint64_t next_id() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

Spinner::Spinner() noexcept : id_(next_id()) {}

Spinner::~Spinner() {
  std::uint64_t mine = id_;
  places()[place_].holder.compare_exchange_strong(mine, 0, std::memory_order_relaxed);
}

bool Spinner::begin() noexcept {
  Place& last = places()[place_];
  if (last.holder.load(std::memory_order_relaxed) == id_ && place_ < place_count()) {
    last.spinning.store(true, std::memory_order_relaxed);
    return true;
  }
  for (std::uint32_t i = 0; i < place_count(); ++i) {
    Place& place = places()[i];
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

void Spinner::end() noexcept { places()[place_].spinning.store(false, std::memory_order_relaxed); }

void Spinner::observe(std::chrono::nanoseconds wait) noexcept {
  usual_wait_ += (std::min(wait, max_budget * 8) - usual_wait_) / 8;
  // A wait that spinning cannot outlast is not worth spinning for.
  budget_ = usual_wait_ > max_budget ? min_budget : std::clamp(usual_wait_ * 2, min_budget, max_budget);
}

}  // namespace isthmus
