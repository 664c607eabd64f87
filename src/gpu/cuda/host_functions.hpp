// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "isthmus/upcalls.hpp"
#include "src/gpu/cuda/driver.hpp"

namespace isthmus::cuda {

/// Puts a function of the client's into a stream: at its turn the driver's own thread calls the client, and waits until
/// it has answered, or the lane is over. \pre the stream's context is current
[[nodiscard]] CUresult launch_host_function(const Driver& driver, CUstream stream, std::uint64_t token, bool callback,
                                            std::shared_ptr<Upcalls> upcalls);

}  // namespace isthmus::cuda
