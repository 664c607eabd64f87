// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "isthmus/abi.hpp"
#include "isthmus/error.hpp"

namespace isthmus {

/// What the daemon decides about a region.
struct RegionSpec {
  std::string name;                ///< 1..63 printable characters
  std::uint64_t size = 0;          ///< bytes; a power of two in [abi::min_region_size, abi::max_region_size]
  std::uint32_t lane_count = 1;    ///< 1..abi::max_lanes; a shm: region has one
  std::uint64_t base_address = 0;  ///< where both sides should map it; 2 MiB aligned, 0 for anywhere
};

// The daemon maps no region, so that nobody can raise SIGBUS in it: these functions use pread and pwrite. They touch
// single bytes or memory that nobody uses yet, so no tearing can matter. Daemon only, one thread.

/// Writes the header and the lanes' first epochs into a region whose bytes are all zero.
[[nodiscard]] Result<void> format_region(int fd, const RegionSpec& spec);

/// Takes over a region that an earlier daemon formatted: checks that it fits the spec, closes lanes that were being
/// served (their workers are gone) and gives the region another epoch, so that clients of the old daemon notice.
[[nodiscard]] Result<void> adopt_region(int fd, const RegionSpec& spec);

/// Says in the header whether a daemon serves the region.
[[nodiscard]] Result<void> set_daemon_present(int fd, bool present);

/// Marks a lane as closed, with the reason for the client to read. To be called when its worker has been reaped.
[[nodiscard]] Result<void> close_lane(int fd, std::uint32_t lane, std::string_view reason);

/// Whether the lane says that a client has claimed it and no worker serves it yet.
[[nodiscard]] Result<bool> is_lane_waiting(int fd, std::uint32_t lane);

/// Whether the lane says that a worker serves it.
[[nodiscard]] Result<bool> is_lane_served(int fd, std::uint32_t lane);

/// Marks every claimed lane as dead, on proof that no process of the VM exists any more: its QEMU is gone.
[[nodiscard]] Result<void> mark_all_clients_dead(int fd, std::uint32_t lane_count);

}  // namespace isthmus
