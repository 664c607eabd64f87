// SPDX-License-Identifier: Apache-2.0
#include "perf/support/options.hpp"

#include <charconv>
#include <stdexcept>
#include <string_view>

namespace isthmus::perf {
namespace {

Options chosen;

template <class T>
T parse_number(std::string_view flag, std::string_view digits, T min, T max) {
  T value{};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size() || value < min || value > max) {
    throw std::invalid_argument(std::string(flag) + ": '" + std::string(digits) + "' is no number from " +
                                std::to_string(min) + " to " + std::to_string(max));
  }
  return value;
}

bool take(std::string_view argument) {
  if (argument == "--quick") {
    chosen.quick = true;
    chosen.rounds = Options::quick_rounds;
    chosen.round_time = std::chrono::milliseconds(1);
    return true;
  }
  if (constexpr std::string_view flag = "--rounds="; argument.starts_with(flag)) {
    // Odd, so that a median is a round that was measured, and inverse ratios have inverse medians.
    chosen.rounds = parse_number(flag, argument.substr(flag.size()), 1U, 100'001U) | 1U;
    return true;
  }
  if (constexpr std::string_view flag = "--cpus="; argument.starts_with(flag)) {
    const std::string_view list = argument.substr(flag.size());
    const std::size_t comma = list.find(',');
    if (comma == std::string_view::npos) {
      throw std::invalid_argument("--cpus=" + std::string(list) + ": name two, as in --cpus=0,1");
    }
    chosen.client_cpu = parse_number(flag, list.substr(0, comma), 0, 1023);
    chosen.host_cpu = parse_number(flag, list.substr(comma + 1), 0, 1023);
    return true;
  }
  return false;
}

}  // namespace

const Options& options() noexcept { return chosen; }

void parse_options(std::vector<std::string>& arguments) {
  std::erase_if(arguments, [](const std::string& argument) { return take(argument); });
}

}  // namespace isthmus::perf
