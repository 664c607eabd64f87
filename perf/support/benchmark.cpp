// SPDX-License-Identifier: Apache-2.0
#include "perf/support/benchmark.hpp"

#include <exception>
#include <vector>

namespace isthmus::perf {
namespace {

constexpr double nanoseconds_of_a_second = 1e9;

std::vector<std::string> lines_left_out;

void set_counters(benchmark::State& state, const std::string& name, const Quartiles& value) {
  state.counters[name] = value.median;
  state.counters[name + "_q1"] = value.q1;
  state.counters[name + "_q3"] = value.q3;
}

}  // namespace

void add(const std::string& name, const std::function<void(benchmark::State&)>& run) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [run](benchmark::State& state) {
                                 for ([[maybe_unused]] const auto once : state) {
                                   try {
                                     run(state);
                                   } catch (const std::exception& error) {
                                     state.SkipWithError(error.what());
                                     break;
                                   }
                                 }
                               })
      ->Iterations(1)
      ->UseManualTime()
      ->Unit(benchmark::kNanosecond);
}

void set_result(benchmark::State& state, const Paired& result) {
  set_counters(state, "ours", result.ours);
  set_counters(state, "rival", result.rival);
  set_counters(state, "rival_over_ours", result.rival_over_ours);
  set_counters(state, "ours_minus_rival", result.ours_minus_rival);
  state.counters["rounds"] = result.rounds;
  state.counters["ours_calls"] = result.ours_calls;
  state.counters["rival_calls"] = result.rival_calls;
  state.SetIterationTime(result.ours.median / nanoseconds_of_a_second);
}

void set_result(benchmark::State& state, double value, const std::string& unit) {
  state.counters["value"] = value;
  state.SetLabel(unit);
  state.SetIterationTime(1 / nanoseconds_of_a_second);
}

void add_context(const std::string& key, const std::string& value) { benchmark::AddCustomContext(key, value); }

void add_left_out(const std::string& name, const std::string& why) {
  lines_left_out.push_back(name + ": " + why);
  add_context("left out " + name, lines_left_out.back());
}

const std::vector<std::string>& left_out() noexcept { return lines_left_out; }

}  // namespace isthmus::perf
