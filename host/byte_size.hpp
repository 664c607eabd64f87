// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "isthmus/error.hpp"

namespace isthmus::host {

/// Reads a size as people write it: a whole number, alone (bytes) or with KiB, MiB or GiB; a space between is allowed.
/// Fails with Errc::invalid_argument on anything else and on what does not fit 64 bits.
[[nodiscard]] Result<std::uint64_t> parse_byte_size(std::string_view written);

}  // namespace isthmus::host
