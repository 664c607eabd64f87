// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string_view>

#include "isthmus/error.hpp"

namespace isthmus::host {

/// The file of the program that runs, by which it finds what was installed with it. An error says that `what` cannot be
/// found so, and that `setting` of the configuration would name it.
[[nodiscard]] Result<std::filesystem::path> own_program(std::string_view what, std::string_view setting);

}  // namespace isthmus::host
