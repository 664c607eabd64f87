// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "perf/support/distribution.hpp"
#include "perf/support/options.hpp"
#include "perf/support/participant.hpp"

namespace isthmus::perf {

/// What a pair of participants showed. Times are of one call, in nanoseconds.
struct Paired {
  Quartiles ours;
  Quartiles rival;
  Quartiles rival_over_ours;   ///< of the ratios of each round
  Quartiles ours_minus_rival;  ///< of the differences of each round
  std::uint32_t rounds = 0;
  std::uint32_t ours_calls = 0;  ///< of a round
  std::uint32_t rival_calls = 0;
};

/// Limits of the calls of a round; within them, a round is made to last options().round_time.
struct RoundSize {
  std::uint32_t min_calls = 10;
  std::uint32_t max_calls = Options::max_calls;
};

/// Runs options().rounds rounds of both in turn; every other time the rival is first.
[[nodiscard]] Paired run_paired(Participant& ours, Participant& rival, RoundSize size = {});

}  // namespace isthmus::perf
