// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

#include "perf/support/paired.hpp"

namespace isthmus::perf {

/// Registers a measurement with Google Benchmark, which runs it once: the rounds are inside. What it throws becomes the
/// benchmark's error. Sets the iteration's time itself, by one of the two below.
void add(const std::string& name, const std::function<void(benchmark::State&)>& run);

/// Counters ours, rival, rival_over_ours and ours_minus_rival, each with _q1 and _q3; rounds, ours_calls, rival_calls.
/// Times are in nanoseconds of one call; the benchmark's time is ours.
void set_result(benchmark::State& state, const Paired& result);

/// Counter `value`. `unit` becomes the benchmark's label.
void set_result(benchmark::State& state, double value, const std::string& unit);

/// A line of the results' context, such as a rival's version.
void add_context(const std::string& key, const std::string& value);

/// Something that this build or machine cannot measure: never silently. To be said when the benchmarks start, and put
/// into the results' context.
void add_left_out(const std::string& name, const std::string& why);
[[nodiscard]] const std::vector<std::string>& left_out() noexcept;

/// Each program of the benchmarks defines it: registers its measurements.
void register_benchmarks();

}  // namespace isthmus::perf
