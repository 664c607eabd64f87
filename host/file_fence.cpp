// SPDX-License-Identifier: Apache-2.0
#include "host/file_fence.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>
#include <utility>

#include "host/system_error.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {
namespace {

// From the kernel's include/uapi/linux/landlock.h; the headers of a build machine may be older than its users' kernels.
struct RulesetAttributes {
  std::uint64_t files = 0;
  std::uint64_t network = 0;  // version 4
  std::uint64_t scoped = 0;   // version 6
};
struct __attribute__((packed)) PathRule {
  std::uint64_t allowed = 0;
  std::int32_t parent = -1;
};
constexpr unsigned only_version = 1;  // LANDLOCK_CREATE_RULESET_VERSION
constexpr int path_beneath = 1;       // LANDLOCK_RULE_PATH_BENEATH

constexpr std::uint64_t write_file = 1U << 1;
constexpr std::uint64_t read_file = 1U << 2;
constexpr std::uint64_t remove_and_make = 0x1ff0;  // directories, files, sockets, pipes, devices, symbolic links
constexpr std::uint64_t make_device = 1U << 6 | 1U << 11;
constexpr std::uint64_t move_between = 1U << 13;   // version 2
constexpr std::uint64_t truncate_file = 1U << 14;  // version 3
constexpr std::uint64_t tcp = 3;                   // to listen and to connect
constexpr std::uint64_t abstract_sockets_and_signals = 3;

constexpr std::array<std::string_view, 3> written_to{"/tmp", "/var/tmp", "/dev"};
// A directory in which something is off limits is gone through entry by entry: so far, and what is left out is refused.
constexpr int most_entries = 4096;

RulesetAttributes attributes_for(int version) {
  RulesetAttributes all;
  all.files =
      read_file | write_file | remove_and_make | (version >= 2 ? move_between : 0) | (version >= 3 ? truncate_file : 0);
  all.network = version >= 4 ? tcp : 0;
  all.scoped = version >= 6 ? abstract_sockets_and_signals : 0;
  return all;
}

std::size_t size_for(int version) {
  return version >= 6   ? sizeof(RulesetAttributes)
         : version >= 4 ? offsetof(RulesetAttributes, scoped)
                        : offsetof(RulesetAttributes, network);
}

bool lies_in(const std::filesystem::path& path, const std::filesystem::path& folder) {
  const auto rest = path.lexically_relative(folder);
  return !rest.empty() && *rest.begin() != "..";
}

class Rules {
 public:
  Rules(int ruleset, const std::vector<std::filesystem::path>& off_limits, const std::vector<uid_t>& users)
      : ruleset_(ruleset), off_limits_(&off_limits), users_(&users) {}

  // Everything from there on but what is off limits. What is not there needs no rule.
  void allow_around(const std::filesystem::path& path, std::uint64_t rights) {
    if (std::ranges::find(*off_limits_, path) != off_limits_->end()) {
      return;
    }
    if (std::ranges::none_of(*off_limits_, [&path](const auto& other) { return lies_in(other, path); })) {
      allow(path, rights);
      return;
    }
    std::error_code error;
    std::filesystem::directory_iterator entry(path, error);
    int looked_at = 0;
    for (; !error && entry != std::filesystem::directory_iterator() && looked_at < most_entries; ++looked_at) {
      if (is_trusted(entry->path())) {
        allow_around(entry->path(), rights);
      }
      entry.increment(error);
    }
    if (looked_at == most_entries && left_out_.empty()) {
      left_out_ = text(path.native(), ": more than ", most_entries, " entries; what lies behind them is closed");
    }
  }

  void allow(const std::filesystem::path& path, std::uint64_t rights) {
    // A symbolic link leads where there is a rule, or none.
    const UniqueFd opened(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat status{};
    if (!opened || ::fstat(opened.get(), &status) != 0 || S_ISLNK(status.st_mode)) {
      return;
    }
    const std::uint64_t of_files = read_file | write_file | truncate_file;
    const PathRule rule{.allowed = S_ISDIR(status.st_mode) ? rights : rights & of_files, .parent = opened.get()};
    if (::syscall(SYS_landlock_add_rule, ruleset_, path_beneath, &rule, 0) != 0 && error_ == 0) {
      error_ = errno;
      failed_ = path;
    }
  }

  [[nodiscard]] std::string& left_out() noexcept { return left_out_; }
  [[nodiscard]] int error() const noexcept { return error_; }
  [[nodiscard]] const std::filesystem::path& failed() const noexcept { return failed_; }

 private:
  // Others could fill a directory up, so that each start of a worker would take long.
  [[nodiscard]] bool is_trusted(const std::filesystem::path& path) const {
    struct stat status{};
    return ::lstat(path.c_str(), &status) == 0 &&
           (status.st_uid == 0 || std::ranges::find(*users_, status.st_uid) != users_->end());
  }

  int ruleset_;
  const std::vector<std::filesystem::path>* off_limits_;
  const std::vector<uid_t>* users_;
  std::string left_out_;
  int error_ = 0;
  std::filesystem::path failed_;
};

std::filesystem::path resolved(const std::filesystem::path& path) {
  std::error_code error;
  auto whole = std::filesystem::weakly_canonical(path, error);
  return error ? path.lexically_normal() : whole;
}

}  // namespace

int FileFence::kernel_version() noexcept {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, only_version);
  return version > 0 ? static_cast<int>(version) : 0;
}

std::string FileFence::missing_in(int version) {
  if (version == 0) {
    return "this kernel has no Landlock: only users keep workers from files and processes";
  }
  std::string missing;
  for (const auto& [since, what] : {std::pair(3, "cutting files short"), {4, "TCP"}, {6, "signals"}}) {
    missing += version >= since ? "" : text(missing.empty() ? "" : ", ", what);
  }
  return missing.empty() ? missing
                         : text("this kernel's Landlock has version ", version, ", which knows nothing of ", missing);
}

Result<FileFence::Made> FileFence::make() const {
  const int version = kernel_version();
  if (version == 0) {
    return fail(Errc::unsupported, missing_in(0));
  }
  const RulesetAttributes attributes = attributes_for(version);
  UniqueFd ruleset(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size_for(version), 0)));
  if (!ruleset) {
    return fail_errno(errno, "landlock_create_ruleset");
  }
  std::vector<std::filesystem::path> closed;
  for (const auto& path : off_limits) {
    closed.push_back(resolved(path));
  }
  Rules rules(ruleset.get(), closed, users);
  rules.allow_around("/", read_file);
  const std::uint64_t all = attributes.files & ~make_device;
  for (const std::string_view folder : written_to) {
    rules.allow_around(folder, all);
  }
  // NVIDIA's driver (580.159) cuts a file of its own process short in cuInit, which answers 304 where it may not.
  // Whose files there may be written is for the kernel's rules on processes to say.
  rules.allow_around("/proc", attributes.files & (read_file | write_file | truncate_file));
  if (own) {
    rules.allow(resolved(*own), all);
  }
  if (rules.error() != 0) {
    return fail_errno(rules.error(), text("landlock_add_rule for ", rules.failed().native()));
  }
  return Made{.descriptor = std::move(ruleset), .left_out = std::move(rules.left_out())};
}

}  // namespace isthmus::host
