// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

namespace isthmus {

class RetireGate;

/// Keeps the frames that a post names from the client until a device is done with them (Request::hold_frames()). Frames
/// of later posts of the same channel wait behind it: release soon. Move-only. Made in the handler; released, by its
/// destruction, by any thread, also when the lane is over.
class FrameHold {
 public:
  FrameHold() noexcept = default;
  FrameHold(FrameHold&& other) noexcept : gate_(std::move(other.gate_)), position_(std::exchange(other.position_, 0)) {}
  FrameHold& operator=(FrameHold&& other) noexcept {
    std::swap(gate_, other.gate_);
    std::swap(position_, other.position_);
    return *this;
  }
  FrameHold(const FrameHold&) = delete;
  FrameHold& operator=(const FrameHold&) = delete;
  ~FrameHold();

  /// Whether anything is held: not by one that was moved from, made without a request, or made for a call.
  [[nodiscard]] explicit operator bool() const noexcept { return gate_ != nullptr; }

 private:
  friend class Twin;
  FrameHold(std::shared_ptr<RetireGate> gate, std::uint64_t position) noexcept;

  std::shared_ptr<RetireGate> gate_;
  std::uint64_t position_ = 0;  // of the post, in its ring
};

}  // namespace isthmus
