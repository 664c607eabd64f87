// SPDX-License-Identifier: Apache-2.0
#include "host/byte_size.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include "src/transport/text.hpp"

namespace isthmus::host {

Result<std::uint64_t> parse_byte_size(std::string_view written) {
  constexpr std::array<std::pair<std::string_view, unsigned>, 4> units{
      {{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}}};

  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(written.data(), written.data() + written.size(), number);
  std::string_view unit = written.substr(static_cast<std::size_t>(end - written.data()));
  if (error == std::errc{} && unit.size() > 1 && unit.front() == ' ') {
    unit.remove_prefix(1);
  }
  if (error == std::errc{}) {
    for (const auto& [name, shift] : units) {
      if (unit == name && number <= std::numeric_limits<std::uint64_t>::max() >> shift) {
        return number << shift;
      }
    }
  }
  return fail(Errc::invalid_argument,
              text("\"", written, "\" is no size; write bytes as a number, or a number with KiB, MiB or GiB"));
}

}  // namespace isthmus::host
