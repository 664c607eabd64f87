// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "isthmus/plugin.hpp"

/// \file
/// Which variables of a client's environment reach the drivers of its worker. What a client asks for is a guest's word:
/// only names that a plug-in lists count, and none that the host's configuration has set.

namespace isthmus::host {

using Plugins = std::vector<const plugin::Descriptor*>;

/// Whether plug-ins that are prepared serve a client with these variables as if they had been there before.
[[nodiscard]] bool suits(const Plugins& plugins, std::span<const std::string> variables);

/// Puts those that count into the process's environment. Before the plug-ins are prepared; no other thread may run that
/// reads the environment.
void take_over(const Plugins& plugins, std::span<const std::string> variables);

}  // namespace isthmus::host
