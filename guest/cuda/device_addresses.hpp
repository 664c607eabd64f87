// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <mutex>

namespace isthmus::cuda {

/// The addresses of device memory, which the driver chooses in the host's process: mapped here to nothing, so that no
/// memory of this process gets them, and a pointer tells by its number what it points to. They are never given back:
/// the driver uses them again. Any thread.
class DeviceAddresses {
 public:
  DeviceAddresses() = default;
  DeviceAddresses(const DeviceAddresses&) = delete;
  DeviceAddresses& operator=(const DeviceAddresses&) = delete;
  DeviceAddresses(DeviceAddresses&&) = delete;
  DeviceAddresses& operator=(DeviceAddresses&&) = delete;
  ~DeviceAddresses() = default;  // they stay to the end of the process

  /// False, and nothing is held, where this process has something else there. What cannot be held for another reason,
  /// as a limit of the address space, counts as held.
  [[nodiscard]] bool hold(std::uint64_t base, std::uint64_t bytes);

 private:
  std::mutex mutex_;
  std::map<std::uint64_t, std::uint64_t> held_;  // begin -> end, in whole pages; none touches another
};

}  // namespace isthmus::cuda
