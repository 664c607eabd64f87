// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "perf/support/exchange.hpp"
#include "perf/support/participant.hpp"

namespace isthmus::perf {

/// Round trips over the two rings of an Isthmus channel alone, with validation and doorbell checks: no lane, no order
/// of posts, no service. What a call costs above it is the channel's and the twin's part.
[[nodiscard]] std::unique_ptr<Exchange> ring_call();

/// The same round trips with both ends in the calling thread: what is executed for one, without the transfer of a cache
/// line.
[[nodiscard]] std::unique_ptr<Participant> ring_call_on_one_thread();

}  // namespace isthmus::perf
