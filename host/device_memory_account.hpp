// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

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
    held_[holder].bytes += bytes;
    return true;
  }
  /// Whether there would be so much for it once those are gone of whom leaves() was told.
  [[nodiscard]] bool will_have(Holder holder, std::uint64_t bytes) const {
    std::uint64_t soon = total_ - used_;
    for (const auto& [other, held] : held_) {
      soon += held.leaving && other != holder ? held.bytes : 0;
    }
    return bytes <= soon;
  }
  /// No more than the holder has. Returns false where it named more.
  bool give(Holder holder, std::uint64_t bytes) {
    const auto found = held_.find(holder);
    if (found == held_.end() || bytes > found->second.bytes) {
      return false;
    }
    found->second.bytes -= bytes;
    used_ -= bytes;
    tell_waiting();
    return true;
  }
  /// The holder is about to go.
  void leaves(Holder holder) { held_[holder].leaving = true; }
  /// The holder is gone, and all that it had is free.
  void forget(Holder holder) {
    stop_waiting(holder);
    if (const auto found = held_.find(holder); found != held_.end()) {
      used_ -= found->second.bytes;
      held_.erase(found);
      tell_waiting();
    }
  }

  /// Calls `changed` whenever there is more than before; it may take, and stop waiting. Who waits longest is first.
  void wait(Holder holder, std::function<void()> changed) { waiting_.emplace_back(holder, std::move(changed)); }
  void stop_waiting(Holder holder) {
    std::erase_if(waiting_, [holder](const auto& one) { return one.first == holder; });
  }

  [[nodiscard]] std::uint64_t total() const noexcept { return total_; }
  [[nodiscard]] std::uint64_t per_context() const noexcept { return per_context_; }
  [[nodiscard]] std::uint64_t used() const noexcept { return used_; }

 private:
  struct Held {
    std::uint64_t bytes = 0;
    bool leaving = false;
  };
  void tell_waiting() {
    for (const auto& [holder, changed] : std::vector(waiting_)) {
      changed();
    }
  }

  std::uint64_t total_;
  std::uint64_t per_context_;
  std::uint64_t used_ = 0;  // the sum of what is held, never above total_
  std::map<Holder, Held> held_;
  std::vector<std::pair<Holder, std::function<void()>>> waiting_;
};

}  // namespace isthmus::host
