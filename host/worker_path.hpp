// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>

#include "isthmus/error.hpp"

namespace isthmus::host {

/// The worker's program: the configured one, else isthmus-worker beside the running program, else
/// ../libexec/isthmus/isthmus-worker from there. Fails with Errc::not_found, or Errc::permission_denied if it may not
/// be executed.
[[nodiscard]] Result<std::filesystem::path> find_worker(const std::optional<std::filesystem::path>& configured);

}  // namespace isthmus::host
