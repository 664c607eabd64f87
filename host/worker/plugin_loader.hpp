// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "isthmus/error.hpp"
#include "isthmus/plugin.hpp"

namespace isthmus::host {

/// Whether this worker and that plug-in fit each other. `expected` is the name that the configuration gave it; empty:
/// any. Errors: version_mismatch, invalid_argument, with what to do.
[[nodiscard]] Result<void> check_plugin(const plugin::Descriptor& descriptor, std::string_view expected);

/// Whether each API has one plug-in, and none is the worker's own (the probe), as far as the descriptors tell. Errors:
/// invalid_argument, with both names.
[[nodiscard]] Result<void> check_apis(std::span<const plugin::Descriptor* const> plugins);

/// Loads a plug-in for the life of the process, and checks it. Errors: those of check_plugin; not_found (no such
/// library, or one of those that it needs; no plug-in).
[[nodiscard]] Result<const plugin::Descriptor*> load_plugin(const std::filesystem::path& file,
                                                            std::string_view expected);

/// Lets it prepare; returns its line for the log. Runs the plug-in's code: what it does beyond errors and exceptions
/// (abort, exit) happens to the process. Errors: those of its prepare().
[[nodiscard]] Result<std::string> prepare_plugin(const plugin::Descriptor& plugin);

}  // namespace isthmus::host
