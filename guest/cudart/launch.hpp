// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "guest/cudart/driver.hpp"
#include "guest/cudart/runtime.hpp"

namespace isthmus::cudart {

/// The driver's form of a launch configuration; it points to the attributes of `config`. False: the dynamic shared
/// memory is beyond what the driver can express (4 GiB).
bool to_launch_config(const cudaLaunchConfig_t& config, CUlaunchConfig& out);

}  // namespace isthmus::cudart
