// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "isthmus/abi.hpp"
#include "isthmus/reference.hpp"

namespace isthmus {

class Reserve;

/// One frame of a channel's reserve. Move-only; goes back to the reserve, which must outlive it, when it is destroyed:
/// not before the host is done with it. The channel's thread.
class ReserveFrame {
 public:
  ReserveFrame(ReserveFrame&& other) noexcept
      : reserve_(std::exchange(other.reserve_, nullptr)), number_(other.number_) {}
  ReserveFrame& operator=(ReserveFrame&& other) noexcept {
    std::swap(reserve_, other.reserve_);
    std::swap(number_, other.number_);
    return *this;
  }
  ReserveFrame(const ReserveFrame&) = delete;
  ReserveFrame& operator=(const ReserveFrame&) = delete;
  inline ~ReserveFrame();

  [[nodiscard]] inline std::span<std::byte> bytes() const noexcept;
  [[nodiscard]] inline Reference reference() const noexcept;

 private:
  friend class Reserve;
  ReserveFrame(Reserve& reserve, std::size_t number) noexcept : reserve_(&reserve), number_(number) {}

  Reserve* reserve_;
  std::size_t number_;
};

/// The two frames of 64 KiB that every channel has for itself. No allocation can take them, so a copy of any size makes
/// progress through them when the slab is full. The channel's thread.
class Reserve {
 public:
  static constexpr std::size_t frame_size = abi::ChannelBlock::reserve_frame_size;
  static constexpr std::size_t frames = abi::ChannelBlock::reserve_frames;

  /// `block_offset`: where the channel's block lies in the region.
  Reserve(abi::ChannelBlock& block, std::uint64_t block_offset) noexcept
      : block_(&block), block_offset_(block_offset) {}

  /// A frame, unless both are out.
  [[nodiscard]] std::optional<ReserveFrame> take() noexcept {
    for (std::size_t number = 0; number < frames; ++number) {
      if (!out_[number]) {
        out_[number] = true;
        return ReserveFrame(*this, number);
      }
    }
    return std::nullopt;
  }

 private:
  friend class ReserveFrame;

  abi::ChannelBlock* block_;
  std::uint64_t block_offset_;
  std::bitset<frames> out_;
};

ReserveFrame::~ReserveFrame() {
  if (reserve_ != nullptr) {
    reserve_->out_[number_] = false;
  }
}

std::span<std::byte> ReserveFrame::bytes() const noexcept {
  return std::span(reserve_->block_->reserve).subspan(number_ * Reserve::frame_size, Reserve::frame_size);
}

Reference ReserveFrame::reference() const noexcept {
  return Reference::make(0,
                         reserve_->block_offset_ + offsetof(abi::ChannelBlock, reserve) + number_ * Reserve::frame_size,
                         Reserve::frame_size);
}

}  // namespace isthmus
