// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "isthmus/error.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// Makes the region of one shm: client: a memfd without a name in the file system, `size` bytes, zero, not executable,
/// and sealed against shrinking, growing and further seals, so that no holder can make another one fault.
///
/// Its memory is looked for, but not taken: that takes about 50 ms for 256 MiB, and is the worker's task
/// (claim_region_memory). Fails with Errc::exhausted if the memory is not available.
[[nodiscard]] Result<UniqueFd> make_shm_region(std::string_view name, std::uint64_t size);

}  // namespace isthmus::host
