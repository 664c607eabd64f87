// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>  // NOLINT(modernize-deprecated-headers): POSIX signals, not C++'s
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <utility>

#include "src/transport/unique_fd.hpp"

namespace isthmus::host::test {

/// A forked process that plays another party. It runs `prepare`, tells that it is ready, and stays until it is killed;
/// the constructor returns when it is ready. Killed at the end at the latest.
class HelperProcess {
 public:
  explicit HelperProcess(const std::function<bool()>& prepare) {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) {
      return;
    }
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    pid_ = ::fork();
    if (pid_ == 0) {
      const char verdict = prepare() ? '+' : '-';
      if (::write(writer.get(), &verdict, 1) == 1) {
        while (true) {
          ::pause();
        }
      }
      ::_exit(1);
    }
    writer.reset();
    char verdict = '-';
    ready_ = ::read(reader.get(), &verdict, 1) == 1 && verdict == '+';
  }
  HelperProcess(const HelperProcess&) = delete;
  HelperProcess& operator=(const HelperProcess&) = delete;
  ~HelperProcess() { kill(); }

  /// Whether `prepare` returned true.
  [[nodiscard]] bool ready() const { return ready_; }
  [[nodiscard]] pid_t pid() const { return pid_; }

  /// Ends it and waits until it is gone.
  void kill() {
    if (const pid_t pid = std::exchange(pid_, 0); pid > 0) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }

 private:
  pid_t pid_ = 0;
  bool ready_ = false;
};

}  // namespace isthmus::host::test
