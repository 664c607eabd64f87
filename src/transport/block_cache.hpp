// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "isthmus/abi.hpp"
#include "src/transport/cache_lock.hpp"

namespace isthmus {

/// The sizes in which a slab cuts its extents up: powers of two from 256 bytes to 1 MiB, and channel blocks.
struct BlockClasses {
  static constexpr std::uint64_t smallest = 256;
  static constexpr std::uint64_t largest = abi::extent_size / 2;
  static constexpr std::size_t payload_count = 13;  ///< 256 B, 512 B, ... 1 MiB
  static constexpr std::size_t channel = payload_count;
  static constexpr std::size_t count = payload_count + 1;

  /// The class whose blocks hold that many bytes. \pre 0 < bytes <= largest
  [[nodiscard]] static constexpr std::size_t of(std::size_t bytes) noexcept {
    return static_cast<std::size_t>(std::bit_width((bytes - 1) / smallest));
  }
  [[nodiscard]] static constexpr std::uint64_t size(std::size_t size_class) noexcept {
    return size_class == channel ? sizeof(abi::ChannelBlock) : smallest << size_class;
  }
};
static_assert(BlockClasses::size(BlockClasses::payload_count - 1) == BlockClasses::largest);

/// The free blocks of one class in a thread's cache; the last in is the first out, since it is the warmest.
struct Magazine {
  static constexpr std::uint32_t most = 64;

  std::uint32_t count = 0;
  std::array<std::uint32_t, most> units{};  ///< of 256 bytes, from the region's start: 64 GiB are 2^28
};

/// One thread's blocks of one slab: what makes allocate() and free() quick. Only that thread takes from it and adds to
/// it; others empty it under the lock when the slab is exhausted, so that nothing is out of reach in a thread that
/// sleeps.
///
/// Bound: at most 64 blocks, 1 MiB, or a 64th of the region in each class, whatever is least: 6 MiB in a thread that
/// used every size. Blocks of 512 KiB and more are not cached.
struct BlockCache {
  static constexpr std::size_t classes = BlockClasses::payload_count - 2;  ///< up to 256 KiB
  static constexpr std::uint64_t largest = BlockClasses::size(classes - 1);

  CacheLock lock;  ///< guards what follows
  // What this thread did, as differences: a block may be freed by another thread than allocated it.
  std::int64_t blocks_in_use = 0;
  std::int64_t bytes_in_use = 0;  ///< as asked for
  std::int64_t bytes_held = 0;
  std::array<Magazine, classes> magazines;

  /// How many blocks each magazine may hold.
  [[nodiscard]] static constexpr std::array<std::uint8_t, classes> capacities(std::uint64_t region_size) noexcept {
    constexpr std::uint64_t most_bytes = std::uint64_t{1} << 20;
    std::array<std::uint8_t, classes> result{};
    for (std::size_t i = 0; i < classes; ++i) {
      const std::uint64_t fit = std::min(most_bytes, region_size / 64) / BlockClasses::size(i);
      result[i] = static_cast<std::uint8_t>(std::min<std::uint64_t>(fit, Magazine::most));
    }
    return result;
  }
};

}  // namespace isthmus
