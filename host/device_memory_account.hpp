// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>

namespace isthmus::host {

/// How much device memory the workers of one VM, or of one shm endpoint, may have together, and which of them has how
/// much. One thread, the daemon's loop's.
class DeviceMemoryAccount {
 public:
  /// Whoever takes memory, as long as it lives: an address of its own.
  using Holder = const void*;

  /// `total`, and what is to be taken of it for each context that a worker makes on a device, in bytes; 0: nothing.
  DeviceMemoryAccount(std::uint64_t total, std::uint64_t per_context) noexcept
      : total_(total), per_context_(per_context) {}

  /// The one that a [[vm]] or [[shm]] asks for; null where it has no limit.
  template <class Config>
  [[nodiscard]] static std::shared_ptr<DeviceMemoryAccount> of(const Config& config) {
    return config.device_memory == 0
               ? nullptr
               : std::make_shared<DeviceMemoryAccount>(config.device_memory, config.context_memory);
  }

  /// False, and nothing is taken, where not so much is left.
  [[nodiscard]] bool take(Holder holder, std::uint64_t bytes) {
    if (bytes > total_ - used_) {
      return false;
    }
    used_ += bytes;
    held_[holder] += bytes;
    return true;
  }
  /// No more than the holder has. Returns false where it named more.
  bool give(Holder holder, std::uint64_t bytes) {
    const auto found = held_.find(holder);
    if (found == held_.end() || bytes > found->second) {
      return false;
    }
    found->second -= bytes;
    used_ -= bytes;
    return true;
  }
  /// The holder is gone, and all that it had is free.
  void forget(Holder holder) {
    if (const auto found = held_.find(holder); found != held_.end()) {
      used_ -= found->second;
      held_.erase(found);
    }
  }

  [[nodiscard]] std::uint64_t total() const noexcept { return total_; }
  [[nodiscard]] std::uint64_t per_context() const noexcept { return per_context_; }
  [[nodiscard]] std::uint64_t used() const noexcept { return used_; }

 private:
  std::uint64_t total_;
  std::uint64_t per_context_;
  std::uint64_t used_ = 0;  // the sum of held_, never above total_
  std::map<Holder, std::uint64_t> held_;
};

}  // namespace isthmus::host
