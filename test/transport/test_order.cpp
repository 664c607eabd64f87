// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "test/support/baton.hpp"
#include "test/support/loopback.hpp"
#include "test/support/watchdog.hpp"

namespace isthmus::test::order_tests {
namespace {

constexpr std::uint16_t op_step = 1;    // fixed part: the number of the step
constexpr std::uint16_t op_block = 2;   // a call that is held until the test says so
constexpr std::uint16_t op_create = 3;  // post: makes object N
constexpr std::uint16_t op_use = 4;     // call: uses object N; status 1 when it does not exist

std::span<const std::byte> bytes(const std::uint64_t& value) { return std::as_bytes(std::span(&value, 1)); }

// Checks that the steps of all channels arrive in the order of their numbers; delays twins at random.
class OrderService final : public Service {
 public:
  explicit OrderService(unsigned delay_one_in) : delay_one_in_(delay_one_in), objects_(1 << 16) {}

  void handle(Request& request) override {
    std::uint64_t value = 0;
    std::memcpy(&value, request.fixed().data(), sizeof value);
    static thread_local std::minstd_rand random(
        static_cast<unsigned>(std::hash<std::thread::id>()(std::this_thread::get_id())));
    if (delay_one_in_ != 0 && random() % delay_one_in_ == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 200));
    }
    switch (request.opcode()) {
      case op_step:
        if (next_.load() != value) {
          ++disorder;
        }
        next_.store(value + 1);
        break;
      case op_block:
        blocks.store(true);
        while (!released.load()) {
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        break;
      case op_create:
        objects_[value % objects_.size()].store(value + 1);
        break;
      case op_use:
        must(request.reply(objects_[value % objects_.size()].load() == value + 1 ? 0 : 1));
        return;
      default:
        break;
    }
    must(request.reply(0));
  }

  [[nodiscard]] std::uint64_t steps() const { return next_.load(); }
  std::atomic<std::uint64_t> disorder{0};
  std::atomic<bool> blocks{false};
  std::atomic<bool> released{false};

 private:
  unsigned delay_one_in_;
  std::atomic<std::uint64_t> next_{0};
  std::vector<std::atomic<std::uint64_t>> objects_;
};

#if defined(ISTHMUS_SANITIZED)
constexpr std::uint64_t hand_overs = 20'000;
#else
constexpr std::uint64_t hand_overs = 250'000;  // for each of four thread counts: a million
#endif

class OrderTest : public testing::TestWithParam<unsigned> {};

TEST_P(OrderTest, PostsOfThreadsThatPassABatonAreExecutedInTurn) {
  const Watchdog watchdog("order", std::chrono::seconds(600));  // the longest of all tests
  const unsigned threads = GetParam();
  OrderService service(5000);
  Loopback host(service);
  const auto lane = host.attach();
  Baton baton(threads, hand_overs);
  std::vector<std::jthread> team;
  for (unsigned me = 0; me < threads; ++me) {
    team.emplace_back([&, me] {
      Channel& channel = *must(lane->channel());
      std::minstd_rand random(me + 1);
      while (const auto round = baton.take(me)) {
        if (random() % 16 == 0) {
          std::ignore = must(channel.call({.api = 1, .opcode = op_step, .fixed = bytes(*round), .trailing = {}}));
        } else {
          must(channel.post({.api = 1, .opcode = op_step, .fixed = bytes(*round), .trailing = {}}));
        }
        // Now and then to oneself: the own ring keeps that order.
        baton.pass(random() % 4 == 0 ? me : random());
      }
    });
  }
  team.clear();
  Channel& channel = *must(lane->channel());
  std::ignore = must(channel.call({.api = 1, .opcode = op_step, .fixed = bytes(hand_overs), .trailing = {}}));
  EXPECT_EQ(service.steps(), hand_overs + 1);
  EXPECT_EQ(service.disorder.load(), 0);
}

INSTANTIATE_TEST_SUITE_P(Threads, OrderTest, testing::Values(2U, 3U, 4U, 8U), testing::PrintToStringParamName());

TEST(OrderAcrossChannels, AnObjectThatOneThreadMadeByPostCanBeUsedAtOnceByAnother) {
  const Watchdog watchdog("order");
  OrderService service(50);
  Loopback host(service);
  const auto lane = host.attach();
  constexpr std::uint64_t rounds = 2000;
  Baton baton(2, rounds);
  std::atomic<int> missing{0};
  const auto act = [&](unsigned me) {
    Channel& channel = *must(lane->channel());
    while (const auto round = baton.take(me)) {
      if (*round > 0) {
        const std::uint64_t last = *round - 1;
        missing += must(channel.call({.api = 1, .opcode = op_use, .fixed = bytes(last), .trailing = {}})).status;
      }
      must(channel.post({.api = 1, .opcode = op_create, .fixed = bytes(*round), .trailing = {}}));
      baton.pass(1 - me);
    }
  };
  std::jthread one(act, 0);
  std::jthread two(act, 1);
  one.join();
  two.join();
  EXPECT_EQ(missing.load(), 0);
}

TEST(OrderAcrossChannels, NobodyWaitsForAThreadThatIsBlockedInACall) {
  const Watchdog watchdog("order");
  OrderService service(0);
  Loopback host(service);
  const auto lane = host.attach();
  const std::uint64_t zero = 0;
  std::jthread blocked([&] {
    Channel& channel = *must(lane->channel());
    std::ignore = must(channel.call({.api = 1, .opcode = op_block, .fixed = bytes(zero), .trailing = {}}));
  });
  while (!service.blocks.load()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  Channel& channel = *must(lane->channel());
  for (std::uint64_t i = 0; i < 1000; ++i) {
    must(channel.post({.api = 1, .opcode = op_create, .fixed = bytes(i), .trailing = {}}));
    EXPECT_EQ(must(channel.call({.api = 1, .opcode = op_use, .fixed = bytes(i), .trailing = {}})).status, 0);
  }
  service.released.store(true);
}

TEST(OrderAcrossChannels, ItHoldsAlsoWhereThreadsEndAndOthersGetTheirChannels) {
  const Watchdog watchdog("order");
  OrderService service(20);
  Loopback host(service);
  const auto lane = host.attach();
  std::uint64_t step = 0;
  for (int round = 0; round < 60; ++round) {
    for (int thread = 0; thread < 3; ++thread) {
      std::jthread([&] {
        Channel& channel = *must(lane->channel());
        for (int i = 0; i < 7; ++i, ++step) {
          must(channel.post({.api = 1, .opcode = op_step, .fixed = bytes(step), .trailing = {}}));
        }
      }).join();
    }
  }
  Channel& channel = *must(lane->channel());
  std::ignore = must(channel.call({.api = 1, .opcode = op_step, .fixed = bytes(step), .trailing = {}}));
  EXPECT_EQ(service.steps(), step + 1);
  EXPECT_EQ(service.disorder.load(), 0);
}

// A fence that no honest client writes, by the hand of a hostile one.
void send_fence(Loopback& host, abi::Fence fence) {
  const Region region = host.map();
  const std::uint64_t entry = *region.lane(0).client.directory[0].load_relaxed().at_most(~std::uint64_t{0});
  abi::ChannelBlock* block = region.channel_block(entry & ~abi::channel_present);
  const auto epoch = *region.lane(0).host.epoch.word.load_relaxed().at_most(~std::uint64_t{0});
  RingProducer producer(block->requests, block->words.request_consumed.word, static_cast<std::uint32_t>(epoch));
  ASSERT_EQ(producer.credit(2), Credit::enough);
  producer.write({.opcode = op_step,
                  .flags = abi::flag_post | abi::flag_fence,
                  .header = {.api = 1},
                  .fixed = {},
                  .trailing = {},
                  .fence = fence.encode()});
  Doorbell(block->words.twin_sleeping.word, block->words.request_doorbell.word).flush();
}

TEST(OrderAcrossChannels, AFenceOutsideTheLaneEndsIt) {
  for (const abi::Fence fence :
       {abi::Fence{.channel = 999, .position = 1}, abi::Fence{.channel = 17, .position = 1},
        abi::Fence{.channel = 0, .position = 1}, abi::Fence{.channel = 1, .position = 1'000'000}}) {
    OrderService service(0);
    Loopback host(service);
    const auto lane = host.attach();
    std::ignore = must(lane->channel());
    std::jthread([&] { std::ignore = must(lane->channel()); }).join();  // channel 1 is known, and at position 0
    send_fence(host, fence);
    const LaneEnd end = host.end();
    EXPECT_FALSE(end.orderly);
    EXPECT_NE(end.reason.find("a fence names channel"), std::string::npos) << end.reason;
  }
}

TEST(OrderAcrossChannels, TwoFencesInACircleHoldUpNothingButTheirLane) {
  const Watchdog watchdog("order");
  OrderService service(0);
  Loopback host(service);
  const auto lane = host.attach();
  std::ignore = must(lane->channel());
  std::jthread([&] { std::ignore = must(lane->channel()); }).join();
  send_fence(host, {.channel = 1, .position = 500});
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  host.stop();
  EXPECT_EQ(host.end().reason, "isthmusd ended the worker");
}

}  // namespace
}  // namespace isthmus::test::order_tests
