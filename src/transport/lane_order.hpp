// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "isthmus/abi.hpp"

namespace isthmus {

/// How far each channel of a lane has been executed: what fences are compared with. Private memory of the worker. Each
/// entry is written by one twin; any thread reads.
///
/// Positions of a channel number go on where the thread before left them, so that a fence stays right when the number
/// has been given to another thread meanwhile.
class LaneOrder {
 public:
  enum class Verdict : std::uint8_t {
    reached,
    wait,
    impossible,  ///< names what no honest client names: the lane is to end
  };

  /// To be called before the client learns that the channel is open. Where its positions start.
  [[nodiscard]] std::uint64_t open(std::uint32_t channel) noexcept {
    entries_.at(channel).known.store(true, std::memory_order_relaxed);
    return executed(channel);
  }

  [[nodiscard]] std::uint64_t executed(std::uint32_t channel) const noexcept {
    return entries_.at(channel).executed.load(std::memory_order_acquire);  // O1: what was executed comes before
  }

  void advance(std::uint32_t channel, std::uint64_t position) noexcept {
    entries_.at(channel).executed.store(position, std::memory_order_release);  // O1
  }

  /// \param asking the channel whose request carries the fence
  [[nodiscard]] Verdict look(abi::Fence fence, std::uint32_t asking) const noexcept {
    if (fence.channel >= abi::max_channels || fence.channel == asking ||
        !entries_.at(fence.channel).known.load(std::memory_order_relaxed)) {
      return Verdict::impossible;
    }
    const std::uint64_t ahead = (fence.position - executed(fence.channel)) & abi::Fence::position_mask;
    if (ahead == 0 || ahead > abi::Fence::position_mask / 2) {
      return Verdict::reached;
    }
    return ahead <= farthest_ahead ? Verdict::wait : Verdict::impossible;
  }

 private:
  // The slots of a request that is being executed are free already, and a whole ring can have been written since.
  static constexpr std::uint64_t farthest_ahead = abi::max_descriptor_slots + abi::ring_slots;

  struct alignas(abi::writer_separation) Entry {
    std::atomic<std::uint64_t> executed{0};
    std::atomic<bool> known{false};
  };

  std::array<Entry, abi::max_channels> entries_;
};

}  // namespace isthmus
