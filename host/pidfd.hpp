// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// A descriptor that names the process and becomes readable when it ends; empty, with errno, on failure. By system
/// call, for C libraries older than glibc 2.36. Children that are not reaped yet cannot be confused; others can, if
/// they may have ended and their number been given out again.
[[nodiscard]] inline UniqueFd open_pidfd(pid_t pid) noexcept {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));  // close-on-exec by itself
}

/// kill() by descriptor: 0, or -1 with errno.
[[nodiscard]] inline int send_signal_to_pidfd(int pidfd, int signal) noexcept {
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}

}  // namespace isthmus::host
