// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cstddef>
#include <string>

namespace isthmus::standin {

/// From the environment, read once.
struct Settings {
  int devices = 1;                             ///< ISTHMUS_STANDIN_DEVICES, 0 to 8
  std::size_t memory = std::size_t{4} << 30U;  ///< ISTHMUS_STANDIN_MEMORY_MIB of each device; default 4096
  unsigned delay_us = 0;            ///< ISTHMUS_STANDIN_DELAY_US: each task waits 0 to so long before it starts
  unsigned call_delay_us = 0;       ///< ISTHMUS_STANDIN_CALL_DELAY_US: each call waits 0 to so long before it acts
  unsigned start_ms = 0;            ///< ISTHMUS_STANDIN_START_MS: making a primary context takes so long
  std::string shared = "/dev/shm";  ///< ISTHMUS_STANDIN_SHARED: the folder for what processes share
  bool trace = false;               ///< ISTHMUS_STANDIN_TRACE=1: each call and its answer on stderr
};

const Settings& settings();

}  // namespace isthmus::standin
