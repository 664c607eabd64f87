// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace isthmus::cuda {

/// Divides chunks of device memory: numbers only, the memory itself is never touched. The smallest free piece that is
/// large enough is taken; free neighbours become one piece, but never across the border of two chunks, which the driver
/// knows apart. One thread at a time.
class DeviceHeap {
 public:
  /// What addresses are multiples of, as those of the driver are, and sizes are rounded up to. Bytes.
  static constexpr std::uint64_t granule = 512;
  [[nodiscard]] static constexpr std::uint64_t rounded(std::uint64_t bytes) noexcept {
    return (bytes + granule - 1) / granule * granule;
  }

  /// \pre multiples of granule, and no chunk that is there overlaps
  void add_chunk(std::uint64_t base, std::uint64_t bytes);
  /// Address of so many bytes, at least 1; nothing where no free piece is large enough.
  [[nodiscard]] std::optional<std::uint64_t> take(std::uint64_t bytes);
  /// Makes a piece free that take() has returned. Nothing happens where there is no such piece.
  void give(std::uint64_t address);
  /// Takes chunks out, the largest first, of which nothing is in use, until no more than `keep` bytes are unused or
  /// none is left. Their addresses.
  [[nodiscard]] std::vector<std::uint64_t> trim(std::uint64_t keep);

  /// Whether an address lies in a chunk.
  [[nodiscard]] bool holds(std::uint64_t address) const noexcept;
  /// Bytes of all chunks, and of what is free in them.
  [[nodiscard]] std::uint64_t total() const noexcept { return total_; }
  [[nodiscard]] std::uint64_t unused() const noexcept { return unused_; }

 private:
  using Pieces = std::map<std::uint64_t, std::uint64_t>;  // address -> bytes
  void insert(std::uint64_t address, std::uint64_t bytes);
  void erase(Pieces::iterator piece);

  Pieces chunks_;
  Pieces free_;
  std::unordered_map<std::uint64_t, std::uint64_t> used_;      // as Pieces
  std::set<std::pair<std::uint64_t, std::uint64_t>> by_size_;  // of free_: bytes, address
  std::uint64_t total_ = 0;
  std::uint64_t unused_ = 0;
};

}  // namespace isthmus::cuda
