// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace isthmus::perf {

/// The lap with which rings of a benchmark start.
inline constexpr std::uint32_t first_lap = 1;

}  // namespace isthmus::perf
