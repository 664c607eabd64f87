// SPDX-License-Identifier: Apache-2.0
#include "host/plugin_path.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "host/octal.hpp"
#include "host/own_program.hpp"
#include "host/system_error.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {
namespace {

Result<std::filesystem::path> directory_of_plugins(const std::optional<std::filesystem::path>& configured) {
  if (configured) {
    return *configured;
  }
  const auto self = own_program("plug-ins", "plugin_dir");
  if (!self) {
    return self;
  }
  return self->parent_path().parent_path() / "lib" / "isthmus" / "plugins";
}

// It runs with the worker's rights before any guest is there: whoever can write it, or put another into its place, can
// do what the daemon lets workers do.
Result<void> check_plugin_file(const PluginFile& plugin) {
  constexpr std::string_view rule = "; it must be root's or isthmusd's, and nobody else may write it";
  struct stat status{};
  const auto belongs_to_others = [&status] {
    return (status.st_uid != 0 && status.st_uid != ::geteuid()) || (status.st_mode & 0022U) != 0;
  };
  if (::stat(plugin.path.c_str(), &status) != 0) {
    return fail(errc_from_errno(errno),
                text("plug-in ", plugin.path.native(), ": ", errno_text(errno),
                     plugin.name.empty() ? "" : "; install it, or set plugin_dir in the configuration"));
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(Errc::invalid_argument, text("plug-in ", plugin.path.native(), ": is no file"));
  }
  if (belongs_to_others()) {
    return fail(Errc::permission_denied, text("plug-in ", plugin.path.native(), ": belongs to user ", status.st_uid,
                                              " with mode ", octal(status.st_mode & 07777U), rule));
  }
  if (::stat(plugin.path.parent_path().c_str(), &status) != 0 || belongs_to_others()) {
    return fail(Errc::permission_denied, text("plug-in ", plugin.path.native(), ": its directory belongs to user ",
                                              status.st_uid, " with mode ", octal(status.st_mode & 07777U), rule));
  }
  return {};
}

}  // namespace

Result<std::vector<PluginFile>> find_plugins(const std::optional<std::filesystem::path>& directory,
                                             const std::vector<std::string>& plugins) {
  std::vector<PluginFile> files;
  for (const std::string& plugin : plugins) {
    PluginFile file;
    if (plugin.starts_with('/')) {
      file.path = plugin;
    } else {
      const auto folder = directory_of_plugins(directory);
      if (!folder) {
        return std::unexpected(folder.error());
      }
      file = {.name = plugin, .path = *folder / text("isthmus-", plugin, ".so")};
    }
    if (auto usable = check_plugin_file(file); !usable) {
      return std::unexpected(std::move(usable).error());
    }
    files.push_back(std::move(file));
  }
  return files;
}

}  // namespace isthmus::host
