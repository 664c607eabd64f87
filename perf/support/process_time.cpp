// SPDX-License-Identifier: Apache-2.0
#include "perf/support/process_time.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace isthmus::perf {
namespace {

namespace fs = std::filesystem;

std::string content(const fs::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// The scheduler's own count, in nanoseconds: a tick of utime and stime is 10 ms, more than what is to be measured.
std::chrono::nanoseconds thread_time(const fs::path& thread) {
  std::istringstream schedstat(content(thread / "schedstat"));
  if (std::int64_t nanoseconds = 0; schedstat >> nanoseconds) {
    return std::chrono::nanoseconds(nanoseconds);
  }
  // A kernel without it. Fields 14 and 15, counted from behind the name, which may hold anything.
  const std::string stat = content(thread / "stat");
  std::istringstream fields(stat.substr(std::min(stat.rfind(')') + 2, stat.size())));
  std::vector<std::string> words{std::istream_iterator<std::string>(fields), {}};
  if (words.size() < 13) {
    return {};  // the thread has just ended
  }
  const std::int64_t ticks = std::stoll(words[11]) + std::stoll(words[12]);
  return std::chrono::nanoseconds(ticks * (1'000'000'000 / sysconf(_SC_CLK_TCK)));
}

}  // namespace

std::chrono::nanoseconds processor_time(pid_t process) {
  const fs::path folder = fs::path("/proc") / std::to_string(process) / "task";
  std::error_code error;
  std::chrono::nanoseconds sum{0};
  for (const auto& thread : fs::directory_iterator(folder, error)) {
    sum += thread_time(thread.path());
  }
  if (error) {
    throw std::runtime_error(folder.string() + ": " + error.message());
  }
  return sum;
}

std::vector<pid_t> children_of(pid_t process) {
  const fs::path folder = fs::path("/proc") / std::to_string(process) / "task";
  std::vector<pid_t> children;
  std::error_code error;
  for (const auto& thread : fs::directory_iterator(folder, error)) {
    std::istringstream list(content(thread.path() / "children"));
    children.insert(children.end(), std::istream_iterator<pid_t>(list), {});
  }
  return children;
}

}  // namespace isthmus::perf
