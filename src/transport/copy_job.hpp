// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "isthmus/bulk_copy.hpp"

namespace isthmus {

/// What is to be copied now, in pieces that several threads take. Pieces belong to a slot (the chunk's buffer); a slot
/// is copied when all its pieces are. All but the two marked methods are called under the crew's lock, or by the only
/// thread.
class CopyJob {
 public:
  struct Piece {
    std::byte* to;
    const std::byte* from;
    std::size_t bytes;
    std::size_t slot;
  };

  /// `share` is what one thread will copy, about: pieces are a small part of it.
  CopyJob(std::size_t slots, bool streaming, std::size_t share)
      : left_(slots), streaming_(streaming), piece_size_(std::clamp(share / 16, smallest_piece, largest_piece)) {}

  /// Adds memory to copy. \pre the slot is copied
  void open(std::byte* to, const std::byte* from, std::size_t bytes, std::size_t slot);
  /// Takes a piece, if one is left.
  [[nodiscard]] bool take(Piece& piece) noexcept;
  /// Counts a piece as copied. True when its slot is copied with it.
  bool done(const Piece& piece) noexcept;
  /// Lets nobody take any more pieces.
  void drop() noexcept { open_.clear(); }

  /// Copies a piece. Any thread, without the lock.
  void copy(const Piece& piece) const noexcept;
  /// Whether all pieces of a slot are copied. Any thread, without the lock.
  [[nodiscard]] bool copied(std::size_t slot) const noexcept {
    return left_[slot].load(std::memory_order_acquire) == 0;  // K2
  }

  [[nodiscard]] std::size_t piece_size() const noexcept { return piece_size_; }

 private:
  // Small enough to share 2 MiB out, and so that the last ones end at about the same time; large enough that taking one
  // costs nothing beside copying it.
  static constexpr std::size_t smallest_piece = std::size_t{128} << 10;
  static constexpr std::size_t largest_piece = std::size_t{512} << 10;

  std::deque<Piece> open_;
  std::vector<std::atomic<std::size_t>> left_;  // bytes of each slot that are not copied yet
  bool streaming_;
  std::size_t piece_size_;
};

}  // namespace isthmus
