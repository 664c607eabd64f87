// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace isthmus::host {

/// What the event loop waits with.
enum class LoopEngine : std::uint8_t {
  automatic,  ///< io_uring where the kernel lets us have it, epoll otherwise
  io_uring,
  epoll,
};

}  // namespace isthmus::host
