// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "host/daemon/worker_process.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// What one client of a shm: endpoint gets: a region of its own, and the worker that serves it.
struct ShmLane {
  UniqueFd region;
  UniqueFd kick;  ///< eventfd that the client rings
  std::unique_ptr<WorkerProcess> worker;
  std::uint64_t address = 0;  ///< where both sides had better map the region
};

}  // namespace isthmus::host
