// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>

#include "host/confinement.hpp"

namespace isthmus::host {

/// What the daemon's workers have in common.
struct WorkerSetup {
  std::filesystem::path program;                    ///< see find_worker()
  std::optional<std::filesystem::path> plugin_dir;  ///< see find_plugins()
  Confinement confinement;
};

}  // namespace isthmus::host
