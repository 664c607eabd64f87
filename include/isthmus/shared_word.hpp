// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <type_traits>

namespace isthmus {

class RingConsumer;

/// A value that the other side of the shared memory could have set to anything.
///
/// It was loaded exactly once; the number inside can only be had together with the check that makes it harmless, or by
/// any(), which says that none is needed. Only RingConsumer copies whole descriptors into private memory, and then
/// parses the copy.
template <class T>
class [[nodiscard]] Untrusted {
  static_assert(std::is_unsigned_v<T>);

 public:
  constexpr explicit Untrusted(T value) noexcept : value_(value) {}

  /// The value, if it does not exceed the limit.
  [[nodiscard]] constexpr std::optional<T> at_most(T limit) const noexcept {
    return value_ <= limit ? std::optional<T>(value_) : std::nullopt;
  }

  /// How far the value lies behind `mine`, if that is no more than `max` (positions: wrap-around is harmless,
  /// because unsigned differences are taken modulo 2^N).
  [[nodiscard]] constexpr std::optional<T> behind(T mine, T max) const noexcept {
    const T distance = static_cast<T>(mine - value_);
    return distance <= max ? std::optional<T>(distance) : std::nullopt;
  }

  /// The value, where every one is acceptable: to show it, to compare it, or for a check that follows.
  [[nodiscard]] constexpr T any() const noexcept { return value_; }

  [[nodiscard]] constexpr bool equals(T expected) const noexcept { return value_ == expected; }

  /// The masked bits: for bitmaps, of which every combination is acceptable.
  [[nodiscard]] constexpr T bits(T mask) const noexcept { return static_cast<T>(value_ & mask); }

 private:
  friend class RingConsumer;
  [[nodiscard]] constexpr T snapshot() const noexcept { return value_; }

  T value_;
};

#if defined(__SANITIZE_THREAD__)
#define ISTHMUS_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ISTHMUS_THREAD_SANITIZER 1
#endif
#endif

/// The full (sequentially consistent) fence of the sleep protocol; docs/memory-model.md names its two uses.
/// GCC rejects fences under ThreadSanitizer; there, a locked read-modify-write of a private word does the same on x86.
inline void full_fence() noexcept {
#if defined(ISTHMUS_THREAD_SANITIZER)
  static thread_local std::atomic<std::uint32_t> private_word{0};
  private_word.fetch_add(1, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

/// One naturally aligned word of shared memory. The only way to read or write shared memory outside payload frames:
/// each load happens once, and what was loaded comes back as Untrusted. Both sides use it, since the client checks the
/// host as well. Lock-free and address-free; any thread.
template <class T>
class SharedWord {
  static_assert(std::is_same_v<T, std::uint32_t> || std::is_same_v<T, std::uint64_t>);
  static_assert(std::atomic_ref<T>::is_always_lock_free);

 public:
  Untrusted<T> load_relaxed() const noexcept { return Untrusted<T>(ref().load(std::memory_order_relaxed)); }
  Untrusted<T> load_acquire() const noexcept { return Untrusted<T>(ref().load(std::memory_order_acquire)); }
  void store_relaxed(T value) noexcept { ref().store(value, std::memory_order_relaxed); }
  void store_release(T value) noexcept { ref().store(value, std::memory_order_release); }
  Untrusted<T> fetch_add(T value) noexcept { return Untrusted<T>(ref().fetch_add(value, std::memory_order_acq_rel)); }
  Untrusted<T> fetch_or(T value) noexcept { return Untrusted<T>(ref().fetch_or(value, std::memory_order_acq_rel)); }
  Untrusted<T> exchange(T value) noexcept { return Untrusted<T>(ref().exchange(value, std::memory_order_acq_rel)); }
  /// True when the word held `expected` and now holds `desired`.
  bool replace(T expected, T desired) noexcept {
    return ref().compare_exchange_strong(expected, desired, std::memory_order_acq_rel, std::memory_order_relaxed);
  }
  /// For the futex system call, which reads the word in the kernel.
  [[nodiscard]] T* address() noexcept { return &raw_; }

 private:
  [[nodiscard]] std::atomic_ref<T> ref() const noexcept { return std::atomic_ref<T>(raw_); }

  mutable T raw_;
};

}  // namespace isthmus
