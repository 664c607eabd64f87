// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "isthmus/error.hpp"

namespace isthmus::host {

/// Gives a region's file all of its memory, so that nobody gets SIGBUS later. For shm: regions, whose daemon leaves
/// that to the worker: it takes some tenths of a second for a GiB, in which other clients would wait for the daemon.
/// Errors: exhausted.
[[nodiscard]] Result<void> claim_region_memory(int region_fd);

}  // namespace isthmus::host
