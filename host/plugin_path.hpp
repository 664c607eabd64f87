// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "isthmus/error.hpp"

namespace isthmus::host {

/// A plug-in that a worker is told to load.
struct PluginFile {
  std::string name;  ///< that it must give itself; empty where the configuration names a path
  std::filesystem::path path;
};

/// The files of plug-ins: for a name, isthmus-NAME.so in `directory`, or else in ../lib/isthmus/plugins from the
/// running program; an absolute path as it is. Fails with Errc::not_found, and with Errc::permission_denied where
/// others than root and the daemon's user could write the file or its
/// directory.
[[nodiscard]] Result<std::vector<PluginFile>> find_plugins(const std::optional<std::filesystem::path>& directory,
                                                           const std::vector<std::string>& plugins);

}  // namespace isthmus::host
