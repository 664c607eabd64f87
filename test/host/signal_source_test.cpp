// SPDX-License-Identifier: Apache-2.0
#include "host/signal_source.hpp"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "host/event_loop.hpp"
#include "loop_engines.hpp"

namespace isthmus::host {
namespace {

bool blocked(int signal) {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

class SignalSourceTest : public testing::TestWithParam<LoopEngine> {};

TEST_P(SignalSourceTest, a_signal_ends_the_sleep_of_the_loop) {
  auto loop = EventLoop::create(GetParam());
  if (!loop) {
    GTEST_SKIP() << loop.error().message;
  }
  auto source = SignalSource::create({SIGTERM, SIGINT, SIGCHLD});
  ASSERT_TRUE(source);
  std::vector<int> seen;
  ASSERT_TRUE((*loop)->add(source->fd(), EPOLLIN, [&](std::uint32_t /*events*/) {
    while (const auto signal = source->next()) {
      seen.push_back(signal->number);
      if (signal->number == SIGCHLD) {  // only then, however long the child takes to end
        (*loop)->call_after(std::chrono::milliseconds(1), [] { ::kill(::getpid(), SIGTERM); });
      } else if (signal->number == SIGTERM) {
        EXPECT_EQ(signal->sender, ::getpid());
        (*loop)->stop();
      }
    }
  }));
  const pid_t child = ::fork();  // its end is the SIGCHLD
  if (child == 0) {
    ::_exit(0);
  }
  ASSERT_TRUE((*loop)->run());
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(seen, (std::vector<int>{SIGCHLD, SIGTERM}));
}

INSTANTIATE_TEST_SUITE_P(Engines, SignalSourceTest, test::both_engines(), test::engine_name);

TEST(SignalSource, nothing_has_arrived_at_first) {
  auto source = SignalSource::create({SIGUSR1});
  ASSERT_TRUE(source);
  EXPECT_FALSE(source->next());
}

TEST(SignalSource, the_mask_is_restored_at_the_end) {
  ASSERT_FALSE(blocked(SIGUSR1));
  {
    auto source = SignalSource::create({SIGUSR1});
    ASSERT_TRUE(source);
    const SignalSource moved = std::move(*source);
    EXPECT_TRUE(blocked(SIGUSR1));
  }
  EXPECT_FALSE(blocked(SIGUSR1));
}

TEST(SignalSource, an_ignored_signal_does_nothing) {
  ignore_signals({SIGHUP});
  EXPECT_EQ(::kill(::getpid(), SIGHUP), 0);
}

}  // namespace
}  // namespace isthmus::host
