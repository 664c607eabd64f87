// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isthmus/abi.hpp"
#include "isthmus/error.hpp"
#include "src/transport/region.hpp"

namespace isthmus {

/// Which boot of which kernel this is; two words of /proc/sys/kernel/random/boot_id.
[[nodiscard]] std::array<std::uint64_t, 2> boot_id() noexcept;

/// Variables of an environment ("KEY=VALUE") as a claim carries them. Errors: invalid_argument (no such form, or more
/// than abi::ClaimEnvironment::capacity).
[[nodiscard]] Result<std::string> join_environment(std::span<const std::string> variables);
/// The variables of a claim, read once: those of that form and of printable characters alone. Whether their names are
/// any of the client's business is the caller's to know.
[[nodiscard]] std::vector<std::string> read_environment(const abi::ClaimEnvironment& shared);

/// Claims a lane of a region that only this process uses (shm:); `environment` is of join_environment(). Errors: busy.
[[nodiscard]] Result<void> claim_lane(const Region& region, std::uint32_t lane, std::string_view environment = {});

/// Claims any free lane of a region that the processes of a VM share; `lock_file` is the region's file in this VM.
///
/// Each lane has one byte of that file, which its owner keeps locked (an open-file-description lock): the kernel
/// releases it when the process ends, however it ends, or the VM boots anew, and nobody else can. So a claimed lane
/// whose byte is not locked has lost its owner: that is the proof on which it may be reused, valid across containers
/// too, where process ids are not. The file description must not be mapped: a mapping keeps its locks alive in children
/// after fork. Errors: exhausted, unsupported (no locks on this file).
[[nodiscard]] Result<std::uint32_t> claim_any_lane(const Region& region, int lock_file,
                                                   std::string_view environment = {});

/// Marks the lanes whose owners are proven dead, for the host to clean up. Returns how many were marked.
/// `lock_file` must be an open file description that holds no lane itself.
std::uint32_t mark_dead_lanes(const Region& region, int lock_file);

/// Whether some lane will be free soon: it has no owner any more, and only the host has still to clean it up, or its
/// last owner to let go of the lock.
[[nodiscard]] bool lanes_come_free(const Region& region);

}  // namespace isthmus
