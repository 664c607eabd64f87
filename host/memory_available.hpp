// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "isthmus/error.hpp"

namespace isthmus::host {

/// Bytes of memory that can be filled now without driving the machine, or the control group (v2) of this process and
/// those above it, into the out-of-memory killer. An estimate: others allocate at the same time. Swap does not count.
/// Fails with Errc::system if /proc/meminfo cannot be read.
[[nodiscard]] Result<std::uint64_t> memory_available();

/// Fails with Errc::exhausted if `size` more bytes are not available; `what` begins the message. Memory that is
/// pre-faulted must be asked for like this first: fallocate on memory does not fail in time, it invokes the killer.
[[nodiscard]] Result<void> check_memory_available(std::string_view what, std::uint64_t size);

}  // namespace isthmus::host
