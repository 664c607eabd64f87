// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <thread>

#include "host/worker/client_variables.hpp"

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

  /// Starts it. `done` is called once, in that thread, with one line for the log: what was made, and what could not
  /// be. The plug-ins and the window must outlive the object.
  void begin(const Plugins& plugins, std::span<std::byte> window, const std::function<void(const std::string&)>& done);

  /// A client is there: what takes long and is not begun may be left out. Does not wait.
  void hurry() noexcept { thread_.request_stop(); }

 private:
  std::jthread thread_;
};

}  // namespace isthmus::host
