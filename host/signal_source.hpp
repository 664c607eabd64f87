// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigset_t and pid_t are POSIX, not C++
#include <sys/types.h>

#include <initializer_list>
#include <optional>

#include "isthmus/error.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// Signals as readable events of a descriptor, so that they are handled between two callbacks of the loop.
///
/// The signals are blocked in the calling thread while the object lives; make it before any other thread starts, since
/// a signal sent to the process goes to whatever thread does not block it. A child inherits the mask: ChildProcess
/// resets it.
class SignalSource {
 public:
  /// One signal that arrived.
  struct Received {
    int number;
    pid_t sender;  ///< 0 if the kernel sent it
  };

  [[nodiscard]] static Result<SignalSource> create(std::initializer_list<int> signals);

  SignalSource(SignalSource&& other) noexcept = default;
  SignalSource& operator=(SignalSource&& other) = delete;
  SignalSource(const SignalSource&) = delete;
  SignalSource& operator=(const SignalSource&) = delete;
  /// Restores the mask that the thread had before.
  ~SignalSource();

  /// For EventLoop::add with EPOLLIN.
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

  /// The next signal that has arrived, or nothing. Never blocks. Several of one number may arrive as one.
  [[nodiscard]] std::optional<Received> next();

 private:
  SignalSource(UniqueFd fd, const sigset_t& before) : fd_(std::move(fd)), before_(before) {}

  UniqueFd fd_;
  sigset_t before_;
};

/// Makes the process ignore these signals (the daemon: SIGHUP, SIGPIPE).
void ignore_signals(std::initializer_list<int> signals) noexcept;

}  // namespace isthmus::host
