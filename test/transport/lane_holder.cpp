// SPDX-License-Identifier: Apache-2.0
// A client process for test_ivshmem: lane_holder PCI-FOLDER ENDPOINT [UID]. Attaches (as that user, if one is given)
// and says `lane N` or `error CODE: TEXT`. Then it obeys lines: `call` (answers `answered` or `error ...`), `fork`
// (answers `forked PID`, said by the child, which then sleeps until it is killed), and at the end of its input it
// detaches.

#include <unistd.h>

#include <charconv>
#include <csignal>
#include <iostream>
#include <span>
#include <string>
#include <string_view>

#include "src/transport/lane_state.hpp"

namespace {

void say(const std::string& line) { std::cout << line << std::endl; }

void say(const isthmus::Error& error) {
  say("error " + std::to_string(static_cast<int>(error.code)) + ": " + error.message);
}

int hold(isthmus::LaneState& lane) {
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "call") {
      const auto channel = lane.channel();
      const auto reply = channel ? (*channel)->call({.api = 1, .opcode = 1, .fixed = {}, .trailing = {}})
                                 : isthmus::Result<isthmus::Reply>(std::unexpected(channel.error()));
      reply ? say("answered") : say(reply.error());
    } else if (line == "fork") {
      if (fork() == 0) {
        say("forked " + std::to_string(getpid()));
        pause();
        _exit(0);
      }
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::span<char*> args(argv, static_cast<std::size_t>(argc));
  if (args.size() < 3) {
    return 2;
  }
  if (args.size() > 3) {
    const std::string_view text = args[3];
    uid_t uid = 0;
    std::from_chars(text.data(), text.data() + text.size(), uid);
    if (setgid(uid) != 0 || setuid(uid) != 0) {
      return 2;
    }
  }
  const auto endpoint = isthmus::Endpoint::parse(args[2]);
  if (!endpoint) {
    say(endpoint.error());
    return 1;
  }
  auto lane = isthmus::attach_ivshmem(*endpoint, {.timeout = std::chrono::seconds(60)}, args[1]);
  if (!lane) {
    say(lane.error());
    _exit(1);  // a leak checker cannot look into a process that has changed its user
  }
  say("lane " + std::to_string((*lane)->index()));
  return hold(**lane);
}
