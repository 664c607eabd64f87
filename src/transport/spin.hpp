// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

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

/// One thread's readiness to burn processor time before it blocks.
///
/// The budget follows what was seen: it is about twice the usual wait, and small where waits outlast it anyway. At most
/// (processors - 1) threads of a process spin at a time, and none where there is one processor: the others must not
/// keep off the processor the very thread that they wait for (64 pairs on 2 cores: 204,000 calls/s blocking at once,
/// 11,000 when each spins 100 us). One thread.
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
    bool found = poll(ready);
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
    const bool found = poll(ready);
    end();
    return found;
  }

  /// To be told how long a wait took altogether, spinning and blocked.
  void observe(std::chrono::nanoseconds wait) noexcept;

  [[nodiscard]] std::chrono::nanoseconds budget() const noexcept { return budget_; }

 private:
  static constexpr int unclocked_polls = 256;
  static constexpr int polls_per_clock = 32;

  static constexpr std::uint32_t max_places = 64;
  static std::array<SpinPlace, max_places> places;

  template <class Ready>
  [[nodiscard]] static bool poll(const Ready& ready) noexcept {
    for (int i = 0; i < unclocked_polls; ++i) {
      if (ready()) {
        return true;
      }
    }
    return false;
  }

  [[nodiscard]] bool begin() noexcept {
    SpinPlace& last = places[place_];
    if (last.holder.load(std::memory_order_relaxed) == id_) [[likely]] {
      last.spinning.store(true, std::memory_order_relaxed);
      return true;
    }
    return find_place();
  }
  void end() noexcept { places[place_].spinning.store(false, std::memory_order_relaxed); }
  [[nodiscard]] bool find_place() noexcept;

  std::chrono::nanoseconds most_;
  std::chrono::nanoseconds budget_;
  std::chrono::nanoseconds usual_wait_{0};
  std::uint64_t id_;
  std::uint32_t place_ = 0;
};

}  // namespace isthmus
