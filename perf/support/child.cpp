// SPDX-License-Identifier: Apache-2.0
#include "perf/support/child.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>
#include <system_error>
#include <thread>

#include "perf/support/placement.hpp"

namespace isthmus::perf {
namespace {

constexpr std::chrono::seconds child_patience{2};

std::atomic<bool> killing{false};

// Async-signal-safe.
extern "C" void on_child_end(int) {
  const int error = errno;
  siginfo_t info{};
  const bool ended = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
  if (ended && !(info.si_code == CLD_EXITED && info.si_status == 0) && !killing.load(std::memory_order_relaxed)) {
    constexpr std::string_view text = "bench: a host process ended badly; what it said stands above\n";
    static_cast<void>(!write(STDERR_FILENO, text.data(), text.size()));
    _exit(3);
  }
  errno = error;
}

void watch_children() {
  static const bool once = [] {
    struct sigaction action{};
    action.sa_handler = on_child_end;
    action.sa_flags = SA_RESTART | SA_NOCLDSTOP;
    sigaction(SIGCHLD, &action, nullptr);
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace

Child::Child(const std::function<int()>& body) {
  watch_children();
  static_cast<void>(std::fflush(nullptr));  // or the child would print it again
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) {
    throw std::system_error(errno, std::generic_category(), "fork");
  }
  if (pid_ == 0) {
    signal(SIGCHLD, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int status = 1;
    try {
      if (getppid() == parent) {
        unpin();
        status = body();
      }
    } catch (const std::exception& error) {
      static_cast<void>(std::fprintf(stderr, "bench: host process: %s\n", error.what()));
    }
    static_cast<void>(std::fflush(nullptr));
    _exit(status);
  }
}

Child::~Child() {
  const auto deadline = std::chrono::steady_clock::now() + child_patience;
  while (waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() >= deadline) {
      killing.store(true, std::memory_order_relaxed);
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
      killing.store(false, std::memory_order_relaxed);
      return;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

}  // namespace isthmus::perf
