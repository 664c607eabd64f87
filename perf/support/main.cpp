// SPDX-License-Identifier: Apache-2.0

// What all programs of the benchmarks have in common. Flags: those of Google Benchmark, and
//     --quick          few and short rounds: shows that everything runs, says nothing about speed
//     --rounds=N       paired rounds of each measurement (101)
//     --cpus=A,B       processors of client and host

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "perf/support/benchmark.hpp"
#include "perf/support/options.hpp"
#include "perf/support/placement.hpp"

namespace isthmus::perf {
namespace {

std::string short_name(const std::string& full) { return full.substr(0, full.find("/iterations:")); }

std::string time_text(double nanoseconds) {
  struct Unit {
    double size;
    const char* name;
  };
  constexpr std::array units{Unit{1e9, "s"}, Unit{1e6, "ms"}, Unit{1e4, "us"}, Unit{0, "ns"}};
  const auto& unit = *std::ranges::find_if(units, [&](const Unit& u) { return nanoseconds >= u.size; });
  std::array<char, 32> text{};
  const double scale = unit.size == 0 ? 1 : unit.size == 1e4 ? 1e3 : unit.size;
  std::snprintf(text.data(), text.size(), "%.*f %s", nanoseconds / scale < 100 ? 1 : 0, nanoseconds / scale, unit.name);
  return text.data();
}

// One line for each measurement, as it ends. The table of all of them is made from the JSON files.
class LineReporter final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override {
    std::printf("placement: client on processor %d, host on %d: %s\n", placement().client_cpu, placement().host_cpu,
                placement().relation.c_str());
    for (const std::string& line : left_out()) {
      std::printf("left out: %s\n", line.c_str());
    }
    return true;
  }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      report(run);
    }
    static_cast<void>(std::fflush(stdout));
  }

 private:
  static void report(const Run& run) {
    const std::string name = short_name(run.benchmark_name());
    if (run.error_occurred) {
      std::printf("%-34s failed: %s\n", name.c_str(), run.error_message.c_str());
    } else if (run.counters.contains("rival")) {
      const auto counter = [&](const char* key) { return run.counters.at(key).value; };
      std::printf("%-34s ours %10s   rival %10s   rival/ours %7.2f  [%.2f %.2f]\n", name.c_str(),
                  time_text(counter("ours")).c_str(), time_text(counter("rival")).c_str(), counter("rival_over_ours"),
                  counter("rival_over_ours_q1"), counter("rival_over_ours_q3"));
    } else if (run.counters.contains("value")) {
      std::printf("%-34s %10.4g %s\n", name.c_str(), run.counters.at("value").value, run.report_label.c_str());
    }
  }
};

int run(std::span<char*> argv) {
  std::vector<std::string> arguments(argv.begin(), argv.end());
  parse_options(arguments);
  std::vector<char*> left;
  left.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) {
    left.push_back(argument.data());
  }
  int count = static_cast<int>(left.size());
  left.push_back(nullptr);
  benchmark::Initialize(&count, left.data());
  if (benchmark::ReportUnrecognizedArguments(count, left.data())) {
    return 2;
  }
  add_context("processor", processor_name());
  add_context("kernel", kernel_name());
  add_context("placement", placement().relation);
  add_context("client_cpu", std::to_string(placement().client_cpu));
  add_context("host_cpu", std::to_string(placement().host_cpu));
  add_context("rounds", std::to_string(options().rounds));
  add_context("quick", options().quick ? "yes" : "no");
  register_benchmarks();
  LineReporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace isthmus::perf

int main(int argc, char** argv) {
  try {
    return isthmus::perf::run(std::span(argv, static_cast<std::size_t>(argc)));
  } catch (const std::exception& error) {
    static_cast<void>(std::fprintf(stderr, "bench: %s\n", error.what()));
    return 2;
  }
}
