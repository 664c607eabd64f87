// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>

#include "host/worker/client_variables.hpp"
#include "isthmus/plugin.hpp"

namespace isthmus::host {

/// Has plug-ins make what the next client will want, in a thread of its own, while the worker already waits for that
/// client. One thread uses the object.
class Warming {
 public:
  Warming() = default;
  Warming(const Warming&) = delete;
  Warming& operator=(const Warming&) = delete;
  Warming(Warming&&) = delete;
  Warming& operator=(Warming&&) = delete;
  /// Waits for the thread: a driver must not be at work when the process ends.
  ~Warming() = default;

  /// Whether all was made that the plug-ins can make, and one line for the log: what was made, and what could not be.
  using Done = std::function<void(bool is_warm, const std::string& line)>;

  /// Starts it. `done` is called once, in that thread. The plug-ins and the window must outlive the object.
  /// `device_memory` is its limit, or null.
  void begin(const Plugins& plugins, std::span<std::byte> window, std::shared_ptr<plugin::DeviceMemory> device_memory,
             const Done& done);

  /// A client is there: what takes long and is not begun may be left out. Does not wait.
  void hurry() noexcept { thread_.request_stop(); }

 private:
  std::jthread thread_;
};

}  // namespace isthmus::host
