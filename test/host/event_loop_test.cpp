// SPDX-License-Identifier: Apache-2.0
#include "host/event_loop.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "host/pidfd.hpp"
#include "loop_engines.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals have no other way
using Clock = std::chrono::steady_clock;

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0) {
      reader.reset(ends[0]);
      writer.reset(ends[1]);
    }
  }
  void put() const { EXPECT_EQ(::write(writer.get(), "x", 1), 1); }
  void take() const {
    char byte = 0;
    EXPECT_EQ(::read(reader.get(), &byte, 1), 1);
  }

  UniqueFd reader;
  UniqueFd writer;
};

class EventLoopTest : public testing::TestWithParam<LoopEngine> {
 protected:
  void SetUp() override {
    auto made = EventLoop::create(GetParam());
    if (!made && GetParam() == LoopEngine::io_uring) {
      GTEST_SKIP() << made.error().message;
    }
    ASSERT_TRUE(made) << made.error().message;
    loop_ = std::move(*made);
  }

  /// Runs until a callback stops the loop; a test that hangs ends after a minute.
  void run() {
    const auto guard = loop_->call_after(60s, [this] {
      ADD_FAILURE() << "nothing stopped the loop";
      loop_->stop();
    });
    const auto result = loop_->run();
    EXPECT_TRUE(result) << result.error().message;
    loop_->remove(guard);
  }

  EventLoop::Token watch(int fd, EventLoop::ReadyCallback callback, std::uint32_t events = EPOLLIN) {
    auto token = loop_->add(fd, events, std::move(callback));
    EXPECT_TRUE(token) << token.error().message;
    return token.value_or(EventLoop::Token{});
  }

  std::unique_ptr<EventLoop> loop_;
};

TEST_P(EventLoopTest, a_readable_descriptor_calls_back) {
  const Pipe pipe;
  std::uint32_t seen = 0;
  watch(pipe.reader.get(), [&](std::uint32_t events) {
    seen = events;
    pipe.take();
    loop_->stop();
  });
  pipe.put();
  run();
  EXPECT_EQ(seen, std::uint32_t{EPOLLIN});
}

TEST_P(EventLoopTest, a_descriptor_that_becomes_ready_while_the_loop_sleeps_wakes_it) {
  const Pipe pipe;
  watch(pipe.reader.get(), [&](std::uint32_t /*events*/) { loop_->stop(); });
  std::jthread later([&] {
    std::this_thread::sleep_for(20ms);
    pipe.put();
  });
  run();
}

TEST_P(EventLoopTest, what_a_callback_leaves_behind_calls_it_again) {
  const Pipe pipe;
  int calls = 0;
  for (int i = 0; i < 5; ++i) {
    pipe.put();
  }
  watch(pipe.reader.get(), [&](std::uint32_t /*events*/) {
    pipe.take();
    if (++calls == 5) {
      loop_->stop();
    }
  });
  run();
  EXPECT_EQ(calls, 5);
}

TEST_P(EventLoopTest, a_callback_may_remove_itself) {
  const Pipe pipe;
  EventLoop::Token token{};
  int calls = 0;
  const std::string kept_alive(100, 'k');
  token = watch(pipe.reader.get(), [&, copy = kept_alive](std::uint32_t /*events*/) {
    ++calls;
    loop_->remove(token);
    EXPECT_EQ(copy, kept_alive);  // the callback's own state is still there
  });
  pipe.put();
  loop_->call_after(30ms, [&] { loop_->stop(); });
  run();
  EXPECT_EQ(calls, 1);
}

TEST_P(EventLoopTest, what_was_removed_in_this_round_is_not_called_any_more) {
  const Pipe first;
  const Pipe second;
  first.put();
  second.put();
  std::array<EventLoop::Token, 2> tokens{};
  int calls = 0;
  tokens[0] = watch(first.reader.get(), [&](std::uint32_t /*events*/) {
    ++calls;
    loop_->remove(tokens[0]);
    loop_->remove(tokens[1]);
  });
  tokens[1] = watch(second.reader.get(), [&](std::uint32_t /*events*/) {
    ++calls;
    loop_->remove(tokens[0]);
    loop_->remove(tokens[1]);
  });
  loop_->call_after(30ms, [&] { loop_->stop(); });
  run();
  EXPECT_EQ(calls, 1);
}

TEST_P(EventLoopTest, a_callback_may_add_others) {
  const Pipe first;
  std::vector<Pipe> more(50);
  std::size_t calls = 0;
  first.put();
  EventLoop::Token token{};
  token = watch(first.reader.get(), [&](std::uint32_t /*events*/) {
    loop_->remove(token);
    for (const Pipe& pipe : more) {
      pipe.put();
      watch(pipe.reader.get(), [&](std::uint32_t /*events*/) {
        pipe.take();
        if (++calls == more.size()) {
          loop_->stop();
        }
      });
    }
  });
  run();
  EXPECT_EQ(calls, more.size());
}

TEST_P(EventLoopTest, four_hundred_descriptors_are_all_served) {
  std::vector<Pipe> pipes(400);
  std::vector<int> calls(pipes.size());
  std::size_t served = 0;
  for (std::size_t i = 0; i < pipes.size(); ++i) {
    ASSERT_TRUE(pipes[i].reader);
    watch(pipes[i].reader.get(), [&, i](std::uint32_t /*events*/) {
      pipes[i].take();
      ++calls[i];
      if (++served == pipes.size()) {
        loop_->stop();
      }
    });
    pipes[i].put();
  }
  run();
  EXPECT_EQ(calls, std::vector<int>(pipes.size(), 1));
}

TEST_P(EventLoopTest, the_same_number_can_be_watched_again_after_it_was_closed) {
  int calls_of_old = 0;
  int calls_of_new = 0;
  int number = -1;
  EventLoop::Token old{};
  {
    const Pipe pipe;
    number = pipe.reader.get();
    old = watch(number, [&](std::uint32_t /*events*/) { ++calls_of_old; });
    pipe.put();
    loop_->remove(old);
  }
  const Pipe other;
  ASSERT_EQ(other.reader.get(), number);
  watch(number, [&](std::uint32_t /*events*/) {
    ++calls_of_new;
    loop_->stop();
  });
  loop_->remove(old);  // void: must not hit the new one
  other.put();
  run();
  EXPECT_EQ(calls_of_old, 0);
  EXPECT_EQ(calls_of_new, 1);
}

TEST_P(EventLoopTest, a_socket_removed_and_closed_is_closed_for_its_peer_at_once) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
  UniqueFd ours(ends[0]);
  const UniqueFd peers(ends[1]);
  const auto token = watch(ours.get(), [](std::uint32_t /*events*/) {});
  loop_->call_after(0s, [&] { loop_->stop(); });
  run();  // now the kernel has the poll
  loop_->remove(token);
  ours.reset();
  char byte = 0;
  EXPECT_EQ(::recv(peers.get(), &byte, 1, 0), 0);
}

TEST_P(EventLoopTest, a_hang_up_is_told_without_being_asked_for) {
  Pipe pipe;
  std::uint32_t seen = 0;
  watch(pipe.reader.get(), [&](std::uint32_t events) {
    seen = events;
    loop_->stop();
  });
  pipe.writer.reset();
  run();
  EXPECT_NE(seen & EPOLLHUP, 0U);
}

TEST_P(EventLoopTest, room_to_write_is_told_too) {
  const Pipe pipe;
  std::uint32_t seen = 0;
  watch(
      pipe.writer.get(),
      [&](std::uint32_t events) {
        seen = events;
        loop_->stop();
      },
      EPOLLOUT);
  run();
  EXPECT_EQ(seen, std::uint32_t{EPOLLOUT});
}

TEST_P(EventLoopTest, the_end_of_a_child_is_an_event) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::this_thread::sleep_for(20ms);
    ::_exit(0);
  }
  const UniqueFd pidfd = open_pidfd(child);
  ASSERT_TRUE(pidfd);
  watch(pidfd.get(), [&](std::uint32_t /*events*/) { loop_->stop(); });
  run();
  EXPECT_EQ(::waitpid(child, nullptr, WNOHANG), child);
}

TEST_P(EventLoopTest, descriptors_that_cannot_be_watched_are_refused) {
  const UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const Pipe pipe;
  watch(pipe.reader.get(), [](std::uint32_t /*events*/) {});
  for (const int fd : {-1, 1 << 20, file.get(), pipe.reader.get()}) {
    const auto token = loop_->add(fd, EPOLLIN, [](std::uint32_t /*events*/) {});
    ASSERT_FALSE(token);
    EXPECT_EQ(token.error().code, Errc::invalid_argument);
    EXPECT_NE(token.error().message.find(std::to_string(fd)), std::string::npos) << token.error().message;
  }
}

TEST_P(EventLoopTest, a_timer_calls_once_and_not_too_early) {
  const auto start = Clock::now();
  Clock::duration passed{};
  int calls = 0;
  loop_->call_after(20ms, [&] {
    passed = Clock::now() - start;
    ++calls;
  });
  loop_->call_after(60ms, [&] { loop_->stop(); });
  run();
  EXPECT_EQ(calls, 1);
  EXPECT_GE(passed, 20ms);
}

TEST_P(EventLoopTest, timers_call_in_the_order_in_which_they_are_due) {
  std::string order;
  loop_->call_after(30ms, [&] {
    order += 'c';
    loop_->stop();
  });
  loop_->call_after(10ms, [&] { order += 'a'; });
  loop_->call_after(20ms, [&] { order += 'b'; });
  run();
  EXPECT_EQ(order, "abc");
}

TEST_P(EventLoopTest, a_periodic_timer_calls_until_it_is_removed) {
  int calls = 0;
  EventLoop::Token token{};
  token = loop_->call_every(2ms, [&] {
    if (++calls == 5) {
      loop_->remove(token);
      loop_->call_after(20ms, [&] { loop_->stop(); });
    }
  });
  run();
  EXPECT_EQ(calls, 5);
}

TEST_P(EventLoopTest, ticks_that_were_missed_are_not_made_up_for) {
  int calls = 0;
  const auto start = Clock::now();
  loop_->call_every(10ms, [&] {
    if (++calls == 1) {
      std::this_thread::sleep_for(100ms);
    } else {
      loop_->stop();
    }
  });
  run();
  EXPECT_EQ(calls, 2);
  EXPECT_GE(Clock::now() - start, 110ms);
}

TEST_P(EventLoopTest, a_timer_removed_before_it_is_due_never_calls) {
  const auto token = loop_->call_after(5ms, [] { ADD_FAILURE(); });
  loop_->remove(token);
  loop_->remove(token);
  loop_->call_after(20ms, [&] { loop_->stop(); });
  run();
}

TEST_P(EventLoopTest, a_timer_may_remove_another_that_is_due_with_it) {
  int calls = 0;
  std::array<EventLoop::Token, 2> tokens{};
  for (EventLoop::Token& token : tokens) {
    token = loop_->call_after(1ms, [&] {
      ++calls;
      loop_->remove(tokens[0]);
      loop_->remove(tokens[1]);
    });
  }
  std::this_thread::sleep_for(5ms);
  loop_->call_after(20ms, [&] { loop_->stop(); });
  run();
  EXPECT_EQ(calls, 1);
}

TEST_P(EventLoopTest, timers_of_no_delay_do_not_starve_descriptors) {
  const Pipe pipe;
  pipe.put();
  std::move_only_function<void()> again;
  again = [&] { loop_->call_after(0s, [&] { again(); }); };
  again();
  watch(pipe.reader.get(), [&](std::uint32_t /*events*/) { loop_->stop(); });
  run();
}

TEST_P(EventLoopTest, running_ends_when_nothing_is_left_to_wait_for) {
  int calls = 0;
  loop_->call_after(1ms, [&] { ++calls; });
  EXPECT_TRUE(loop_->run());
  EXPECT_EQ(calls, 1);
}

TEST_P(EventLoopTest, a_stop_in_advance_ends_the_next_run_only) {
  int calls = 0;
  loop_->call_after(0s, [&] { ++calls; });
  loop_->stop();
  EXPECT_TRUE(loop_->run());
  EXPECT_EQ(calls, 0);
  EXPECT_TRUE(loop_->run());
  EXPECT_EQ(calls, 1);
}

TEST_P(EventLoopTest, an_idle_loop_costs_no_processor_time) {
  const Pipe pipe;
  watch(pipe.reader.get(), [](std::uint32_t /*events*/) {});
  const auto cpu_time = [] {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  };
  const auto before = cpu_time();
  loop_->call_after(500ms, [&] { loop_->stop(); });
  run();
  EXPECT_LT(cpu_time() - before, 100ms);  // a loop that turns would have used all 500
}

INSTANTIATE_TEST_SUITE_P(Engines, EventLoopTest, test::both_engines(), test::engine_name);

/// Makes io_uring_setup fail with `error` in this process from now on, like a sysctl or a container's filter.
bool forbid_io_uring(std::uint32_t error) {
  std::array<sock_filter, 4> program{{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_io_uring_setup},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  }};
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}

/// Runs `check` in a forked process; true if it returned true there.
bool in_child(bool (*check)(std::uint32_t error), std::uint32_t error) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(check(error) ? 0 : 1);
  }
  int status = -1;
  return ::waitpid(child, &status, 0) == child && status == 0;
}

TEST(EventLoopFallback, without_io_uring_automatic_takes_epoll_and_says_why) {
  for (const unsigned error : {unsigned{ENOSYS}, unsigned{EPERM}}) {
    EXPECT_TRUE(in_child(
        [](std::uint32_t forbidden_with) {
          if (!forbid_io_uring(forbidden_with)) {
            return false;
          }
          const auto loop = EventLoop::create(LoopEngine::automatic);
          return loop && (*loop)->engine_name() == "epoll" && !(*loop)->fallback_reason().empty();
        },
        error));
  }
}

TEST(EventLoopFallback, without_io_uring_asking_for_it_by_name_fails) {
  EXPECT_TRUE(in_child(
      [](std::uint32_t error) {
        if (!forbid_io_uring(error)) {
          return false;
        }
        const auto loop = EventLoop::create(LoopEngine::io_uring);
        return !loop && loop.error().code == Errc::unsupported &&
               loop.error().message.find("event_loop") != std::string::npos;
      },
      ENOSYS));
}

TEST(EventLoopFallback, automatic_takes_io_uring_where_it_can_be_had) {
  const auto uring = EventLoop::create(LoopEngine::io_uring);
  const auto loop = EventLoop::create(LoopEngine::automatic);
  ASSERT_TRUE(loop);
  EXPECT_EQ((*loop)->engine_name(), uring ? "io_uring" : "epoll");
  EXPECT_EQ((*loop)->fallback_reason().empty(), uring.has_value());
}

}  // namespace
}  // namespace isthmus::host
