// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "isthmus/plugin.hpp"

namespace isthmus::cuda {

/// The backend of one lane (messages.hpp). Without a driver on this machine it has no device. `memory` is the limit of
/// device memory, or null; `notes` are what clients share by, or null.
[[nodiscard]] std::unique_ptr<plugin::Backend> make_cuda_backend(std::span<std::byte> window,
                                                                 std::shared_ptr<plugin::DeviceMemory> memory,
                                                                 std::shared_ptr<plugin::Notes> notes);

}  // namespace isthmus::cuda
