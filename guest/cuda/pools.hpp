// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "guest/cuda/frontend.hpp"

namespace isthmus::cuda {

/// The device whose own pool a handle means; there are no others.
[[nodiscard]] std::optional<std::uint32_t> device_of_pool(const Frontend& cuda, CUmemoryPool pool) noexcept;

}  // namespace isthmus::cuda
