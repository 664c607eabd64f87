// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "host/device_memory_account.hpp"
#include "host/event_loop.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// Answers one worker's requests for device memory (wire::MemoryRequest), until it is destroyed: then all that the
/// worker had is free. What the worker says is not believed. One thread, the loop's.
class DeviceMemoryDesk {
 public:
  /// `broken` is called when the worker sent what is no request, or gave back what it never had; it must not destroy
  /// the object.
  DeviceMemoryDesk(EventLoop& loop, std::shared_ptr<DeviceMemoryAccount> account, UniqueFd socket,
                   std::function<void(std::string_view why)> broken);
  DeviceMemoryDesk(const DeviceMemoryDesk&) = delete;
  DeviceMemoryDesk& operator=(const DeviceMemoryDesk&) = delete;
  DeviceMemoryDesk(DeviceMemoryDesk&&) = delete;
  DeviceMemoryDesk& operator=(DeviceMemoryDesk&&) = delete;
  ~DeviceMemoryDesk();

 private:
  void answer();
  void close();
  void turn_away(std::string_view why);

  EventLoop* loop_;
  std::shared_ptr<DeviceMemoryAccount> account_;
  UniqueFd socket_;
  std::function<void(std::string_view)> broken_;
  std::optional<EventLoop::Token> token_;
};

}  // namespace isthmus::host
