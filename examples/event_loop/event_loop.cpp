// SPDX-License-Identifier: Apache-2.0

// Calls in an epoll loop that a program has already: they are submitted, the loop goes on with its other work (here a
// timer), and a descriptor becomes readable when replies have come.

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <isthmus/local_lane.hpp>
#include <thread>
#include <vector>

namespace {

// A device that takes 5 ms for an answer, which is the number it got, squared.
class SlowDevice final : public isthmus::Service {
 public:
  void handle(isthmus::Request& request) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const std::uint32_t number = request.opcode();
    const std::uint32_t square = number * number;
    std::ignore = request.reply(0, std::as_bytes(std::span(&square, 1)));
  }
};

struct OpenCall {
  isthmus::CallId id{};
  std::uint32_t number = 0;
  std::uint32_t square = 0;  // the reply's bytes arrive here
};

// Reading empties an eventfd or timerfd, so that it becomes readable again only for what comes next.
void empty(int fd) {
  std::uint64_t count = 0;
  std::ignore = read(fd, &count, sizeof count);
}

int run(isthmus::Channel& channel) {
  const auto completion = channel.completion_fd();
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  const int loop = epoll_create1(EPOLL_CLOEXEC);
  if (!completion || timer < 0 || loop < 0) {
    return 1;
  }
  const itimerspec every_ms{.it_interval = {.tv_sec = 0, .tv_nsec = 1'000'000}, .it_value = {0, 1'000'000}};
  timerfd_settime(timer, 0, &every_ms, nullptr);
  for (const int fd : {timer, *completion}) {
    epoll_event interest{.events = EPOLLIN, .data = {.fd = fd}};
    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &interest);
  }

  std::array<OpenCall, 16> calls{};
  for (std::uint32_t i = 0; i < calls.size(); ++i) {
    OpenCall& call = calls.at(i);
    call.number = i;
    const auto id =
        channel.submit({.api = 0x4556, .opcode = static_cast<std::uint16_t>(i), .fixed = {}, .trailing = {}},
                       std::as_writable_bytes(std::span(&call.square, 1)));
    if (!id) {
      return 1;
    }
    call.id = *id;
  }
  std::vector<OpenCall*> open;
  open.reserve(calls.size());
  for (OpenCall& call : calls) {
    open.push_back(&call);
  }

  int ticks = 0;
  int right = 0;
  while (!open.empty()) {
    epoll_event ready{};
    const int count = epoll_wait(loop, &ready, 1, 10'000);
    if (count < 0 && errno == EINTR) {
      continue;  // the process was stopped, and goes on
    }
    if (count != 1) {
      return 1;
    }
    empty(ready.data.fd);
    if (ready.data.fd == timer) {
      ++ticks;  // the program's other work
      continue;
    }
    // Some replies are there: look at every open call. An error would be the lane's end, and end the call, too.
    std::erase_if(open, [&](const OpenCall* call) {
      const auto reply = channel.poll(call->id);
      right += reply && *reply && call->square == call->number * call->number ? 1 : 0;
      return !reply || reply->has_value();
    });
  }
  close(loop);
  close(timer);
  std::printf("%d replies and %d ticks of a timer in one loop\n", right, ticks);
  return right == 16 && ticks > 0 ? 0 : 1;
}

}  // namespace

int main() {
  auto local = isthmus::LocalLane::in_child([] { return std::make_unique<SlowDevice>(); });
  const auto channel = local ? local->lane().channel() : std::unexpected(local.error());
  if (!channel) {
    std::fprintf(stderr, "%s\n", channel.error().message.c_str());
    return 1;
  }
  return run(**channel);
}
