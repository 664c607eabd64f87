// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "isthmus/reference.hpp"

namespace isthmus {

class LaneState;

/// One allocation in the slab: payload memory that both sides see. Move-only; the memory is given back when the frame
/// is destroyed, which must not happen before the host is done with it (a call that named it has returned). It keeps
/// its lane attached. In a child after fork it can be read, and gives nothing back. One thread at a time.
class Frame {
 public:
  /// No memory: size() is 0, and the reference names nothing.
  Frame() noexcept = default;
  Frame(Frame&& other) noexcept;
  /// Swaps the two: what this one had is given back with `other`.
  Frame& operator=(Frame&& other) noexcept;
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;
  ~Frame();

  /// The bytes, as many as were asked for. The other side may read and write them at any time.
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::byte* data() const noexcept { return bytes_.data(); }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }

  /// What to put into a message so that the host finds the whole frame.
  [[nodiscard]] Reference reference() const noexcept { return reference_; }
  /// Names a part of the frame. \pre offset + length <= size()
  [[nodiscard]] Reference reference(std::size_t offset, std::size_t length) const noexcept {
    return Reference::make(reference_.window(), reference_.offset() + offset, length);
  }

 private:
  friend class Lane;
  friend class Channel;
  /// Gives the memory to the channel, which frees it later: a channel must not own the lane that owns it.
  Reference release() noexcept;
  Frame(std::shared_ptr<LaneState> lane, std::span<std::byte> bytes, Reference reference) noexcept;

  std::shared_ptr<LaneState> lane_;
  std::span<std::byte> bytes_;
  Reference reference_;
};

}  // namespace isthmus
