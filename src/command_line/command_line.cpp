// SPDX-License-Identifier: Apache-2.0
#include "src/command_line/command_line.hpp"

#include <CLI/CLI.hpp>
#include <utility>

namespace isthmus {

struct CommandLine::Impl {
  std::unique_ptr<CLI::App> owned;  // of the program itself; a verb's belongs to the program's
  CLI::App* app;
};

CommandLine::CommandLine(const std::string& description) : impl_(std::make_unique<Impl>()) {
  impl_->owned = std::make_unique<CLI::App>(description);
  impl_->app = impl_->owned.get();
}
CommandLine::CommandLine(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
CommandLine::CommandLine(CommandLine&&) noexcept = default;
CommandLine& CommandLine::operator=(CommandLine&&) noexcept = default;
CommandLine::~CommandLine() = default;

CommandLine& CommandLine::option(const std::string& names, std::string& value, const std::string& help) {
  impl_->app->add_option(names, value, help)->capture_default_str();
  return *this;
}

CommandLine& CommandLine::option(const std::string& names, std::uint32_t& value, const std::string& help,
                                 NumberRange range) {
  CLI::Option* option = impl_->app->add_option(names, value, help)->capture_default_str();
  if (range.least != 0 || range.most != UINT32_MAX) {
    option->check(CLI::Range(range.least, range.most));
  }
  return *this;
}

CommandLine& CommandLine::flag(const std::string& names, bool& value, const std::string& help) {
  impl_->app->add_flag(names, value, help);
  return *this;
}

CommandLine& CommandLine::required(const std::string& name, std::string& value, const std::string& help) {
  impl_->app->add_option(name, value, help)->required();
  return *this;
}

CommandLine CommandLine::verb(const std::string& name, const std::string& help, std::function<void()> chosen) {
  impl_->app->require_subcommand(1);
  auto own = std::make_unique<Impl>();
  own->app = impl_->app->add_subcommand(name, help);
  own->app->callback(std::move(chosen));
  return CommandLine(std::move(own));
}

std::optional<int> CommandLine::parse(int argc, const char* const* argv, int usage_status) {
  try {
    impl_->app->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return impl_->app->exit(error) == 0 ? 0 : usage_status;
  }
  return std::nullopt;
}

}  // namespace isthmus
