// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace isthmus {

/// What a lane's payload memory is used for. The numbers belong together: they are taken at one moment.
struct SlabStatistics {
  std::uint64_t bytes_in_use = 0;       ///< in frames, as asked for by allocate()
  std::uint64_t bytes_held = 0;         ///< in frames that were given back, but that the host may still use
  std::uint64_t bytes_cached = 0;       ///< free, kept by threads for their next frames; at most 6 MiB a thread
  std::uint64_t bytes_in_channels = 0;  ///< rings and reserves
  std::uint64_t bytes_high_water = 0;   ///< most that frames and caches ever took at a time, in whole blocks
  std::uint64_t bytes_claimed = 0;      ///< in extents that this lane holds
  std::uint64_t bytes_claimable = 0;    ///< in extents of the region that nobody holds

  /// The part of the claimed memory that does nothing for the program: free and cached blocks, and what was rounded
  /// up. 0 (none) to 1.
  [[nodiscard]] double fragmentation() const noexcept {
    const std::uint64_t used = bytes_in_use + bytes_held + bytes_in_channels;
    return bytes_claimed == 0 ? 0 : 1 - static_cast<double>(used) / static_cast<double>(bytes_claimed);
  }
};

}  // namespace isthmus
