// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <utility>

namespace isthmus {

/// Tells the processor that this is a spin loop.
inline void spin_pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

/// A place that allows one thread of the process to spin. It stays with its thread between waits, so that a call pays
/// for no read-modify-write; another thread takes it over when its holder is not spinning. All of it is a heuristic: a
/// race costs one spin too many, never a wake-up.
struct alignas(128) SpinPlace {
  std::atomic<std::uint64_t> holder{0};
  std::atomic<bool> spinning{false};
};

/// Counts a thread among those of this process that wait, and have not waited for long, while the object lives. One
/// thread.
///
/// Whoever has waited longer than a period or two needs no processor for its peer, which is idle or has a long work to
/// do. Nobody wakes up to say so: a wait counts in the period in which it began and in the next one, and a period ends
/// when a wait begins after it.
class BusyWaiter {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::nanoseconds period{1'000'000};

  explicit BusyWaiter(Clock::time_point now) noexcept;
  ~BusyWaiter();
  BusyWaiter(const BusyWaiter&) = delete;
  BusyWaiter& operator=(const BusyWaiter&) = delete;
  BusyWaiter(BusyWaiter&&) = delete;
  BusyWaiter& operator=(BusyWaiter&&) = delete;

  static void forget_all() noexcept;
  [[nodiscard]] static std::uint64_t count() noexcept {
    const std::uint64_t even = waiting[0].load(std::memory_order_relaxed);
    const std::uint64_t odd = waiting[1].load(std::memory_order_relaxed);
    const std::uint64_t newer = std::max(even, odd);  // by period, as that stands above
    const std::uint64_t older = std::min(even, odd);
    return count_of(newer) + (period_of(older) + 1 == period_of(newer) ? count_of(older) : 0);
  }

 private:
  static constexpr unsigned count_bits = 16;
  [[nodiscard]] static constexpr std::uint64_t period_of(std::uint64_t word) noexcept { return word >> count_bits; }
  [[nodiscard]] static constexpr std::uint64_t count_of(std::uint64_t word) noexcept {
    return word & ((std::uint64_t{1} << count_bits) - 1);
  }

  // How many began to wait in the last even and in the last odd period: {period, 48 bits; count, 16 bits}.
  alignas(128) static std::array<std::atomic<std::uint64_t>, 2> waiting;
  std::uint64_t period_;
};

/// One thread's readiness to burn processor time before it blocks.
///
/// The budget follows what was seen: it is about twice the usual wait, and small where waits outlast it anyway. At most
/// (processors - 1) threads of a process spin at a time, and none where there is one processor: the others must not
/// keep off the processor the very thread that they wait for (64 pairs on 2 cores: 204,000 calls/s blocking at once,
/// 11,000 when each spins 100 us). More precisely, each thread that waits has a peer with work to do: so (processors -
/// BusyWaiters) may spin. One thread.
class Spinner {
 public:
  using Clock = std::chrono::steady_clock;

  static constexpr std::chrono::nanoseconds max_budget{100'000};  ///< two context switches and a wake-up, with room
  static constexpr std::chrono::nanoseconds min_budget{2'000};
  /// The most where nothing wakes a sleeper but its own timer, so that sleeping costs far more than two switches.
  static constexpr std::chrono::nanoseconds max_budget_by_timer{500'000};

  explicit Spinner(std::chrono::nanoseconds most = max_budget) noexcept;
  ~Spinner();
  Spinner(const Spinner&) = delete;
  Spinner& operator=(const Spinner&) = delete;
  Spinner(Spinner&&) = delete;
  Spinner& operator=(Spinner&&) = delete;

  /// Polls `ready` until it holds (true) or the budget is used up (false).
  template <class Ready>
  [[nodiscard]] bool spin(const Ready& ready) noexcept {
    if (!begin()) {
      return ready();
    }
    bool found = ready();
    if (!found) {
      const Clock::time_point start = Clock::now();
      do {
        for (int i = 0; i < polls_per_clock && !found; ++i) {
          spin_pause();
          found = ready();
        }
      } while (!found && Clock::now() - start < budget_);
    }
    end();
    return found;
  }

  /// The same for as long as the answer of a busy peer takes, a few cache-line transfers: no clock is read.
  template <class Ready>
  [[nodiscard]] bool spin_briefly(const Ready& ready) noexcept {
    if (!begin()) {
      return ready();
    }
    bool found = false;
    for (int i = 0; i < brief_polls && !found; ++i) {
      found = ready();
    }
    end();
    return found;
  }

  /// To be told how long a wait took altogether, spinning and blocked.
  void observe(std::chrono::nanoseconds wait) noexcept;

  [[nodiscard]] std::chrono::nanoseconds budget() const noexcept { return budget_; }

 private:
  static constexpr int brief_polls = 256;
  static constexpr int polls_per_clock = 32;

  static constexpr std::uint32_t max_places = 64;
  static std::array<SpinPlace, max_places> places;
  static const std::uint32_t place_count;  // (processors - 1), as far as there is room

  [[nodiscard]] bool begin() noexcept {
    SpinPlace& last = places[place_];
    if (last.holder.load(std::memory_order_relaxed) == id_ && place_ < allowed()) [[likely]] {
      last.spinning.store(true, std::memory_order_relaxed);
      return true;
    }
    return find_place();
  }
  void end() noexcept { places[place_].spinning.store(false, std::memory_order_relaxed); }
  [[nodiscard]] bool find_place() noexcept;
  /// How many may spin now. A thread counts itself among the waiting, or is about to.
  [[nodiscard]] static std::uint32_t allowed() noexcept {
    const std::uint64_t waiting = BusyWaiter::count();
    return waiting <= 1
               ? place_count
               : place_count + 1 - static_cast<std::uint32_t>(std::min<std::uint64_t>(waiting, place_count + 1));
  }

  std::chrono::nanoseconds most_;
  std::chrono::nanoseconds budget_;
  std::chrono::nanoseconds usual_wait_{0};
  std::uint64_t id_;
  std::uint32_t place_ = 0;
};

}  // namespace isthmus
