// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "perf/support/exchange.hpp"

namespace isthmus::perf {

/// A stream over an Isthmus ring alone: descriptors of one slot (16 bytes of header, 40 of body), validated by the
/// consumer, one doorbell check for each batch. What a post costs without its lane.
[[nodiscard]] std::unique_ptr<Exchange> ring_stream(std::uint32_t batch);

}  // namespace isthmus::perf
