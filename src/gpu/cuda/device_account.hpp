// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "isthmus/plugin.hpp"
#include "src/gpu/cuda/cu.hpp"

namespace isthmus::cuda {

/// What of the VM's device memory this lane has, where that is limited: asked for before the driver is, and given back
/// after the driver has it back. Without a limit it does nothing. Any thread.
class DeviceAccount {
 public:
  /// `limit` may be null: none.
  explicit DeviceAccount(std::shared_ptr<plugin::DeviceMemory> limit) noexcept : limit_(std::move(limit)) {}

  /// Has the driver allocate: `allocate()` answers a CUresult, and `key()` then names what was made, by an address or
  /// handle that nothing else in the lane has. CUDA_ERROR_OUT_OF_MEMORY where the limit is reached.
  template <class Allocate, class Key>
  [[nodiscard]] CUresult spend(std::uint64_t bytes, CUcontext context, Allocate allocate, Key key) {
    if (limit_ == nullptr) {
      return allocate();
    }
    const std::uint64_t counted = counted_as(bytes);
    if (!limit_->take(counted)) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const CUresult code = allocate();
    if (code != CUDA_SUCCESS) {
      limit_->give(counted);
      return code;
    }
    const std::scoped_lock lock(mutex_);
    entries_.insert_or_assign(key(), Entry{.context = context, .bytes = counted});
    return code;
  }
  /// Has the driver free what was spent under that key: `free()` answers a CUresult.
  template <class Free>
  [[nodiscard]] CUresult settle(std::uint64_t key, Free free) {
    // Known before it is free: another thread may get the address as soon as the driver has it back.
    const auto entry = take_out(key);
    const CUresult code = free();
    if (entry && code == CUDA_SUCCESS) {
      limit_->give(entry->bytes);
    } else if (entry) {
      const std::scoped_lock lock(mutex_);
      entries_.insert_or_assign(key, *entry);
    }
    return code;
  }
  /// The context is gone, and all that was in it.
  void forget(CUcontext context);

  /// Whether there is a limit: then what takes memory without asking, as graphs do whenever they run, is refused.
  [[nodiscard]] bool has_limit() const noexcept { return limit_ != nullptr; }
  /// A device's free and total bytes as the client is to see them.
  void limit(std::uint64_t& free, std::uint64_t& total) const;
  [[nodiscard]] std::uint64_t limited(std::uint64_t total) const;

 private:
  struct Entry {
    CUcontext context;
    std::uint64_t bytes;
  };
  [[nodiscard]] static std::uint64_t counted_as(std::uint64_t bytes) noexcept;
  [[nodiscard]] std::optional<Entry> take_out(std::uint64_t key);

  std::shared_ptr<plugin::DeviceMemory> limit_;
  std::mutex mutex_;
  std::map<std::uint64_t, Entry> entries_;
};

/// Bytes that an array takes at least, with that many levels (0 or 1: one); UINT64_MAX where the numbers overflow.
[[nodiscard]] std::uint64_t bytes_of_array(const CUDA_ARRAY3D_DESCRIPTOR& array, std::uint64_t levels) noexcept;

}  // namespace isthmus::cuda
