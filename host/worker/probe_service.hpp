// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "isthmus/marshal/dispatcher.hpp"

namespace isthmus::host {

/// Adds the probe API (isthmus/api/probe.hpp) to a dispatcher.
void add_probe_service(marshal::Dispatcher& dispatcher);

}  // namespace isthmus::host
