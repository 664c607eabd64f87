// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "isthmus/abi.hpp"
#include "test/support/loopback.hpp"
#include "test/support/soon.hpp"
#include "test/support/watchdog.hpp"

namespace isthmus::test::liveness_tests {
namespace {

using namespace std::chrono_literals;
using Clock = Channel::Clock;

constexpr std::uint16_t op_count = 1;       // counts
constexpr std::uint16_t op_slow_count = 2;  // counts, but every 500th takes a while
constexpr std::uint16_t op_longest = 3;     // answers with the longest body there is, once the test says so
constexpr std::uint16_t op_throw = 4;
constexpr std::uint16_t op_throw_a_number = 5;

class LivenessService final : public Service {
 public:
  void handle(Request& request) override {
    const int before = counted.fetch_add(1);
    if (request.opcode() == op_slow_count && before % 500 == 0) {
      std::this_thread::sleep_for(3ms);
    }
    if (request.opcode() == op_longest) {
      may_answer.wait(false);
      static const std::vector<std::byte> body(abi::max_body);
      std::ignore = request.reply(0, {}, body);
    } else if (request.opcode() == op_throw) {
      throw std::runtime_error("out of luck");
    } else if (request.opcode() == op_throw_a_number) {
      throw 42;
    } else {
      std::ignore = request.reply(0);
    }
  }
  std::atomic<int> counted{0};
  std::atomic<bool> may_answer{true};
};

Message message(std::uint16_t opcode) { return {.api = 1, .opcode = opcode, .fixed = {}, .trailing = {}}; }

class LivenessTest : public testing::TestWithParam<LoopbackKind> {
 protected:
  // Calls that are given up at once, whose replies will fill the reply ring (each is longer than half of it).
  void abandon_calls_with_long_replies(Channel& channel, int calls) {
    service_.may_answer = false;
    for (int i = 0; i < calls; ++i) {
      const auto late = channel.call(message(op_longest), {}, Clock::now());
      EXPECT_FALSE(late);
    }
    service_.may_answer = true;
    service_.may_answer.notify_all();
  }

  Watchdog watchdog_{"a test of liveness"};
  LivenessService service_;
  Loopback host_{service_, GetParam(), 64 << 20};
};

// A wait that nobody ends lasts 100 ms, until the client looks after the host's life. Where the machine keeps one of
// the two threads off its processors, so does one that somebody ends: that is no stall if a doorbell was rung for it,
// and where there is no doorbell, it does not go on for five rounds.
TEST_P(LivenessTest, AClientThatWaitsForRoomIsWokenWhenThereIsRoom) {
  const auto lane = host_.attach();
  Channel& channel = *must(lane->channel());
  const std::uint64_t entry =
      lane->region().lane(0).client.directory[0].load_relaxed().bits(~std::uint64_t{abi::channel_present});
  const auto& doorbell = lane->region().channel_block(entry)->words.reply_doorbell.word;
  constexpr int posts = 20 * static_cast<int>(abi::ring_slots);
  int posted = 0;
  int stalls = 4;
  for (int round = 0; round < 5 && stalls > 3; ++round) {
    stalls = 0;
    for (int i = 0; i < posts; ++i, ++posted) {
      const auto start = Clock::now();
      const std::uint32_t rung = doorbell.load_acquire().bits(~0U);
      must(channel.post(message(op_slow_count)));
      stalls += Clock::now() - start >= 95ms && doorbell.load_acquire().equals(rung) ? 1 : 0;
    }
  }
  EXPECT_LE(stalls, 3) << "of 20 waits for room";
  std::ignore = must(channel.call(message(op_count)));
  EXPECT_EQ(service_.counted.load(), posted + 1);
}

TEST_P(LivenessTest, LateRepliesThatFillTheReplyRingDoNotStopPosts) {
  const auto lane = host_.attach();
  Channel& channel = *must(lane->channel());
  abandon_calls_with_long_replies(channel, 4);
  constexpr int posts = 4 * static_cast<int>(abi::ring_slots);
  for (int i = 0; i < posts; ++i) {
    must(channel.post(message(op_count), Clock::now() + 30s));
  }
  std::ignore = must(channel.call(message(op_count), {}, Clock::now() + 30s));
  EXPECT_EQ(service_.counted.load(), 4 + posts + 1);
}

TEST_P(LivenessTest, ManyCallsThatAreGivenUpDoNotStopTheChannel) {
  const auto lane = host_.attach();
  Channel& channel = *must(lane->channel());
  int sent = 0;
  for (int round = 0; round < 6; ++round) {
    for (std::uint32_t i = 0; i < 2 * abi::ring_slots + 3; ++i) {
      const auto outcome = channel.call(message(op_count), {}, Clock::now());
      ASSERT_TRUE(outcome || outcome.error().code == Errc::timed_out) << outcome.error().message;
    }
    ASSERT_TRUE(channel.call(message(op_count), {}, Clock::now() + 30s)) << round;
    ++sent;
  }
  EXPECT_EQ(sent, 6);
}

TEST_P(LivenessTest, PostsOfThreadsThatEndAreExecutedAllTheSame) {
  const auto lane = host_.attach();
  int posted = 0;
  for (int round = 0; round < 100; ++round) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t) {
      const int posts = 1 + (round * 7 + t) % 40;
      posted += posts;
      threads.emplace_back([&lane, posts] {
        Channel& channel = *must(lane->channel());
        for (int i = 0; i < posts; ++i) {
          must(channel.post(message(op_count)));
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }
  EXPECT_TRUE(soon([&] { return service_.counted.load() == posted; })) << service_.counted.load() << " of " << posted;
}

TEST_P(LivenessTest, AChannelThatIsClosedWhileItsTwinWaitsForReplyRoomBecomesFreeAgain) {
  const auto lane = host_.attach();
  for (int round = 0; round < 5; ++round) {
    std::thread([&] { abandon_calls_with_long_replies(*must(lane->channel()), 4); }).join();
  }
  const auto& states = lane->region().lane(0).host.channels;
  for (const auto& state : states) {
    EXPECT_TRUE(soon([&] { return state.load_acquire().equals(static_cast<std::uint32_t>(abi::ChannelState::free)); }));
  }
}

TEST_P(LivenessTest, ThousandsOfShortThreadsEachFindAChannel) {
  const auto lane = host_.attach();
  for (int wave = 0; wave < 20; ++wave) {
    std::vector<std::thread> threads;
    std::atomic<int> failed{0};
    for (int t = 0; t < 60; ++t) {
      threads.emplace_back([&] {
        const auto channel = lane->channel();
        failed.fetch_add(channel && (*channel)->call(message(op_count)) ? 0 : 1);
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    ASSERT_EQ(failed.load(), 0) << "wave " << wave;
  }
}

TEST_P(LivenessTest, AServiceThatThrowsEndsTheLaneWithItsWords) {
  const auto lane = host_.attach();
  Channel& channel = *must(lane->channel());
  const auto outcome = channel.call(message(op_throw), {}, Clock::now() + 30s);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::closed);
  const LaneEnd end = host_.end();
  EXPECT_FALSE(end.orderly);
  EXPECT_NE(end.reason.find("out of luck"), std::string::npos) << end.reason;
}

TEST_P(LivenessTest, AServiceThatThrowsWhatIsNoExceptionEndsTheLaneAndNoMore) {
  const auto lane = host_.attach();
  const auto outcome = must(lane->channel())->call(message(op_throw_a_number), {}, Clock::now() + 30s);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::closed);
  const LaneEnd end = host_.end();
  EXPECT_FALSE(end.orderly);
  EXPECT_NE(end.reason.find("opcode 5"), std::string::npos) << end.reason;
}

// Whatever the client does to the word that the twins sleep on, the host can stop them.
TEST_P(LivenessTest, AClientThatKeepsRewritingItsDoorbellsCannotKeepTheLaneAlive) {
  for (int round = 0; round < 3; ++round) {
    LivenessService service;
    Loopback host(service, GetParam());
    const auto lane = host.attach();
    std::vector<std::thread> idle;
    std::atomic<bool> over{false};
    for (int t = 0; t < 4; ++t) {
      idle.emplace_back([&] {
        std::ignore = must(lane->channel());
        while (!over.load()) {
          std::this_thread::sleep_for(1ms);
        }
      });
    }
    const auto& page = lane->region().lane(0);
    ASSERT_TRUE(soon([&] {
      return page.host.channels[3].load_acquire().equals(static_cast<std::uint32_t>(abi::ChannelState::open));
    }));
    std::array<SharedWord<std::uint32_t>*, 4> doorbells{};
    for (std::size_t i = 0; i < doorbells.size(); ++i) {
      const std::uint64_t entry = page.client.directory.at(i).load_relaxed().bits(~std::uint64_t{abi::channel_present});
      doorbells.at(i) = &lane->region().channel_block(entry)->words.request_doorbell.word;
    }
    std::thread hand([&] {
      while (!over.load()) {
        for (auto* doorbell : doorbells) {
          doorbell->store_relaxed(0);
        }
      }
    });
    host.stop();
    EXPECT_EQ(host.end().reason, "isthmusd ended the worker");
    over = true;
    hand.join();
    for (std::thread& thread : idle) {
      thread.join();
    }
  }
}

TEST_P(LivenessTest, AClientThatEmptiesTheKickDescriptorCannotBlockTheServer) {
  const auto lane = host_.attach();
  std::atomic<bool> over{false};
  std::thread hand([&] {
    while (!over.load()) {
      host_.kick();
      eventfd_t count = 0;
      const iovec part{.iov_base = &count, .iov_len = sizeof count};
      std::ignore = preadv2(host_.kick_fd(), &part, 1, -1, RWF_NOWAIT);
    }
  });
  std::this_thread::sleep_for(300ms);
  host_.stop();
  EXPECT_EQ(host_.end().reason, "isthmusd ended the worker");
  over = true;
  hand.join();
}

TEST_P(LivenessTest, AWorkerWithoutThreadsRefusesAChannelAndOpensItLater) {
  const auto lane = host_.attach();
  pthread_attr_t usual;
  ASSERT_EQ(pthread_getattr_default_np(&usual), 0);
  pthread_attr_t impossible = usual;
  ASSERT_EQ(pthread_attr_setstacksize(&impossible, std::size_t{1} << 47), 0);
  ASSERT_EQ(pthread_setattr_default_np(&impossible), 0);
  const auto refused = lane->channel();
  ASSERT_EQ(pthread_setattr_default_np(&usual), 0);
  pthread_attr_destroy(&usual);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::exhausted);
  EXPECT_NE(refused.error().message.find("no thread"), std::string::npos) << refused.error().message;
  EXPECT_TRUE(must(lane->channel())->call(message(op_count)));
}

INSTANTIATE_TEST_SUITE_P(Kinds, LivenessTest, testing::Values(LoopbackKind::shm, LoopbackKind::vm),
                         [](const auto& instance) { return instance.param == LoopbackKind::shm ? "shm" : "vm"; });

}  // namespace
}  // namespace isthmus::test::liveness_tests
