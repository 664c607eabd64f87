// SPDX-License-Identifier: Apache-2.0
#include "src/transport/claim.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <string>

#include "src/transport/text.hpp"

namespace isthmus {
namespace {

using abi::ClaimState;

constexpr std::uint32_t word(ClaimState state) { return static_cast<std::uint32_t>(state); }

// Field 22 of /proc/self/stat (proc(5)); the second field, the name, may contain anything but ends with the last ')'.
std::uint64_t own_start_time() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  std::size_t at = line.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) {
    at = line.find(' ', at + 1);
  }
  std::uint64_t ticks = 0;
  if (at != std::string::npos) {
    std::from_chars(line.data() + at + 1, line.data() + line.size(), ticks);
  }
  return ticks;
}

void write_record(abi::ClaimRecord& record) {
  const auto boot = boot_id();
  record.boot_id[0].store_relaxed(boot[0]);
  record.boot_id[1].store_relaxed(boot[1]);
  record.pid.store_relaxed(static_cast<std::uint64_t>(getpid()));
  record.start_time.store_relaxed(own_start_time());
}

// \pre text.size() <= capacity
void write_environment(abi::ClaimEnvironment& shared, std::string_view text) {
  for (std::size_t i = 0; i * sizeof(std::uint64_t) < text.size(); ++i) {
    const std::string_view part = text.substr(i * sizeof(std::uint64_t), sizeof(std::uint64_t));
    std::uint64_t value = 0;
    std::memcpy(&value, part.data(), part.size());
    shared.text.at(i).store_relaxed(value);
  }
  shared.size.store_relaxed(text.size());
}

bool is_variable(std::string_view text) {
  const std::size_t equals = text.find('=');
  return equals != std::string_view::npos && equals != 0 &&
         std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

bool try_claim(abi::LaneClientPage& page, std::string_view environment) {
  if (!page.claim.word.replace(word(ClaimState::free), word(ClaimState::claiming))) {  // L2
    return false;
  }
  write_record(page.record);
  write_environment(page.environment, environment);
  page.claim.word.store_release(word(ClaimState::claimed));  // L1: the record comes before
  return true;
}

struct flock lane_byte(std::uint32_t lane) {
  struct flock range{};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = lane;
  range.l_len = 1;
  return range;
}

// The lock on a lane's byte, for as long as the object lives unless it is kept.
class LaneLock {
 public:
  LaneLock(int file, std::uint32_t lane) noexcept : file_(file), range_(lane_byte(lane)) {
    error_ = fcntl(file_, F_OFD_SETLK, &range_) == 0 ? 0 : errno;
  }
  LaneLock(const LaneLock&) = delete;
  LaneLock& operator=(const LaneLock&) = delete;
  LaneLock(LaneLock&&) = delete;
  LaneLock& operator=(LaneLock&&) = delete;
  ~LaneLock() {
    if (error_ == 0 && !kept_) {
      range_.l_type = F_UNLCK;
      fcntl(file_, F_OFD_SETLK, &range_);
    }
  }
  [[nodiscard]] bool held() const noexcept { return error_ == 0; }
  [[nodiscard]] bool held_by_another() const noexcept { return error_ == EAGAIN || error_ == EACCES; }
  [[nodiscard]] int error() const noexcept { return error_; }
  // Leaves the byte locked until the file is closed.
  void keep() noexcept { kept_ = true; }

 private:
  int file_;
  struct flock range_;
  int error_;
  bool kept_ = false;
};

}  // namespace

std::array<std::uint64_t, 2> boot_id() noexcept {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string line;
  std::getline(file, line);
  std::array<std::uint64_t, 2> id{};
  std::size_t digits = 0;
  for (const char c : line) {
    const int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (value >= 0 && digits < 32) {
      id.at(digits / 16) = id.at(digits / 16) << 4 | static_cast<std::uint64_t>(value);
      ++digits;
    }
  }
  return id;
}

Result<std::string> join_environment(std::span<const std::string> variables) {
  std::string joined;
  for (const std::string& variable : variables) {
    if (!is_variable(variable)) {
      return fail(Errc::invalid_argument,
                  text("environment for the worker: \"", variable, "\" is not KEY=VALUE in printable characters"));
    }
    joined.append(variable).push_back('\0');
  }
  if (joined.size() > abi::ClaimEnvironment::capacity) {
    return fail(Errc::invalid_argument, text("environment for the worker: ", joined.size(), " bytes; ",
                                             abi::ClaimEnvironment::capacity, " are possible"));
  }
  return joined;
}

std::vector<std::string> read_environment(const abi::ClaimEnvironment& shared) {
  std::vector<std::string> variables;
  const auto size = shared.size.load_relaxed().at_most(abi::ClaimEnvironment::capacity);
  if (!size || *size == 0) {
    return variables;
  }
  std::string joined;
  for (const auto& word : shared.text) {
    const std::uint64_t value = word.load_relaxed().any();  // parsed below, as text
    std::array<char, sizeof value> part{};
    std::memcpy(part.data(), &value, sizeof value);
    joined.append(part.data(), part.size());
  }
  joined.resize(*size);
  for (std::string_view rest = joined; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\0'), rest.size());
    if (is_variable(rest.substr(0, end))) {
      variables.emplace_back(rest.substr(0, end));
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return variables;
}

Result<void> claim_lane(const Region& region, std::uint32_t lane, std::string_view environment) {
  if (!try_claim(region.lane(lane).client, environment)) {
    return fail(Errc::busy, text("region ", region.name(), ": lane ", lane, " is claimed already"));
  }
  return {};
}

std::uint32_t mark_dead_lanes(const Region& region, int lock_file) {
  std::uint32_t marked = 0;
  for (std::uint32_t lane = 0; lane < region.geometry().lane_count; ++lane) {
    SharedWord<std::uint32_t>& claim = region.lane(lane).client.claim.word;
    const Untrusted<std::uint32_t> state = claim.load_relaxed();
    if (!state.equals(word(ClaimState::claimed)) && !state.equals(word(ClaimState::claiming))) {
      continue;
    }
    // Whoever claims a lane holds its lock from before until he is dead or has released it. While it is held here,
    // nobody else can claim the lane, so what the word says now is what a dead owner has left behind.
    const LaneLock lock(lock_file, lane);
    if (lock.held() && (claim.replace(word(ClaimState::claimed), word(ClaimState::dead)) ||
                        claim.replace(word(ClaimState::claiming), word(ClaimState::dead)))) {
      ++marked;
    }
  }
  return marked;
}

bool lanes_come_free(const Region& region) {
  for (std::uint32_t lane = 0; lane < region.geometry().lane_count; ++lane) {
    const Untrusted<std::uint32_t> state = region.lane(lane).client.claim.word.load_relaxed();
    if (state.equals(word(ClaimState::released)) || state.equals(word(ClaimState::dead)) ||
        state.equals(word(ClaimState::free))) {
      return true;
    }
  }
  return false;
}

Result<std::uint32_t> claim_any_lane(const Region& region, int lock_file, std::string_view environment) {
  mark_dead_lanes(region, lock_file);
  for (std::uint32_t lane = 0; lane < region.geometry().lane_count; ++lane) {
    LaneLock lock(lock_file, lane);
    if (lock.held_by_another()) {
      continue;  // its owner lives
    }
    if (!lock.held()) {
      return fail(Errc::unsupported,
                  text("region ", region.name(), ": its file takes no locks: ", errno_text(lock.error())));
    }
    if (try_claim(region.lane(lane).client, environment)) {
      lock.keep();
      return lane;
    }
  }
  return fail(Errc::exhausted, text("region ", region.name(), ": all ", region.geometry().lane_count,
                                    " lanes are taken; end a client, or raise `lanes` in the daemon's configuration"));
}

}  // namespace isthmus
