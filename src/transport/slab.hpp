// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "isthmus/error.hpp"
#include "isthmus/lane.hpp"
#include "src/transport/region.hpp"

namespace isthmus {

/// One process's allocator over the extents that its lane claims. Its own books are private memory: what the other
/// side writes into frames cannot confuse it. Any thread.
///
/// Up to 1 MiB an allocation is a power-of-two block (256 bytes at least) of an extent cut up for that size; above, it
/// is a run of whole extents.
class Slab {
 public:
  /// `owner` is the word that marks extents as this lane's (abi::owner_tag).
  Slab(const Region& region, std::uint64_t owner);

  /// Offset of a block of at least `bytes` in the region. Errors: invalid_argument (0), exhausted.
  [[nodiscard]] Result<std::uint64_t> allocate(std::size_t bytes);
  /// \pre `offset` came from allocate(bytes) and was not freed
  void free(std::uint64_t offset, std::size_t bytes) noexcept;

  /// Offset of a block for a channel. Errors: exhausted.
  [[nodiscard]] Result<std::uint64_t> allocate_channel();
  void free_channel(std::uint64_t offset) noexcept;

  [[nodiscard]] SlabStatistics statistics() const;

 private:
  static constexpr std::uint64_t smallest_block = 256;
  static constexpr std::uint64_t largest_block = abi::extent_size / 2;
  static constexpr std::size_t block_classes = 13;  // 256 B, 512 B, ... 1 MiB
  static constexpr std::size_t channel_class = block_classes;

  // One extent that is cut up into blocks of one size.
  struct CutExtent {
    std::size_t size_class = 0;
    std::vector<std::uint16_t> free_blocks;  // indices; the last is given out next
    std::size_t place = 0;                   // its index in with_room_[size_class], while it has free blocks
  };

  [[nodiscard]] static std::size_t class_of(std::size_t bytes) noexcept;
  [[nodiscard]] static std::uint64_t block_size(std::size_t size_class) noexcept;
  [[nodiscard]] Result<std::uint64_t> take_block(std::size_t size_class);
  void return_block(std::size_t size_class, std::uint64_t offset) noexcept;
  [[nodiscard]] bool is_wholly_free(std::size_t size_class, std::uint64_t extent) const noexcept;
  void release_cut(std::size_t size_class, std::uint64_t extent) noexcept;
  /// Gives extents back that are cut up and wholly free. False when there are none.
  bool release_unused() noexcept;
  [[nodiscard]] Result<std::uint64_t> claim_run(std::uint64_t extents);
  [[nodiscard]] Result<std::uint64_t> find_run(std::uint64_t extents);
  void release_run(std::uint64_t first, std::uint64_t extents) noexcept;
  [[nodiscard]] std::unexpected<Error> exhausted(std::uint64_t bytes) const;

  const Region* region_;
  std::uint64_t owner_;
  mutable std::mutex mutex_;
  std::vector<CutExtent> cut_;                                           // by extent index
  std::array<std::vector<std::uint64_t>, block_classes + 1> with_room_;  // extents that have free blocks, by class
  std::uint64_t bytes_in_use_ = 0;
  std::uint64_t extents_claimed_ = 0;
};

}  // namespace isthmus
