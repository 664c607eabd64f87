// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "host/file_access.hpp"

namespace isthmus::host {

/// A [[vm]] of the configuration: one region, shared with a virtual machine through a file.
struct VmConfig {
  std::string name;               ///< of the region: [A-Za-z0-9_.-], 1..63 characters
  std::filesystem::path path;     ///< absolute; the file that QEMU's memory-backend-file names
  std::uint64_t region_size = 0;  ///< bytes; a power of two in abi::min_region_size..abi::max_region_size
  FileAccess access;
  std::uint32_t lanes = 16;              ///< 1..abi::max_lanes
  std::uint32_t warm_workers = 0;        ///< kept ready for the next clients, 0..lanes
  std::uint64_t device_memory = 0;       ///< bytes for all its workers together; 0: no limit
  std::uint64_t context_memory = 0;      ///< bytes of these for each context on a device; 0: contexts are not counted
  bool huge_pages = false;               ///< back the region with them where the kernel can
  std::vector<std::string> plugins;      ///< names, or absolute paths; see find_plugins()
  std::vector<std::string> environment;  ///< of its workers, "KEY=VALUE"
};

}  // namespace isthmus::host
