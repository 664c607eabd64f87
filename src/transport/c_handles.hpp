// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace isthmus::c {

/// The low bits of a handle. Never 0: no handle looks like NULL.
enum class CHandleKind : std::uint8_t {
  lane = 1,
  channel = 2,
  frame = 3,
  request = 4,  // not of CHandles: c_service.cpp
  pending_call = 5,
  frame_hold = 6,
  upcalls = 7,
};
inline constexpr unsigned handle_kind_bits = 8;

// NOLINTBEGIN(cppcoreguidelines-pro-type-reinterpret-cast, performance-no-int-to-ptr): handles are numbers in disguise
template <class Handle>
std::uintptr_t number(Handle* handle) noexcept {
  return reinterpret_cast<std::uintptr_t>(handle);
}
template <class Handle>
Handle* disguise(std::uintptr_t number) noexcept {
  return reinterpret_cast<Handle*>(number);
}
// NOLINTEND(cppcoreguidelines-pro-type-reinterpret-cast, performance-no-int-to-ptr)

/// The handles of one kind that the C interface gives out: numbers, made up of a slot's index and of how often the slot
/// was used. A handle that was given back is told from the slot's next one, so nothing is ever reached through a stale
/// handle. Slots are never freed. Any thread; without locks, so that a fork can happen at any time.
template <class T, CHandleKind kind>
class CHandles {
 public:
  static constexpr std::size_t slots_in_chunk = 4096;
  static constexpr std::size_t most_chunks = 4096;
  static_assert(slots_in_chunk * most_chunks <= std::size_t{1} << (32 - handle_kind_bits));

  constexpr CHandles() = default;

  /// A handle for the value. Nothing when 16 million are in use, or there is no memory.
  [[nodiscard]] std::optional<std::uintptr_t> put(T value) noexcept {
    const auto index = take_unused();
    if (!index) {
      return std::nullopt;
    }
    Slot& slot = at(*index);
    std::construct_at(slot.value(), std::move(value));
    // G1: whoever finds the handle's generation here sees the value
    const std::uint32_t generation = slot.generation.load(std::memory_order_relaxed) + 1;
    slot.generation.store(generation, std::memory_order_release);
    return std::uintptr_t{generation} << 32 | std::uintptr_t{*index} << handle_kind_bits | kind_bits;
  }

  /// What the handle stands for, until take(); null for a handle that is none of ours, or was given back.
  [[nodiscard]] T* find(std::uintptr_t handle) const noexcept {
    Slot* const slot = slot_of(handle);
    if (slot == nullptr || slot->generation.load(std::memory_order_acquire) != generation_of(handle)) {  // G1
      return nullptr;
    }
    return slot->value();
  }

  /// Takes the handle back with its value; of two threads that try, one succeeds.
  [[nodiscard]] std::optional<T> take(std::uintptr_t handle) noexcept {
    Slot* const slot = slot_of(handle);
    std::uint32_t generation = generation_of(handle);
    if (slot == nullptr ||
        !slot->generation.compare_exchange_strong(generation, generation + 1, std::memory_order_acq_rel)) {
      return std::nullopt;
    }
    std::optional<T> value(std::move(*slot->value()));
    std::destroy_at(slot->value());
    add_unused(index_of(handle));
    return value;
  }

 private:
  static constexpr std::uintptr_t kind_bits = static_cast<std::uintptr_t>(kind);

  struct Slot {
    std::atomic<std::uint32_t> generation{0};  // odd while in use
    std::atomic<std::uint32_t> next{0};        // in the list of unused slots: index + 1
    alignas(T) std::array<std::byte, sizeof(T)> storage;

    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): storage of a T that may not be there
    [[nodiscard]] T* value() noexcept { return std::launder(reinterpret_cast<T*>(storage.data())); }
  };
  using Chunk = std::array<Slot, slots_in_chunk>;

  [[nodiscard]] static std::uint32_t generation_of(std::uintptr_t handle) noexcept {
    return static_cast<std::uint32_t>(handle >> 32);
  }
  [[nodiscard]] static std::uint32_t index_of(std::uintptr_t handle) noexcept {
    return static_cast<std::uint32_t>(handle) >> handle_kind_bits;
  }
  [[nodiscard]] Slot& at(std::uint32_t index) const noexcept {
    return (*chunks_[index / slots_in_chunk].load(std::memory_order_acquire))[index % slots_in_chunk];
  }
  [[nodiscard]] Slot* slot_of(std::uintptr_t handle) const noexcept {
    const std::uint32_t index = index_of(handle);
    if ((handle & ((1U << handle_kind_bits) - 1)) != kind_bits || generation_of(handle) % 2 == 0 ||
        index >= slots_in_chunk * most_chunks ||
        chunks_[index / slots_in_chunk].load(std::memory_order_acquire) == nullptr) {
      return nullptr;
    }
    return &at(index);
  }

  // The list's head counts its changes in the upper half, so that a slot that left and came back is noticed.
  [[nodiscard]] std::optional<std::uint32_t> take_unused() noexcept {
    std::uint64_t head = unused_.load(std::memory_order_acquire);
    while (static_cast<std::uint32_t>(head) != 0) {
      const std::uint32_t index = static_cast<std::uint32_t>(head) - 1;
      const std::uint64_t rest = (((head >> 32) + 1) << 32) | at(index).next.load(std::memory_order_relaxed);
      if (unused_.compare_exchange_weak(head, rest, std::memory_order_acq_rel, std::memory_order_acquire)) {
        return index;
      }
    }
    const std::uint32_t index = made_.fetch_add(1, std::memory_order_acq_rel);
    if (index >= slots_in_chunk * most_chunks) {
      made_.fetch_sub(1, std::memory_order_acq_rel);
      return std::nullopt;
    }
    std::atomic<Chunk*>& place = chunks_[index / slots_in_chunk];
    if (place.load(std::memory_order_acquire) == nullptr) {
      auto* const made = new (std::nothrow) Chunk{};
      Chunk* none = nullptr;
      if (made == nullptr || !place.compare_exchange_strong(none, made, std::memory_order_acq_rel)) {
        delete made;
      }
      if (place.load(std::memory_order_acquire) == nullptr) {
        return std::nullopt;
      }
    }
    return index;
  }
  void add_unused(std::uint32_t index) noexcept {
    std::uint64_t head = unused_.load(std::memory_order_relaxed);
    std::uint64_t changed = 0;
    do {
      at(index).next.store(static_cast<std::uint32_t>(head), std::memory_order_relaxed);
      changed = (((head >> 32) + 1) << 32) | (index + 1);
    } while (!unused_.compare_exchange_weak(head, changed, std::memory_order_acq_rel, std::memory_order_relaxed));
  }

  std::atomic<std::uint64_t> unused_{0};
  std::atomic<std::uint32_t> made_{0};
  std::array<std::atomic<Chunk*>, most_chunks> chunks_{};
};

}  // namespace isthmus::c
