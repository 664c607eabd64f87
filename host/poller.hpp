// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "isthmus/error.hpp"

namespace isthmus::host {

/// The part of the event loop that knows the kernel interface. Readiness is level-triggered: a descriptor that stays
/// ready is reported by every wait(). One thread.
class Poller {
 public:
  /// One descriptor that is ready.
  struct Ready {
    std::uint64_t key;
    std::uint32_t events;  ///< EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, ...
  };

  Poller() = default;
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;
  virtual ~Poller() = default;

  [[nodiscard]] virtual std::string_view name() const noexcept = 0;

  /// Watches `fd` for `events`. Keys are never 0 and never used twice.
  [[nodiscard]] virtual Result<void> add(int fd, std::uint32_t events, std::uint64_t key) = 0;

  /// Forgets `key`; `fd` is still open. The kernel holds no reference to the file afterwards.
  virtual void remove(int fd, std::uint64_t key) = 0;

  /// Blocks until something is ready. The result may be empty, and is valid until the next call of any method.
  [[nodiscard]] virtual Result<std::span<const Ready>> wait() = 0;
};

/// A poller on io_uring; fails where the kernel has none or forbids it (ENOSYS, EPERM).
[[nodiscard]] Result<std::unique_ptr<Poller>> make_uring_poller();

/// A poller on epoll.
[[nodiscard]] Result<std::unique_ptr<Poller>> make_epoll_poller();

}  // namespace isthmus::host
