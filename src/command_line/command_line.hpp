// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace isthmus {

/// Both ends included.
struct NumberRange {
  std::uint32_t least = 0;
  std::uint32_t most = UINT32_MAX;
};

/// A program's options. CLI11 does the work, in one file: its header takes longer to compile than any of the programs
/// that use it. Objects bound here must outlive parse(). One thread.
class CommandLine {
 public:
  explicit CommandLine(const std::string& description);
  CommandLine(CommandLine&&) noexcept;
  CommandLine& operator=(CommandLine&&) noexcept;
  ~CommandLine();

  /// `names`: "-e,--endpoint". What `value` holds now is the default, and shown as that by --help.
  CommandLine& option(const std::string& names, std::string& value, const std::string& help);
  /// A number within `range`; anything else is a usage error that names the range.
  CommandLine& option(const std::string& names, std::uint32_t& value, const std::string& help, NumberRange range = {});
  CommandLine& flag(const std::string& names, bool& value, const std::string& help);
  /// A positional argument that must be there.
  CommandLine& required(const std::string& name, std::string& value, const std::string& help);

  /// A verb with options of its own; parse() calls `chosen` where it was given. A program with verbs needs one of them.
  CommandLine verb(const std::string& name, const std::string& help, std::function<void()> chosen);

  /// Nothing, and the program goes on; or the status to exit with, --help or the error having been printed: 0 for help,
  /// `usage_status` for a usage error.
  [[nodiscard]] std::optional<int> parse(int argc, const char* const* argv, int usage_status = 2);

 private:
  struct Impl;
  explicit CommandLine(std::unique_ptr<Impl> impl) noexcept;

  std::unique_ptr<Impl> impl_;
};

}  // namespace isthmus
