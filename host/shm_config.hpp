// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/file_access.hpp"

namespace isthmus::host {

/// A [[shm]] of the configuration: an endpoint shm:NAME for processes of this machine.
struct ShmConfig {
  static constexpr std::uint32_t max_max_clients = 1024;

  std::string name;                      ///< [A-Za-z0-9_.-], 1..63 characters
  std::uint64_t region_size = 0;         ///< bytes for each client; limits as in VmConfig
  FileAccess access;                     ///< of the socket
  std::uint32_t max_clients = 64;        ///< at a time, 1..max_max_clients
  std::uint32_t warm_workers = 0;        ///< each with a region, 0..max_clients
  std::uint64_t device_memory = 0;       ///< bytes for all its workers together; 0: no limit
  std::uint64_t context_memory = 0;      ///< bytes of these for each context on a device; 0: contexts are not counted
  bool huge_pages = false;               ///< as in VmConfig
  std::vector<std::string> plugins;      ///< as in VmConfig
  std::vector<std::string> environment;  ///< as in VmConfig
};

}  // namespace isthmus::host
