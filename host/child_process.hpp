// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "isthmus/error.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// A process that the daemon started: a worker. One thread.
///
/// Destroying the object kills the process and waits for it, so that nothing outlives its owner; a driver may take long
/// to let go, so the normal way is kill(), then reap() when the pidfd is readable.
class ChildProcess {
 public:
  /// `source`, a descriptor of ours, becomes `target` in the child (0..1023); the source stays ours.
  struct FdMapping {
    int source;
    int target;
  };

  /// Who a process is.
  struct Identity {
    uid_t uid;
    gid_t gid;
    std::vector<gid_t> groups;  ///< supplementary ones, all of them
  };

  struct Command {
    std::filesystem::path program;         ///< absolute
    std::vector<std::string> arguments;    ///< argv[1] and on; argv[0] is the program
    std::vector<std::string> environment;  ///< all of it, "KEY=VALUE"; nothing is inherited
    std::vector<FdMapping> descriptors;    ///< all of them; 0, 1 and 2 are /dev/null where not named
    std::optional<Identity> identity =
        std::nullopt;         ///< who it becomes, for which one must be root; unset: who the caller is
    int fence = -1;           ///< what FileFence::make() returned; -1: none
    bool no_network = false;  ///< whether it gets a network namespace of its own, an empty one; as root
  };

  /// How a process ended.
  struct Exit {
    bool by_signal;
    int value;  ///< exit status, or number of the signal

    /// "exit status 3" or "signal 9 (Killed)".
    [[nodiscard]] std::string to_text() const;
  };

  /// Starts the command in a session of its own, in the directory /, with umask 077, no core dumps, no way to gain
  /// privileges (no_new_privs), all signals at their defaults and unblocked. The kernel kills it when the thread that
  /// called this ends: the loop's thread, the only one.
  ///
  /// A process with an identity of its own may be a program that lies where that user cannot reach it: it is opened
  /// before the identity changes. It may have at most 32768 processes and threads, of all processes of that user.
  ///
  /// Not dumpable it must make itself (PR_SET_DUMPABLE): exec sets that back. When this returns, the program runs;
  /// otherwise it fails with Errc::not_found, Errc::permission_denied and so on, and nothing is left.
  [[nodiscard]] static Result<ChildProcess> spawn(const Command& command);

  ChildProcess(ChildProcess&& other) noexcept : pid_(std::exchange(other.pid_, 0)), pidfd_(std::move(other.pidfd_)) {}
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  /// 0 once it has been reaped.
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// For EventLoop::add with EPOLLIN: readable when the process has ended.
  [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }

  /// Sends a signal. Fails with Errc::peer_died if the process has been reaped.
  [[nodiscard]] Result<void> kill(int signal) const;

  /// How it ended, if it has; nothing while it runs. Never blocks. Afterwards the process is gone for good, and asking
  /// again fails with Errc::peer_died.
  [[nodiscard]] Result<std::optional<Exit>> reap();

 private:
  ChildProcess(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

  void end() noexcept;

  pid_t pid_;  ///< 0: reaped, or moved from
  UniqueFd pidfd_;
};

}  // namespace isthmus::host
