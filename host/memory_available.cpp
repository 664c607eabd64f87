// SPDX-License-Identifier: Apache-2.0
#include "host/memory_available.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "src/transport/text.hpp"

namespace isthmus::host {
namespace {

/// The number behind `key` in a file of lines "KEY NUMBER ...".
std::optional<std::uint64_t> number_in(const std::filesystem::path& file, std::string_view key) {
  std::ifstream stream(file);
  std::uint64_t number = 0;
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with(key)) {
      continue;
    }
    const auto digit = line.find_first_of("0123456789", key.size());
    if (digit != std::string::npos &&
        std::from_chars(line.data() + digit, line.data() + line.size(), number).ec == std::errc{}) {
      return number;
    }
  }
  return std::nullopt;
}

/// What one control group may still take; nothing if it has no limit.
std::optional<std::uint64_t> left_in_group(const std::filesystem::path& group) {
  const auto max = number_in(group / "memory.max", "");  // "max" where there is no limit
  const auto current = number_in(group / "memory.current", "");
  if (!max || !current) {
    return std::nullopt;
  }
  // Page cache counts as used, but gives way.
  const auto cache = number_in(group / "memory.stat", "inactive_file ").value_or(0) +
                     number_in(group / "memory.stat", "active_file ").value_or(0);
  const std::uint64_t used = *current - std::min(*current, cache);
  return *max - std::min(*max, used);
}

}  // namespace

Result<std::uint64_t> memory_available() {
  const auto kib = number_in("/proc/meminfo", "MemAvailable:");
  if (!kib) {
    return fail(Errc::system, "/proc/meminfo: MemAvailable cannot be read");
  }
  std::uint64_t available = *kib * 1024;

  const std::filesystem::path root = "/sys/fs/cgroup";
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    constexpr std::string_view v2 = "0::/";
    if (!line.starts_with(v2)) {
      continue;
    }
    std::filesystem::path group = root / line.substr(v2.size());
    while (true) {
      if (const auto left = left_in_group(group); left) {
        available = std::min(available, *left);
      }
      if (group == root || !group.has_relative_path()) {
        break;
      }
      group = group.parent_path();
    }
  }
  return available;
}

Result<void> check_memory_available(std::string_view what, std::uint64_t size) {
  const auto available = memory_available();
  if (!available) {
    return std::unexpected(available.error());
  }
  if (size > *available) {
    const std::uint64_t mib = *available >> 20U << 20U;
    return fail(Errc::exhausted, text(what, ": ", Bytes{size}, " asked, ", Bytes{mib},
                                      " of memory available; lower region_size or free memory"));
  }
  return {};
}

}  // namespace isthmus::host
