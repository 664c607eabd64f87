// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "src/transport/unique_fd.hpp"
#include "test/support/must.hpp"

namespace isthmus::test {

/// A client in a process of its own (lane_holder.cpp).
class LaneHolder {
 public:
  explicit LaneHolder(std::vector<std::string> arguments) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    require(pipe2(in.data(), O_CLOEXEC) == 0 && pipe2(out.data(), O_CLOEXEC) == 0, "pipe2");
    const UniqueFd child_in(in[0]);
    const UniqueFd child_out(out[1]);
    to_child_.reset(in[1]);
    from_child_.reset(out[0]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, child_in.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, child_out.get(), STDOUT_FILENO);
    arguments.insert(arguments.begin(), ISTHMUS_LANE_HOLDER);
    std::vector<char*> argv;
    for (std::string& argument : arguments) {
      argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
    const int error = posix_spawn(&pid_, argv.front(), &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    require(error == 0, "posix_spawn");
  }
  LaneHolder(const LaneHolder&) = delete;
  LaneHolder& operator=(const LaneHolder&) = delete;
  LaneHolder(LaneHolder&&) = delete;
  LaneHolder& operator=(LaneHolder&&) = delete;
  ~LaneHolder() { kill_and_reap(); }

  /// The next line that it says, without its end; empty after two minutes or at the end of its output.
  [[nodiscard]] std::string line() {
    std::string text;
    for (char c = 0;;) {
      pollfd readable{.fd = from_child_.get(), .events = POLLIN, .revents = 0};
      if (poll(&readable, 1, 120'000) <= 0 || read(from_child_.get(), &c, 1) != 1 || c == '\n') {
        return text;
      }
      text.push_back(c);
    }
  }
  void tell(const std::string& command) const {
    const std::string with_end = command + "\n";
    require(write(to_child_.get(), with_end.data(), with_end.size()) == static_cast<ssize_t>(with_end.size()), "write");
  }
  void signal(int number) const { ::kill(pid_, number); }
  /// Lets it detach and end by itself.
  void finish() {
    to_child_.reset();
    reap();
  }
  void kill_and_reap() {
    if (pid_ > 0) {
      signal(SIGKILL);
      reap();
    }
  }

 private:
  void reap() { waitpid(std::exchange(pid_, -1), nullptr, 0); }

  pid_t pid_ = -1;
  UniqueFd to_child_;
  UniqueFd from_child_;
};

}  // namespace isthmus::test
