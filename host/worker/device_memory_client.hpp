// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "isthmus/plugin.hpp"
#include "src/transport/daemon_protocol.hpp"

namespace isthmus::host {

/// Asks isthmusd for device memory, over a socket of its own. Any thread; each call is one round trip to the daemon.
class DeviceMemoryClient final : public plugin::DeviceMemory {
 public:
  /// Null where the daemon has given the worker no such socket: there is no limit. To be called before anything else
  /// is opened.
  [[nodiscard]] static std::shared_ptr<DeviceMemoryClient> of_process();

  [[nodiscard]] bool take(std::uint64_t bytes) override;
  void give(std::uint64_t bytes) override;
  [[nodiscard]] State state() override;

 private:
  DeviceMemoryClient() = default;
  [[nodiscard]] std::optional<wire::MemoryAnswer> ask(wire::MemoryWish want, std::uint64_t bytes);

  std::mutex mutex_;  // one question at a time
};

}  // namespace isthmus::host
