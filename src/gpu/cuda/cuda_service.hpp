// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "isthmus/plugin.hpp"

namespace isthmus::cuda {

/// The backend of one lane (messages.hpp). Without a driver on this machine it has no device.
[[nodiscard]] std::unique_ptr<plugin::Backend> make_cuda_backend(std::span<std::byte> window);

}  // namespace isthmus::cuda
