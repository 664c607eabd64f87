// SPDX-License-Identifier: Apache-2.0
#include "src/transport/copy_job.hpp"

#include <algorithm>

#include "src/transport/streaming_copy.hpp"

namespace isthmus {

void CopyJob::open(std::byte* to, const std::byte* from, std::size_t bytes, std::size_t slot) {
  left_.at(slot).store(bytes, std::memory_order_relaxed);
  open_.push_back({.to = to, .from = from, .bytes = bytes, .slot = slot});
}

bool CopyJob::take(Piece& piece) noexcept {
  if (open_.empty()) {
    return false;
  }
  Piece& first = open_.front();
  piece = first;
  piece.bytes = std::min(first.bytes, piece_size_);
  first.to += piece.bytes;
  first.from += piece.bytes;
  first.bytes -= piece.bytes;
  if (first.bytes == 0) {
    open_.pop_front();
  }
  return true;
}

bool CopyJob::done(const Piece& piece) noexcept {
  return left_[piece.slot].fetch_sub(piece.bytes, std::memory_order_release) == piece.bytes;  // K1
}

void CopyJob::copy(const Piece& piece) const noexcept {
  if (streaming_) {
    streaming_copy(piece.to, piece.from, piece.bytes);
  } else {
    cached_copy(piece.to, piece.from, piece.bytes);
  }
}

}  // namespace isthmus
