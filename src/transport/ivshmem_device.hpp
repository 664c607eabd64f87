// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "isthmus/endpoint.hpp"
#include "isthmus/error.hpp"
#include "src/transport/region.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus {

/// An ivshmem device of this VM whose BAR2 is open and mapped.
struct IvshmemDevice {
  std::string address;  ///< PCI address, DDDD:BB:SS.F
  UniqueFd bar2;        ///< sysfs's resource2, whose bytes are locked for lanes; not the description that is mapped
  Region region;
};

/// Finds the device that the endpoint names below `pci_devices` (/sys/bus/pci/devices) and maps it.
/// Errors: not_found (no device; several and no name; no such name), permission_denied, version_mismatch, unsupported
/// (one virtual processor under TCG).
[[nodiscard]] Result<IvshmemDevice> open_ivshmem(const Endpoint& endpoint, const std::string& pci_devices);

}  // namespace isthmus
