// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
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
///
/// What is not there, and will be as soon as other workers have ended that are about to, is waited for: else a program
/// that is started when another one has just ended would not find what that one had, as it does natively.
class DeviceMemoryDesk {
 public:
  /// How long it is waited for: longer than WorkerProcess takes to kill a worker that was told to stop.
  static constexpr std::chrono::seconds usual_patience{3};

  /// `broken` is called when the worker sent what is no request, or gave back what it never had; it must not destroy
  /// the object.
  DeviceMemoryDesk(EventLoop& loop, std::shared_ptr<DeviceMemoryAccount> account, UniqueFd socket,
                   std::function<void(std::string_view why)> broken,
                   std::chrono::milliseconds patience = usual_patience);
  DeviceMemoryDesk(const DeviceMemoryDesk&) = delete;
  DeviceMemoryDesk& operator=(const DeviceMemoryDesk&) = delete;
  DeviceMemoryDesk(DeviceMemoryDesk&&) = delete;
  DeviceMemoryDesk& operator=(DeviceMemoryDesk&&) = delete;
  ~DeviceMemoryDesk();

  /// The worker is about to end: what it has is worth waiting for.
  void worker_leaves() { account_->leaves(this); }

 private:
  void hear();
  void wait_for(std::uint64_t bytes);
  void look_again();
  void stop_waiting();
  void answer(bool granted);
  void close();
  void turn_away(std::string_view why);

  EventLoop* loop_;
  std::shared_ptr<DeviceMemoryAccount> account_;
  UniqueFd socket_;
  std::function<void(std::string_view)> broken_;
  std::chrono::milliseconds patience_;
  std::optional<EventLoop::Token> token_;
  std::uint64_t wanted_ = 0;  // while patience_token_ is there
  std::optional<EventLoop::Token> patience_token_;
};

}  // namespace isthmus::host
