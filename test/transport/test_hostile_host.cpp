// SPDX-License-Identifier: Apache-2.0
// A host that writes whatever it likes into the region: the client gets errors after a bounded wait, and that is all.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "isthmus/abi.hpp"
#include "src/transport/claim.hpp"
#include "src/transport/lane_state.hpp"
#include "test/support/random.hpp"
#include "test/support/test_region.hpp"
#include "test/support/watchdog.hpp"

namespace isthmus::test::hostile_host_tests {
namespace {

using namespace std::chrono_literals;
using Clock = Channel::Clock;

constexpr std::uint64_t max64 = std::numeric_limits<std::uint64_t>::max();

constexpr std::uint32_t word(abi::HostState state) { return static_cast<std::uint32_t>(state); }
constexpr std::uint32_t word(abi::ChannelState state) { return static_cast<std::uint32_t>(state); }

enum class Kernel : std::uint8_t { shared, apart };

class NoLink final : public Link {
 public:
  explicit NoLink(Kernel kernel) noexcept : kernel_(kernel) {}
  void kick() noexcept override {}
  Result<void> check_host() override { return {}; }
  bool shares_kernel() const noexcept override { return kernel_ == Kernel::shared; }
  void forget_in_child() noexcept override {}

 private:
  Kernel kernel_;
};

// A host's side of a lane, by hand: opens every channel that the client asks for (unless told not to), and then does
// only what the test says.
class HandHost {
 public:
  explicit HandHost(const TestRegion& memory) : region(memory.map()) {}
  HandHost(const HandHost&) = delete;
  HandHost& operator=(const HandHost&) = delete;
  HandHost(HandHost&&) = delete;
  HandHost& operator=(HandHost&&) = delete;
  ~HandHost() {
    over_ = true;
    thread_.join();
  }

  [[nodiscard]] abi::LaneControl& page() const { return region.lane(0); }
  [[nodiscard]] abi::ChannelBlock& block(std::size_t number = 0) const {
    const std::uint64_t entry = *page().client.directory.at(number).load_acquire().at_most(max64);
    return *region.channel_block(entry & ~abi::channel_present);
  }
  [[nodiscard]] std::uint32_t first_lap() const {
    return static_cast<std::uint32_t>(*page().host.epoch.word.load_relaxed().at_most(max64));
  }
  // Writes a slot of the reply ring as given, at the first lap unless another is asked for.
  void reply(std::size_t slot, abi::ControlWord control, const abi::MessageHeader& header) const {
    const auto words = std::bit_cast<std::array<std::uint64_t, 2>>(header);
    abi::Slot& target = block().replies.at(slot);
    target.words[1].store_relaxed(words[0]);
    target.words[2].store_relaxed(words[1]);
    control.lap += first_lap();
    target.words[0].store_release(control.encode());
  }

  Region region;
  std::atomic<std::uint32_t> answer_to_open{word(abi::ChannelState::open)};

 private:
  void serve() {
    page().host.state.word.store_release(word(abi::HostState::serving));
    while (!over_.load()) {
      for (std::size_t number = 0; number < 4; ++number) {
        const bool asked = !page().client.directory.at(number).load_acquire().equals(0);
        if (asked && page().host.channels.at(number).load_relaxed().equals(0)) {
          page().host.channels.at(number).store_release(answer_to_open.load());
        }
      }
      std::this_thread::sleep_for(200us);
    }
  }
  std::atomic<bool> over_{false};
  std::thread thread_{[this] { serve(); }};
};

// Whether `act` can be done within two seconds: a machine that stalls now and then does not do so each time.
bool is_quick(const std::function<void()>& act) {
  for (int tries = 0; tries < 5; ++tries) {
    const auto start = Clock::now();
    act();
    if (Clock::now() - start < 2s) {
      return true;
    }
  }
  return false;
}

class HostileHostTest : public testing::TestWithParam<Kernel> {
 protected:
  [[nodiscard]] Result<std::shared_ptr<LaneState>> try_attach(std::chrono::milliseconds timeout = 30s) {
    Region region = memory_.map();
    must(claim_lane(region, 0));
    return LaneState::begin(std::move(region), 0, std::make_unique<NoLink>(GetParam()), timeout);
  }
  [[nodiscard]] std::shared_ptr<LaneState> attach() { return must(try_attach()); }

  static Message message(std::span<const std::byte> body = {}) {
    return {.api = 1, .opcode = 1, .fixed = body, .trailing = {}};
  }

  const Watchdog watchdog_{"a test of hostile hosts"};
  TestRegion memory_;
};

TEST_P(HostileHostTest, AHostThatNeverServesTheLaneIsWaitedForAsLongAsSaid) {
  EXPECT_TRUE(is_quick([this] {
    memory_ = TestRegion();
    const auto start = Clock::now();
    const auto lane = try_attach(100ms);
    EXPECT_GE(Clock::now() - start, 100ms);
    ASSERT_FALSE(lane);
    EXPECT_EQ(lane.error().code, Errc::timed_out);
  }));
}

TEST_P(HostileHostTest, ACallThatIsNeverAnsweredEndsAtItsDeadline) {
  const HandHost host(memory_);
  const auto lane = attach();
  Channel& channel = *must(lane->channel());
  EXPECT_TRUE(is_quick([&] {
    const auto start = Clock::now();
    const auto outcome = channel.call(message(), {}, start + 150ms);
    EXPECT_GE(Clock::now() - start, 150ms);
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Errc::timed_out);
  }));
}

TEST_P(HostileHostTest, PostsThatAreNeverTakenEndAtTheirDeadline) {
  const HandHost host(memory_);
  const auto lane = attach();
  Channel& channel = *must(lane->channel());
  for (std::uint32_t i = 0; i < abi::ring_slots; ++i) {
    must(channel.post(message()));
  }
  const auto outcome = channel.post(message(), Clock::now() + 50ms);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::timed_out);
}

TEST_P(HostileHostTest, AnImpossibleConsumedPositionIsAViolationForEver) {
  for (const std::uint64_t position : {std::uint64_t{1025}, std::uint64_t{1} << 20, max64 - 1024, max64 / 2}) {
    TestRegion memory;
    std::swap(memory, memory_);
    const HandHost host(memory_);
    const auto lane = attach();
    Channel& channel = *must(lane->channel());
    host.block().words.request_consumed.word.store_relaxed(position);
    Result<void> outcome;
    for (std::uint32_t i = 0; i <= abi::ring_slots && outcome; ++i) {
      outcome = channel.post(message(), Clock::now() + 30s);
    }
    ASSERT_FALSE(outcome) << position;
    EXPECT_EQ(outcome.error().code, Errc::protocol_violation);
    EXPECT_EQ(channel.call(message()).error().code, Errc::protocol_violation) << "at once, from now on";
    EXPECT_FALSE(lane->channel());
    EXPECT_FALSE(lane->check());
  }
}

TEST_P(HostileHostTest, MalformedRepliesAreViolations) {
  struct Bad {
    abi::ControlWord control;
    abi::MessageHeader header;
  };
  for (const Bad& bad :
       {Bad{.control = {.slots = 0}, .header = {.call_id = 1}}, Bad{.control = {.slots = 2}, .header = {.call_id = 1}},
        Bad{.control = {.slots = 1023}, .header = {.call_id = 1, .size = abi::max_body}},
        Bad{.control = {.slots = 1}, .header = {.call_id = 1, .size = 0xffff'fff0}},
        Bad{.control = {.slots = 590}, .header = {.call_id = 1, .size = 0x7fff'ffff}},
        Bad{.control = {.slots = 1}, .header = {.call_id = 1, .fixed = 0xffff}},
        Bad{.control = {.slots = 1, .flags = 15}, .header = {.call_id = 1}},
        Bad{.control = {.slots = 1, .flags = abi::flag_continuation}, .header = {.call_id = 1}},
        Bad{.control = {.slots = 5}, .header = {.call_id = 1, .size = 250}}}) {
    TestRegion memory;
    std::swap(memory, memory_);
    const HandHost host(memory_);
    const auto lane = attach();
    Channel& channel = *must(lane->channel());
    host.reply(0, bad.control, bad.header);
    std::array<std::byte, 512> reply{};
    const auto outcome = channel.call(message(), reply, Clock::now() + 30s);
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Errc::protocol_violation) << outcome.error().message;
    EXPECT_NE(outcome.error().message.find("malformed"), std::string::npos) << outcome.error().message;
    EXPECT_EQ(channel.post(message()).error().code, Errc::protocol_violation);
  }
}

TEST_P(HostileHostTest, AnAnswerToACallThatWasNotAskedIsAViolation) {
  for (const std::uint32_t call_id : {0U, 2U, 77U, 0xffff'ffffU}) {
    TestRegion memory;
    std::swap(memory, memory_);
    const HandHost host(memory_);
    const auto lane = attach();
    Channel& channel = *must(lane->channel());
    host.reply(0, {.slots = 1}, {.call_id = call_id});
    const auto outcome = channel.call(message(), {}, Clock::now() + 30s);
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Errc::protocol_violation) << outcome.error().message;
    EXPECT_NE(outcome.error().message.find("not asked"), std::string::npos) << outcome.error().message;
  }
}

TEST_P(HostileHostTest, ASecondAnswerToTheSameCallIsAViolation) {
  const HandHost host(memory_);
  const auto lane = attach();
  Channel& channel = *must(lane->channel());
  const CallId call = must(channel.submit(message()));
  const std::uint64_t head = *host.block().requests[0].words[1].load_acquire().at_most(max64);
  host.reply(0, {.slots = 1}, {.call_id = static_cast<std::uint32_t>(head)});
  host.reply(1, {.slots = 1}, {.call_id = static_cast<std::uint32_t>(head)});
  ASSERT_TRUE(channel.wait(call, Clock::now() + 30s));
  const auto outcome = channel.call(message(), {}, Clock::now() + 30s);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::protocol_violation);
}

TEST_P(HostileHostTest, AReplyOfAnotherLapIsNoReply) {
  const HandHost host(memory_);
  const auto lane = attach();
  Channel& channel = *must(lane->channel());
  for (const std::uint32_t lap : {1U, 2U, 0xffff'ffffU}) {
    host.reply(0, {.lap = lap, .slots = 1}, {.call_id = 1});
    EXPECT_EQ(channel.call(message(), {}, Clock::now() + 20ms).error().code, Errc::timed_out);
  }
}

TEST_P(HostileHostTest, AStateThatMakesNoSenseClosesTheLaneAndItsTextIsShownInPrintableCharacters) {
  for (const std::uint32_t state : {0U, 2U, 3U, 4U, 77U, 0xffff'ffffU}) {
    TestRegion memory;
    std::swap(memory, memory_);
    const HandHost host(memory_);
    const auto lane = attach();
    Channel& channel = *must(lane->channel());
    host.page().host.reason.fill('\x1b');
    host.page().host.reason.back() = 'Z';
    host.page().host.state.word.store_release(state);
    const auto outcome = channel.call(message());
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Errc::closed);
    EXPECT_NE(outcome.error().message.find("??Z"), std::string::npos) << outcome.error().message;
    EXPECT_EQ(outcome.error().message.find('\x1b'), std::string::npos);
    EXPECT_FALSE(lane->channel());
  }
}

TEST_P(HostileHostTest, ADestroyedRegionIsToldFromAClosedLane) {
  const HandHost host(memory_);
  const auto lane = attach();
  Channel& channel = *must(lane->channel());
  host.region.header().epoch.store_relaxed(1);
  const auto outcome = channel.call(message());
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::peer_died);
  EXPECT_NE(outcome.error().message.find("attach again"), std::string::npos) << outcome.error().message;
}

TEST_P(HostileHostTest, AChannelThatTheHostRefusesIsAnErrorAtOnce) {
  HandHost host(memory_);
  host.answer_to_open = word(abi::ChannelState::refused);
  const auto lane = attach();
  EXPECT_TRUE(is_quick([&] {
    const auto channel = lane->channel();
    ASSERT_FALSE(channel);
    EXPECT_EQ(channel.error().code, Errc::exhausted);
  }));
}

TEST_P(HostileHostTest, AChannelThatTheHostNeverOpensIsAnErrorAfterAWhile) {
  if (GetParam() == Kernel::apart) {
    GTEST_SKIP() << "takes 5 s, and is the same as on one kernel";
  }
  HandHost host(memory_);
  const auto lane = attach();
  std::atomic<bool> other_is_there{false};
  std::atomic<bool> opens{false};
  std::atomic<bool> over{false};
  // Who has a channel keeps its deadlines meanwhile.
  std::jthread other([&] {
    Channel& channel = *must(lane->channel());
    other_is_there = true;
    other_is_there.notify_all();
    opens.wait(false);
    const auto outcome = channel.call(message(), {}, Clock::now() + 300ms);  // long enough to look after the host
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Errc::timed_out);
    EXPECT_FALSE(over) << "it waited for the other thread's channel";
  });
  other_is_there.wait(false);
  host.answer_to_open = 99;
  opens = true;
  opens.notify_all();
  const auto channel = lane->channel();
  over = true;
  other.join();
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().code, Errc::timed_out);
  // Should the host open it yet, nobody may be misled: another number is taken next.
  host.answer_to_open = word(abi::ChannelState::open);
  EXPECT_TRUE(lane->channel());
  EXPECT_TRUE(host.page().client.directory[1].load_relaxed().equals(0));
  EXPECT_FALSE(host.page().client.directory[2].load_relaxed().equals(0));
}

TEST_P(HostileHostTest, AHostWithoutASignOfLifeIsTakenForDeadWhereNothingElseTells) {
  if (GetParam() == Kernel::shared) {
    GTEST_SKIP() << "on one kernel the link knows";
  }
  const HandHost host(memory_);
  const auto start = Clock::now();
  const auto lane = attach();
  Channel& channel = *must(lane->channel());
  const auto outcome = channel.call(message());
  const auto took = Clock::now() - start;
  EXPECT_GE(took, 5s);
  EXPECT_LT(took, 60s);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::peer_died);
  EXPECT_NE(outcome.error().message.find("no sign of life"), std::string::npos) << outcome.error().message;
}

TEST_P(HostileHostTest, GarbageInEverythingThatTheHostWritesGivesErrorsOnly) {
  Random random(static_cast<std::uint64_t>(GetParam()) + 5);
  int errors = 0;
  for (const auto until = Clock::now() + 1500ms; Clock::now() < until || errors <= 10;) {  // the watchdog ends it
    TestRegion memory;
    std::swap(memory, memory_);
    HandHost host(memory_);
    const auto lane = attach();
    Channel& channel = *must(lane->channel());
    abi::ChannelBlock& block = host.block();
    std::atomic<bool> over{false};
    std::thread hand([&, seed = random.next()] {
      Random dice(seed);
      const bool gentle = dice.one_in(2);
      while (!over.load()) {
        const auto lap = static_cast<std::uint32_t>(dice.below(2));
        host.reply(dice.below(gentle ? 4 : abi::ring_slots),
                   {.lap = lap,
                    .slots = static_cast<std::uint16_t>(dice.one_in(4) ? dice.below(1024) : 1),
                    .flags = static_cast<std::uint8_t>(dice.one_in(8) ? dice.next() & 15 : 0),
                    .batch = static_cast<std::uint8_t>(dice.next() & 3)},
                   {.call_id = static_cast<std::uint32_t>(dice.below(4)),
                    .fixed = static_cast<std::uint16_t>(dice.below(20)),
                    .size = static_cast<std::uint32_t>(dice.one_in(8) ? dice.next() : dice.below(40))});
        if (dice.one_in(20)) {
          block.words.request_consumed.word.store_release(gentle ? dice.below(20) : dice.next());
          block.words.twin_sleeping.word.store_release(static_cast<std::uint32_t>(dice.below(3)));
          block.words.reply_doorbell.word.store_release(static_cast<std::uint32_t>(dice.next()));
          host.page().host.heartbeat.word.store_release(dice.next());
          host.page().host.channels.at(dice.below(8)).store_release(static_cast<std::uint32_t>(dice.below(4)));
        }
        if (dice.one_in(4000)) {
          host.page().host.state.word.store_release(static_cast<std::uint32_t>(dice.next()));
        }
        if (dice.one_in(10)) {
          std::this_thread::sleep_for(20us);
        }
      }
    });
    std::array<std::byte, 64> reply{};
    for (int i = 0; i < 40; ++i) {
      const auto outcome = channel.call(message(), reply, Clock::now() + 3ms);
      errors += outcome ? 0 : 1;
      std::ignore = channel.post(message(), Clock::now() + 1ms);
      if (!lane->usable()) {
        break;
      }
    }
    over = true;
    hand.join();
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, HostileHostTest, testing::Values(Kernel::shared, Kernel::apart),
                         [](const auto& instance) { return instance.param == Kernel::shared ? "shared" : "apart"; });

}  // namespace
}  // namespace isthmus::test::hostile_host_tests
