// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

#include "isthmus/abi.hpp"
#include "test/support/loopback.hpp"

namespace isthmus::test::channel_tests {
namespace {

// Echoes the whole body; opcode 2 waits until it may, opcode 3 is left unanswered, opcode 4 counts.
class EchoService final : public Service {
 public:
  void handle(Request& request) override {
    if (request.opcode() == 2) {
      may_answer.wait(false);
    }
    if (request.opcode() == 4) {
      counted.fetch_add(1);
    }
    if (request.opcode() != 3 && request.wants_reply()) {
      must(request.reply(7, request.fixed(), request.trailing()));
    }
  }
  std::atomic<int> counted{0};
  std::atomic<bool> may_answer{false};
};

std::vector<std::byte> pattern(std::size_t size, unsigned seed = 1) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>((i * 7 + seed * 131) & 0xff);
  }
  return bytes;
}

class ChannelTest : public testing::TestWithParam<LoopbackKind> {
 protected:
  EchoService service_;
  Loopback host_{service_, GetParam()};
};

TEST_P(ChannelTest, AnyBodySizeUpToTheLimitComesBackUnchanged) {
  const auto lane = host_.attach();
  Channel& channel = *must(lane->channel());
  std::vector<std::byte> reply(abi::max_body);
  for (const std::size_t size : {0UL, 1UL, 8UL, 39UL, 40UL, 41UL, 95UL, 96UL, 97UL, 1000UL, 32764UL,
                                 static_cast<unsigned long>(abi::max_body)}) {
    const auto body = pattern(size, static_cast<unsigned>(size));
    const std::size_t fixed = size / 3;
    const auto got = must(channel.call(
        {.api = 1, .opcode = 1, .fixed = std::span(body).first(fixed), .trailing = std::span(body).subspan(fixed)},
        reply));
    ASSERT_EQ(got.size, size);
    ASSERT_EQ(got.fixed, fixed);
    ASSERT_EQ(got.status, 7);
    ASSERT_TRUE(std::equal(body.begin(), body.end(), reply.begin())) << size;
  }
}

TEST_P(ChannelTest, RingsWrapManyTimesWithMixedSizes) {
  const auto lane = host_.attach();
  Channel& channel = *must(lane->channel());
  std::vector<std::byte> reply(abi::max_body);
  for (unsigned i = 0; i < 3000; ++i) {
    const auto body = pattern((i * 37) % 900, i);
    const auto got = must(channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = body}, reply));
    ASSERT_EQ(got.size, body.size());
    ASSERT_TRUE(std::equal(body.begin(), body.end(), reply.begin())) << i;
  }
}

TEST_P(ChannelTest, PostsAreExecutedInOrderBeforeALaterCall) {
  const auto lane = host_.attach();
  Channel& channel = *must(lane->channel());
  constexpr int posts = 5000;  // several rings full: the client waits for credit
  for (int i = 0; i < posts; ++i) {
    must(channel.post({.api = 1, .opcode = 4, .fixed = {}, .trailing = {}}));
  }
  std::ignore = must(channel.call({.api = 1, .opcode = 4, .fixed = {}, .trailing = {}}));
  EXPECT_EQ(service_.counted.load(), posts + 1);
}

TEST_P(ChannelTest, ACallThatNoServiceHandlesSaysSo) {
  const auto lane = host_.attach();
  Channel& channel = *must(lane->channel());
  EXPECT_EQ(must(channel.call({.api = 1, .opcode = 3, .fixed = {}, .trailing = {}})).status, status_unhandled);
}

TEST_P(ChannelTest, AnOversizedRequestIsAnErrorAndTheChannelGoesOn) {
  const auto lane = host_.attach();
  Channel& channel = *must(lane->channel());
  const auto body = pattern(abi::max_body + 1);
  const auto refused = channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = body});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  EXPECT_NE(refused.error().message.find(std::to_string(abi::max_body + 1)), std::string::npos)
      << refused.error().message;
  EXPECT_TRUE(channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = {}}));
}

TEST_P(ChannelTest, AReplyLongerThanItsBufferIsAnErrorAndTheChannelGoesOn) {
  const auto lane = host_.attach();
  Channel& channel = *must(lane->channel());
  std::array<std::byte, 4> small{};
  const auto refused = channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = pattern(100)}, small);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  EXPECT_TRUE(channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = {}}));
}

TEST_P(ChannelTest, ALateReplyToACallThatWasGivenUpIsDropped) {
  const auto lane = host_.attach();
  Channel& channel = *must(lane->channel());
  const auto deadline = Channel::Clock::now() + std::chrono::milliseconds(30);
  const auto late = channel.call({.api = 1, .opcode = 2, .fixed = {}, .trailing = {}}, {}, deadline);
  service_.may_answer = true;
  service_.may_answer.notify_all();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::timed_out);
  std::array<std::byte, 3> reply{};
  const auto body = pattern(3);
  EXPECT_EQ(must(channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = body}, reply)).size, 3);
  EXPECT_TRUE(std::ranges::equal(body, reply));
  EXPECT_EQ(channel.statistics().dropped_replies, 1);
}

TEST_P(ChannelTest, AnotherThreadGetsAnErrorInsteadOfACorruptRing) {
  const auto lane = host_.attach();
  Channel& channel = *must(lane->channel());
  std::thread([&] {
    const auto refused = channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = {}});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::wrong_thread);
  }).join();
  EXPECT_TRUE(channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = {}}));
}

TEST_P(ChannelTest, ThreadsHaveChannelsOfTheirOwnWhichComeBackWhenTheyEnd) {
  const auto lane = host_.attach();
  for (int round = 0; round < 8; ++round) {
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 8; ++t) {
      threads.emplace_back([&lane, t] {
        Channel& channel = *must(lane->channel());
        ASSERT_EQ(must(lane->channel()), &channel);
        std::vector<std::byte> reply(200);
        for (unsigned i = 0; i < 200; ++i) {
          const auto body = pattern(i, t);
          ASSERT_EQ(must(channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = body}, reply)).size, i);
          ASSERT_TRUE(std::equal(body.begin(), body.end(), reply.begin()));
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }
}

TEST_P(ChannelTest, AnIdleChannelAnswersAfterAPause) {
  const auto lane = host_.attach();
  Channel& channel = *must(lane->channel());
  for (const int pause_ms : {1, 20, 700}) {
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
    EXPECT_TRUE(channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = {}})) << pause_ms;
  }
}

TEST_P(ChannelTest, WhenTheHostEndsTheLaneAWaitingCallGetsTheReason) {
  const auto lane = host_.attach();
  Channel& channel = *must(lane->channel());
  host_.stop();
  Result<Reply> outcome;
  do {
    outcome = channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = {}});
  } while (outcome);
  EXPECT_EQ(outcome.error().code, Errc::closed);
  EXPECT_NE(outcome.error().message.find("isthmusd ended the worker"), std::string::npos) << outcome.error().message;
  // And from then on at once.
  EXPECT_EQ(channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = {}}).error().code, Errc::closed);
  EXPECT_FALSE(lane->channel());
}

TEST_P(ChannelTest, WhenTheClientReleasesTheLaneTheServerEndsInOrder) {
  host_.attach().reset();
  const LaneEnd end = host_.end();
  EXPECT_TRUE(end.orderly);
  EXPECT_EQ(end.reason, "the client released it");
}

#if !defined(ISTHMUS_THREAD_SANITIZER)  // which does not follow a fork of a process with threads
TEST_P(ChannelTest, AChildAfterForkOwnsNothingAndTheParentGoesOn) {
  const auto lane = host_.attach();
  Channel& channel = *must(lane->channel());
  ASSERT_TRUE(channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = {}}));
  const std::uint64_t offset = must(lane->slab().allocate(4096));
  std::memset(lane->region().data(offset), 0x5a, 4096);
  const pid_t child = fork();
  if (child == 0) {
    const bool reads = lane->region().data(offset)[4095] == std::byte{0x5a};
    const auto called = channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = {}});
    const auto opened = lane->channel();
    const bool refused =
        !called && called.error().code == Errc::wrong_thread && !opened && opened.error().code == Errc::wrong_thread;
    _exit(reads && refused ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = {}}));
}
#endif

INSTANTIATE_TEST_SUITE_P(Kinds, ChannelTest, testing::Values(LoopbackKind::shm, LoopbackKind::vm),
                         [](const auto& instance) { return instance.param == LoopbackKind::shm ? "shm" : "vm"; });

TEST(LapTest, LapsSurviveTheWrapOf32Bits) {
  EchoService service;
  Loopback host(service, LoopbackKind::shm, 32 << 20, std::uint64_t{0xffff'fffe});
  const auto lane = host.attach();
  Channel& channel = *must(lane->channel());
  std::vector<std::byte> reply(1000);
  for (unsigned i = 0; i < 5000; ++i) {  // 5 laps and more, of 3 slots a call
    const auto body = pattern(100, i);
    ASSERT_EQ(must(channel.call({.api = 1, .opcode = 1, .fixed = {}, .trailing = body}, reply)).size, 100);
    ASSERT_TRUE(std::equal(body.begin(), body.end(), reply.begin()));
  }
}

}  // namespace
}  // namespace isthmus::test::channel_tests
