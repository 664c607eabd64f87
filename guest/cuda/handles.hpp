// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "src/gpu/cuda/messages.hpp"

namespace isthmus::cuda {

/// The objects of one kind that the program has handles of. A handle is a number in the form of a pointer, and the
/// object's name in messages:
///
///     bits 0..23 index | 24..51 generation, at least 1 | 52..59 kind
///
/// So a stale, foreign or wild handle is found out without being followed, and CU_STREAM_LEGACY and its like are no
/// handles. Places are reused, never given back. Any thread; find() takes no lock.
template <class Object, std::uint8_t kind>
class HandleTable {
 public:
  HandleTable() = default;
  HandleTable(const HandleTable&) = delete;
  HandleTable& operator=(const HandleTable&) = delete;
  HandleTable(HandleTable&&) = delete;
  HandleTable& operator=(HandleTable&&) = delete;
  ~HandleTable() {
    for (auto& chunk : chunks_) {
      delete[] chunk.load(std::memory_order_relaxed);
    }
  }

  /// A name for a new object; nothing when all are taken. It is not found before publish().
  [[nodiscard]] std::optional<Id> reserve() {
    const std::scoped_lock lock(mutex_);
    std::uint32_t index = next_;
    if (!free_.empty()) {
      index = free_.back();
      free_.pop_back();
    } else {
      if (next_ == most) {
        return std::nullopt;
      }
      if (next_ % chunk_size == 0) {
        chunks_.at(next_ / chunk_size).store(new Place[chunk_size], std::memory_order_release);
      }
      ++next_;
    }
    Place& place = *place_at(index);
    place.generation = place.generation % last_generation + 1;
    return std::uint64_t{kind} << 52 | std::uint64_t{place.generation} << 24 | index;
  }
  void publish(Id id, Object object) {
    Place& place = *place_at(index_of(id));
    place.object = std::move(object);
    place.id.store(id, std::memory_order_release);
  }
  /// Gives up a name that was not published.
  void cancel(Id id) {
    const std::scoped_lock lock(mutex_);
    free_.push_back(index_of(id));
  }
  /// Both in one.
  [[nodiscard]] std::optional<Id> make(Object object) {
    const auto id = reserve();
    if (id) {
      publish(*id, std::move(object));
    }
    return id;
  }

  /// The object, or null. It stays memory for ever; who destroys an object while another thread uses it has lost.
  [[nodiscard]] Object* find(Id id) const noexcept {
    const std::uint32_t index = index_of(id);
    Place* const chunk = chunks_.at(index / chunk_size).load(std::memory_order_acquire);
    if (chunk == nullptr) {
      return nullptr;
    }
    Place& place = chunk[index % chunk_size];
    return id != 0 && place.id.load(std::memory_order_acquire) == id ? &place.object : nullptr;
  }
  template <class Handle>
  [[nodiscard]] Object* find(Handle* handle) const noexcept {
    return find(id_of(handle));
  }

  /// False where there is none of that name.
  bool remove(Id id) {
    Place* const place = place_at(index_of(id));
    Id expected = id;
    if (id == 0 || place == nullptr || !place->id.compare_exchange_strong(expected, 0, std::memory_order_acq_rel)) {
      return false;
    }
    const std::scoped_lock lock(mutex_);
    free_.push_back(index_of(id));
    return true;
  }
  /// Removes all of which `is_gone(object)` says so.
  template <class F>
  void remove_if(F is_gone) {
    std::vector<Id> gone;
    {
      const std::scoped_lock lock(mutex_);
      for (std::uint32_t i = 0; i < next_; ++i) {
        if (const Id id = place_at(i)->id.load(std::memory_order_acquire); id != 0 && is_gone(place_at(i)->object)) {
          gone.push_back(id);
        }
      }
    }
    for (const Id id : gone) {
      remove(id);
    }
  }

  template <class Handle>
  [[nodiscard]] static Id id_of(Handle* handle) noexcept {
    return reinterpret_cast<std::uintptr_t>(handle);
  }

 private:
  static constexpr std::uint32_t chunk_size = 1024;
  static constexpr std::uint32_t most = std::uint32_t{1} << 24;
  static constexpr std::uint32_t last_generation = (std::uint32_t{1} << 28) - 1;

  struct Place {
    std::atomic<Id> id{0};  // 0 while there is no object
    std::uint32_t generation = 0;
    Object object;
  };
  [[nodiscard]] static std::uint32_t index_of(Id id) noexcept { return static_cast<std::uint32_t>(id) & (most - 1); }
  [[nodiscard]] Place* place_at(std::uint32_t index) const noexcept {
    Place* const chunk = chunks_.at(index / chunk_size).load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : chunk + index % chunk_size;
  }

  std::array<std::atomic<Place*>, most / chunk_size> chunks_{};
  std::mutex mutex_;  // guards what follows, and generations
  std::uint32_t next_ = 0;
  std::vector<std::uint32_t> free_;
};

/// A handle as the program sees it.
template <class Handle>
[[nodiscard]] Handle handle_of(Id id) noexcept {
  return reinterpret_cast<Handle>(id);  // NOLINT(performance-no-int-to-ptr): handles are numbers
}

}  // namespace isthmus::cuda
