// SPDX-License-Identifier: Apache-2.0
#include "perf/support/paired.hpp"

#include <algorithm>
#include <chrono>
#include <vector>

namespace isthmus::perf {
namespace {

double nanoseconds_per_call(Participant& participant, std::uint32_t calls) {
  return std::chrono::duration<double, std::nano>(participant.round(calls)).count() / calls;
}

std::uint32_t calls_per_round(Participant& participant, RoundSize size) {
  const double wanted = std::chrono::duration<double, std::nano>(options().round_time).count();
  std::uint32_t calls = size.min_calls;
  for (;;) {
    const double each = std::max(nanoseconds_per_call(participant, calls), 0.01);
    const double fitting =
        std::clamp(wanted / each, static_cast<double>(size.min_calls), static_cast<double>(size.max_calls));
    // A first guess from few calls is poor: it is taken from a round that came near the wanted time.
    if (fitting <= calls * 4.0 || calls == size.max_calls) {
      return static_cast<std::uint32_t>(fitting);
    }
    calls = static_cast<std::uint32_t>(std::min(calls * 4.0, static_cast<double>(size.max_calls)));
  }
}

}  // namespace

Paired run_paired(Participant& ours, Participant& rival, RoundSize size) {
  Paired result;
  result.rounds = options().rounds;
  result.ours_calls = calls_per_round(ours, size);
  result.rival_calls = calls_per_round(rival, size);
  std::vector<double> ours_times;
  std::vector<double> rival_times;
  std::vector<double> ratios;
  std::vector<double> differences;
  for (std::uint32_t i = 0; i < result.rounds; ++i) {
    double ours_time = 0;
    double rival_time = 0;
    if (i % 2 == 0) {
      ours_time = nanoseconds_per_call(ours, result.ours_calls);
      rival_time = nanoseconds_per_call(rival, result.rival_calls);
    } else {
      rival_time = nanoseconds_per_call(rival, result.rival_calls);
      ours_time = nanoseconds_per_call(ours, result.ours_calls);
    }
    ours_times.push_back(ours_time);
    rival_times.push_back(rival_time);
    ratios.push_back(rival_time / ours_time);
    differences.push_back(ours_time - rival_time);
  }
  result.ours = quartiles(ours_times);
  result.rival = quartiles(rival_times);
  result.rival_over_ours = quartiles(ratios);
  result.ours_minus_rival = quartiles(differences);
  return result;
}

}  // namespace isthmus::perf
