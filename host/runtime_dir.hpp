// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "isthmus/error.hpp"

namespace isthmus::host {

/// Where the sockets live if the configuration does not say: /run/isthmus for root, $XDG_RUNTIME_DIR/isthmus for
/// others. Fails with Errc::not_found if that variable is not set. Reads the environment: before threads start.
[[nodiscard]] Result<std::filesystem::path> default_runtime_dir();

/// Makes the directory with mode 0755 (its parent must exist), or checks that the existing one belongs to this user or
/// root and that nobody else may write there: a stranger's socket must not stand in our place.
[[nodiscard]] Result<void> prepare_runtime_dir(const std::filesystem::path& directory);

}  // namespace isthmus::host
