// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace isthmus::perf {

/// What `./run bench` takes besides Google Benchmark's own flags.
struct Options {
  std::uint32_t rounds = 101;                  ///< paired rounds of each measurement; --rounds=N, odd
  std::chrono::microseconds round_time{5000};  ///< what a round is made to last, within its limit of calls
  bool quick = false;                          ///< --quick: few and short rounds, to see that everything runs
  int client_cpu = -1;                         ///< --cpus=CLIENT,HOST; -1: chosen by Placement
  int host_cpu = -1;

  static constexpr std::uint32_t max_calls = 20'000;  ///< of a round
  static constexpr std::uint32_t quick_rounds = 5;
};

/// Of this run; set before the first benchmark starts.
[[nodiscard]] const Options& options() noexcept;

/// Takes its own flags out of the command line. Throws std::invalid_argument with a text for the user.
void parse_options(std::vector<std::string>& arguments);

}  // namespace isthmus::perf
