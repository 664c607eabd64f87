// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>

namespace isthmus::host {

/// Who may open a file or a socket that the daemon makes.
struct FileAccess {
  mode_t mode = 0600;
  std::optional<uid_t> owner;  ///< unset: the daemon's own user
  std::optional<gid_t> group;  ///< unset: the group that the file gets by itself
};

}  // namespace isthmus::host
