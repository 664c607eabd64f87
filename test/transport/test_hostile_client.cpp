// SPDX-License-Identifier: Apache-2.0
// A client that writes whatever it likes into its region: its lane ends with a reason or goes on, and that is all.

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "src/transport/futex.hpp"
#include "src/transport/ring_consumer.hpp"
#include "src/transport/ring_producer.hpp"
#include "test/support/loopback.hpp"
#include "test/support/random.hpp"
#include "test/support/soon.hpp"
#include "test/support/watchdog.hpp"

namespace isthmus::test::hostile_client_tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t max64 = std::numeric_limits<std::uint64_t>::max();

#if defined(ISTHMUS_THREAD_SANITIZER)
constexpr bool payload_races_are_reported = true;
#else
constexpr bool payload_races_are_reported = false;
#endif

// Takes every body for references, and reads and writes what they name; answers with the body.
class GreedyService final : public Service {
 public:
  void handle(Request& request) override {
    handled.fetch_add(1);
    std::vector<std::uint64_t> words(request.trailing().size() / sizeof(std::uint64_t));
    std::ranges::copy(request.trailing().first(words.size() * sizeof(std::uint64_t)),
                      std::as_writable_bytes(std::span(words)).begin());
    for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
      const auto bytes = request.resolve({.window_and_offset = words[i], .length = words[i + 1]});
      if (bytes && !bytes->empty() && !payload_races_are_reported) {
        bytes->front() = bytes->back();
        resolved.fetch_add(1);
      }
    }
    std::ignore = request.reply(0, request.fixed(), request.trailing());
  }
  std::atomic<int> handled{0};
  std::atomic<int> resolved{0};
};

// A client's side of a lane, by hand: nothing of what it writes is checked.
class Hand {
 public:
  Hand(Loopback& host, LoopbackKind kind) : host_(&host), kind_(kind), region(host.map()) {
    must(claim_lane(region, 0));
    announce();
    require(wait([&] { return page().host.state.word.load_acquire().equals(serving); }), "no worker");
    first_lap = static_cast<std::uint32_t>(*page().host.epoch.word.load_relaxed().at_most(max64));
  }

  [[nodiscard]] abi::LaneControl& page() const { return region.lane(0); }
  [[nodiscard]] std::uint64_t first_block() const { return region.geometry().extents_offset; }
  [[nodiscard]] abi::ChannelBlock& block(std::uint64_t offset) const { return *region.channel_block(offset); }
  [[nodiscard]] bool over() const { return !page().host.state.word.load_acquire().equals(serving); }
  // The same where the page cannot be trusted.
  [[nodiscard]] bool server_ends() const { return host_->ends_within(20s); }

  void announce() const {
    std::ignore = page().client.changed.word.fetch_add(1);
    host_->kick();
  }
  // Makes a channel as an honest client does. False when the lane ended instead.
  [[nodiscard]] bool open(std::size_t number, std::uint64_t offset) const {
    prepare_ring(block(offset).requests, first_lap);
    prepare_ring(block(offset).replies, first_lap);
    page().client.directory.at(number).store_release(offset | abi::channel_present);
    announce();
    const auto open = static_cast<std::uint32_t>(abi::ChannelState::open);
    return wait([&] { return over() || page().host.channels.at(number).load_acquire().equals(open); }) && !over();
  }
  void wake(std::size_t number, std::uint64_t offset) const {
    if (kind_ == LoopbackKind::shm) {
      auto& doorbell = block(offset).words.request_doorbell.word;
      std::ignore = doorbell.fetch_add(1);
      futex_wake(doorbell.address(), FutexScope::machine);
    } else {
      std::ignore = page().client.pending.at(number / 64).fetch_or(std::uint64_t{1} << number % 64);
    }
  }
  [[nodiscard]] RingProducer producer(std::uint64_t offset) const {
    return {block(offset).requests, block(offset).words.request_consumed.word, first_lap};
  }
  [[nodiscard]] RingConsumer consumer(std::uint64_t offset) const {
    return {block(offset).replies, block(offset).words.reply_consumed.word, first_lap};
  }
  template <class Done>
  static bool wait(const Done& done, std::chrono::milliseconds limit = 20s) {
    return soon(done, limit, 50us);
  }

 private:
  static constexpr auto serving = static_cast<std::uint32_t>(abi::HostState::serving);
  Loopback* host_;
  LoopbackKind kind_;

 public:
  Region region;
  std::uint32_t first_lap = 0;
};

std::size_t threads_of_this_process() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<std::size_t>(std::distance(begin(tasks), end(tasks)));
}

Outgoing request(std::span<const std::byte> trailing, std::uint32_t call_id = 1) {
  Outgoing made;
  made.opcode = 1;
  made.header.call_id = call_id;
  made.header.api = 1;
  made.trailing = trailing;
  return made;
}

class HostileClientTest : public testing::TestWithParam<LoopbackKind> {
 protected:
  HostileClientTest() : threads_before_(threads_of_this_process()) {}
  void TearDown() override {
    EXPECT_TRUE(Hand::wait([&] { return threads_of_this_process() == threads_before_; })) << "a thread was left";
  }

  // One lane: `act` does its worst, then the lane ends, by itself or because it is told to.
  LaneEnd round(const std::function<void(Hand&)>& act, GreedyService& service) {
    Loopback host(service, GetParam(), abi::min_region_size);
    Hand hand(host, GetParam());
    act(hand);
    host.stop();
    LaneEnd end = host.end();
    EXPECT_FALSE(end.reason.empty());
    return end;
  }
  LaneEnd round(const std::function<void(Hand&)>& act) {
    GreedyService service;
    return round(act, service);
  }
  // The same where the lane has to end because of what was done.
  LaneEnd fatal_round(const std::function<void(Hand&)>& act) {
    return round([&](Hand& hand) {
      act(hand);
      EXPECT_TRUE(Hand::wait([&] { return hand.over(); }));
    });
  }

  const Watchdog watchdog_{"a test of hostile clients"};
  const std::size_t threads_before_;
};

// Whether the worker has to end the lane because of what stands in the client's page; channel 0 is open.
bool is_fatal(const Region& region) {
  const abi::LaneClientPage& page = region.lane(0).client;
  const auto names_no_block = [&](const SharedWord<std::uint64_t>& word) {
    const std::uint64_t entry = *word.load_relaxed().at_most(max64);
    return entry != 0 &&
           ((entry & abi::channel_present) == 0 || region.channel_block(entry & ~abi::channel_present) == nullptr);
  };
  return !page.claim.word.load_relaxed().equals(static_cast<std::uint32_t>(abi::ClaimState::claimed)) ||
         names_no_block(page.upcalls.word) ||
         std::any_of(page.directory.begin() + 1, page.directory.end(), names_no_block);
}

// ---- lane control --------------------------------------------------------------------------------------------------

TEST_P(HostileClientTest, ClaimWordsThatMakeNoSenseEndTheLane) {
  for (const std::uint32_t claim : {0U, 1U, 5U, 77U, 0xffff'ffffU}) {
    const LaneEnd end = fatal_round([&](Hand& hand) {
      hand.page().client.claim.word.store_release(claim);
      hand.announce();
    });
    EXPECT_FALSE(end.orderly);
    EXPECT_NE(end.reason.find("impossible claim state"), std::string::npos) << end.reason;
  }
}

TEST_P(HostileClientTest, ALaneThatIsReleasedOrDeadEndsInOrder) {
  for (const auto claim : {abi::ClaimState::released, abi::ClaimState::dead}) {
    const LaneEnd end = fatal_round([&](Hand& hand) {
      hand.page().client.claim.word.store_release(static_cast<std::uint32_t>(claim));
      hand.announce();
    });
    EXPECT_TRUE(end.orderly) << end.reason;
  }
}

TEST_P(HostileClientTest, DirectoryEntriesThatNameNoChannelBlockEndTheLane) {
  const auto geometry = abi::RegionGeometry::of(abi::min_region_size, 1);
  const std::uint64_t first = geometry.extents_offset;
  for (const std::uint64_t entry :
       {std::uint64_t{1}, std::uint64_t{2}, abi::page_size | 1, 2 * abi::page_size | 1, geometry.owners_offset | 1,
        first, first + 1 + 1, first + 64 + 1, (first - abi::page_size) | 1, (abi::min_region_size - abi::page_size) | 1,
        abi::min_region_size | 1, (first + abi::extent_size - abi::page_size) | 1, max64, max64 - 1,
        (std::uint64_t{1} << 63) | 1, (max64 - abi::page_size + 1) | 1}) {
    const LaneEnd end = fatal_round([&](Hand& hand) {
      hand.page().client.directory[3].store_release(entry);
      hand.announce();
    });
    EXPECT_FALSE(end.orderly);
    EXPECT_NE(end.reason.find("channel 3 lies at 0x"), std::string::npos) << end.reason;
  }
}

TEST_P(HostileClientTest, ChannelsThatOverlapHarmOnlyThemselves) {
  for (const std::uint64_t distance : {std::uint64_t{0}, abi::page_size, 16 * abi::page_size}) {
    round([&](Hand& hand) {
      for (std::size_t number = 0; number < 6; ++number) {
        hand.page().client.directory.at(number).store_release((hand.first_block() + number * distance) |
                                                              abi::channel_present);
      }
      hand.announce();
      RingProducer producer = hand.producer(hand.first_block());
      Random random(distance);
      for (int i = 0; i < 200 && !hand.over(); ++i) {
        if (producer.credit(2) == Credit::enough) {
          producer.write(request(random.bytes(48)));
        }
        hand.wake(0, hand.first_block());
      }
    });
  }
}

TEST_P(HostileClientTest, EveryChannelNumberAtOnceOnOneBlockIsServed) {
  round([&](Hand& hand) {
    for (auto& entry : hand.page().client.directory) {
      entry.store_release(hand.first_block() | abi::channel_present);
    }
    hand.announce();
    const auto open = static_cast<std::uint32_t>(abi::ChannelState::open);
    const auto& last = hand.page().host.channels.back();
    EXPECT_TRUE(Hand::wait([&] { return hand.over() || last.load_acquire().equals(open); }));
  });
}

TEST_P(HostileClientTest, ADirectoryThatFlickersLeavesNoThreadBehind) {
  Random random(1);
  round([&](Hand& hand) {
    for (int i = 0; i < 3000 && !hand.over(); ++i) {
      auto& entry = hand.page().client.directory.at(random.below(8));
      entry.store_release(random.one_in(2) ? 0 : hand.first_block() | abi::channel_present);
      if (random.one_in(4)) {
        hand.announce();
        std::this_thread::sleep_for(std::chrono::microseconds(random.below(200)));
      }
    }
  });
}

TEST_P(HostileClientTest, RandomWordsAllOverTheLanesPagesEndItOrDoNothing) {
  Random random(static_cast<std::uint64_t>(GetParam()) + 10);
  int fatal_rounds = 0;
  for (int i = 0; i < 60; ++i) {
    bool fatal = false;
    const LaneEnd end = round([&](Hand& hand) {
      EXPECT_TRUE(hand.open(0, hand.first_block()));
      // Client page, then host page; the reason's text is no atomic word and is left out.
      auto* const words = reinterpret_cast<SharedWord<std::uint64_t>*>(&hand.page());
      constexpr std::size_t count = sizeof(abi::LaneControl) / sizeof(std::uint64_t);
      constexpr std::size_t reason = (abi::page_size + offsetof(abi::LaneHostPage, reason)) / sizeof(std::uint64_t);
      const std::uint64_t holes = 1 + random.below(random.one_in(2) ? 30 : 1000);
      for (std::size_t at = random.below(holes); at < count; at += 1 + random.below(holes)) {
        if (at < reason || at >= reason + abi::text_size / sizeof(std::uint64_t)) {
          words[at].store_relaxed(random.one_in(3) ? random.next() : random.below(5));
        }
      }
      fatal = is_fatal(hand.region);
      hand.announce();
      hand.wake(0, hand.first_block());
      EXPECT_TRUE(!fatal || hand.server_ends());
    });
    EXPECT_EQ(end.reason != "isthmusd ended the worker", fatal) << end.reason;
    fatal_rounds += fatal ? 1 : 0;
  }
  EXPECT_GT(fatal_rounds, 10);  // as the seed has it
  EXPECT_LT(fatal_rounds, 60);
}

// ---- the region ----------------------------------------------------------------------------------------------------

TEST_P(HostileClientTest, ADestroyedHeaderEndsTheLane) {
  for (const bool magic : {true, false}) {
    const LaneEnd end = fatal_round([&](Hand& hand) {
      auto& header = hand.region.header();
      (magic ? header.magic : header.epoch).store_relaxed(0x1234);
      hand.announce();
    });
    EXPECT_FALSE(end.orderly);
    EXPECT_NE(end.reason.find("header was destroyed"), std::string::npos) << end.reason;
  }
}

TEST_P(HostileClientTest, AHeaderThatIsDestroyedBeforeAnyClaimEndsTheWait) {
  GreedyService service;
  Loopback host(service, GetParam(), abi::min_region_size);
  const Region region = host.map();
  region.header().magic.store_relaxed(0);
  host.kick();
  const LaneEnd end = host.end();
  EXPECT_FALSE(end.orderly);
  EXPECT_NE(end.reason.find("header was destroyed"), std::string::npos) << end.reason;
}

TEST_P(HostileClientTest, AHolePunchedThroughTheWholeRegionEndsTheLane) {
  GreedyService service;
  Loopback host(service, GetParam(), abi::min_region_size);
  const Hand hand(host, GetParam());
  ASSERT_TRUE(hand.open(0, hand.first_block()));
  ASSERT_EQ(fallocate(host.region_fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                      static_cast<off_t>(abi::min_region_size)),
            0);
  host.kick();
  const LaneEnd end = host.end();
  EXPECT_FALSE(end.orderly);
  EXPECT_NE(end.reason.find("header was destroyed"), std::string::npos) << end.reason;
}

TEST_P(HostileClientTest, HolesPunchedUnderChannelsAndPayloadAreZerosAndNoMore) {
  GreedyService service;
  Loopback host(service, GetParam(), abi::min_region_size);
  const Hand hand(host, GetParam());
  ASSERT_TRUE(hand.open(0, hand.first_block()));
  RingProducer producer = hand.producer(hand.first_block());
  Random random(4);
  for (int i = 0; i < 100; ++i) {
    const std::array<std::uint64_t, 2> reference{hand.first_block() + random.below(4 * abi::extent_size),
                                                 random.below(2 * abi::extent_size)};
    if (producer.credit(1) == Credit::enough) {
      producer.write(request(std::as_bytes(std::span(reference))));
    }
    hand.wake(0, hand.first_block());
    const auto at = static_cast<off_t>(hand.first_block() + random.below(1024) * abi::page_size);
    ASSERT_EQ(fallocate(host.region_fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, 8 * abi::page_size), 0);
  }
  host.stop();
  EXPECT_FALSE(host.end().reason.empty());
}

// ---- channels ------------------------------------------------------------------------------------------------------

TEST_P(HostileClientTest, ADescriptorWithAnyBitOfItsHeadFlippedIsServedOrEndsTheLane) {
  int malformed = 0;
  for (std::size_t bit = 0; bit < 3 * 64; ++bit) {
    const LaneEnd end = round([&](Hand& hand) {
      ASSERT_TRUE(hand.open(0, hand.first_block()));
      // An honest descriptor of three slots, made where the twin does not look.
      const auto scratch = std::make_unique<std::array<abi::Slot, abi::ring_slots>>();
      SharedWord<std::uint64_t> credit;
      credit.store_relaxed(0);
      const std::array<std::byte, 150> body{};
      RingProducer(*scratch, credit, hand.first_lap).write(request(body));
      auto& target = hand.block(hand.first_block()).requests;
      for (std::size_t slot = 3; slot-- > 0;) {
        for (std::size_t word = 8; word-- > 0;) {  // the head's control word last
          const bool flip = slot == 0 && word == bit / 64;
          const std::uint64_t honest = *scratch->at(slot).words.at(word).load_relaxed().at_most(max64);
          target.at(slot).words.at(word).store_release(honest ^ (flip ? std::uint64_t{1} << bit % 64 : 0));
        }
      }
      hand.wake(0, hand.first_block());
      const bool not_written_yet = bit < 32;  // what another lap says
      const auto& consumed = hand.block(hand.first_block()).words.request_consumed.word;
      const bool settled = Hand::wait([&] { return hand.over() || !consumed.load_acquire().equals(0); },
                                      not_written_yet ? 1ms : std::chrono::milliseconds(20s));
      EXPECT_NE(settled, not_written_yet) << "bit " << bit;
    });
    malformed += end.reason.find("malformed request") != std::string::npos ? 1 : 0;
  }
  // The slot count's 10 bits; the flags of a continuation, a fence (a slot more) and a reply; a fixed part of 256 bytes
  // or more; and of the size's 32 bits all but those (1, 2, 4, 16) that leave it a body of three slots.
  EXPECT_EQ(malformed, 10 + 3 + 8 + 28);
}

TEST_P(HostileClientTest, MalformedDescriptorsEndTheLaneWithTheChannelsNumber) {
  struct Bad {
    abi::ControlWord control;
    abi::MessageHeader header;
  };
  for (const Bad& bad : {Bad{.control = {.slots = 0}, .header = {}}, Bad{.control = {.slots = 590}, .header = {}},
                         Bad{.control = {.slots = 1}, .header = {.size = 0xffff'ffff}},
                         Bad{.control = {.slots = 1, .flags = 15}, .header = {}},
                         Bad{.control = {.slots = 1, .flags = abi::flag_continuation}, .header = {}},
                         Bad{.control = {.slots = 1, .flags = abi::flag_frames_held}, .header = {}},
                         Bad{.control = {.slots = 1}, .header = {.fixed = 9, .size = 8}},
                         Bad{.control = {.slots = 20}, .header = {.size = 1100}}}) {
    const LaneEnd end = fatal_round([&](Hand& hand) {
      ASSERT_TRUE(hand.open(9, hand.first_block()));
      abi::Slot& head = hand.block(hand.first_block()).requests[0];
      const auto words = std::bit_cast<std::array<std::uint64_t, 2>>(bad.header);
      head.words[1].store_relaxed(words[0]);
      head.words[2].store_relaxed(words[1]);
      abi::ControlWord control = bad.control;
      control.lap = hand.first_lap;
      head.words[0].store_release(control.encode());
      hand.wake(9, hand.first_block());
    });
    EXPECT_FALSE(end.orderly);
    EXPECT_NE(end.reason.find("malformed request"), std::string::npos) << end.reason;
    EXPECT_NE(end.reason.find("channel 9"), std::string::npos) << end.reason;
  }
}

TEST_P(HostileClientTest, ImpossibleCreditForRepliesEndsTheLane) {
  for (const std::uint64_t position : {max64 / 2, std::uint64_t{5000}, std::uint64_t{1} << 40}) {
    const LaneEnd end = fatal_round([&](Hand& hand) {
      const std::uint64_t at = hand.first_block();
      ASSERT_TRUE(hand.open(0, at));
      hand.block(at).words.reply_consumed.word.store_relaxed(position);
      RingProducer producer = hand.producer(at);
      for (std::uint32_t i = 0; i < 3 * abi::ring_slots && !hand.over(); ++i) {
        ASSERT_TRUE(Hand::wait([&] { return hand.over() || producer.credit(1) == Credit::enough; }));
        if (!hand.over()) {
          producer.write(request({}));
          hand.wake(0, at);
        }
      }
    });
    EXPECT_FALSE(end.orderly);
    EXPECT_NE(end.reason.find("impossible position"), std::string::npos) << end.reason;
  }
}

TEST_P(HostileClientTest, AClientThatNeverReadsItsRepliesIsEndedWhenItIsTold) {
  const LaneEnd end = round([&](Hand& hand) {
    const std::uint64_t at = hand.first_block();
    ASSERT_TRUE(hand.open(0, at));
    RingProducer producer = hand.producer(at);
    for (std::uint32_t i = 0; i < abi::ring_slots + 100; ++i) {
      ASSERT_TRUE(Hand::wait([&] { return producer.credit(1) == Credit::enough; }));
      producer.write(request({}));
      hand.wake(0, at);
    }
    const auto& last = hand.block(at).replies.back().words[0];
    EXPECT_TRUE(Hand::wait([&] {
      return abi::ControlWord::decode(*last.load_acquire().at_most(max64)).lap == hand.first_lap;
    })) << "the ring is full of replies";
  });
  EXPECT_EQ(end.reason, "isthmusd ended the worker");
}

TEST_P(HostileClientTest, ReferencesAllOverAreResolvedInsideTheExtentsOnly) {
  GreedyService service;
  Random random(8);
  round(
      [&](Hand& hand) {
        const std::uint64_t at = hand.first_block();
        ASSERT_TRUE(hand.open(0, at));
        RingProducer producer = hand.producer(at);
        RingConsumer consumer = hand.consumer(at);
        Incoming reply;
        const auto pick = [&] {
          const std::array edges{std::uint64_t{0}, hand.first_block() + abi::extent_size, hand.region.size(), max64,
                                 Reference::max_offset};
          return random.one_in(2) ? edges.at(random.below(edges.size())) - random.below(64)
                                  : random.next() >> random.below(64);
        };
        for (int i = 0; i < 2000; ++i) {
          // Not into the channel itself, which would be another test.
          std::array<std::uint64_t, 8> words{};
          for (auto& word : words) {
            word = pick();
          }
          for (std::size_t w = 0; w < words.size(); w += 2) {
            words.at(w) = std::max(words.at(w), at + abi::extent_size);
          }
          ASSERT_EQ(producer.credit(2), Credit::enough);
          producer.write(request(std::as_bytes(std::span(words))));
          hand.wake(0, at);
          ASSERT_TRUE(Hand::wait([&] { return consumer.ready(); }));
          ASSERT_EQ(consumer.poll(reply), Polled::ready);
          std::ignore = consumer.publish_credit();
        }
      },
      service);
  EXPECT_EQ(service.handled.load(), 2000);
  EXPECT_TRUE(payload_races_are_reported || service.resolved.load() > 100) << service.resolved.load();
}

// ---- everything at once --------------------------------------------------------------------------------------------

TEST_P(HostileClientTest, GarbageInRingsAndWordsWhileTheyAreServedEndsTheLaneOrDoesNothing) {
  Random random(static_cast<std::uint64_t>(GetParam()) + 77);
  // Until one has ended at the latest; the watchdog tells where none does.
  bool has_ended = false;
  for (const auto until = Clock::now() + 1500ms; Clock::now() < until || !has_ended;) {
    const LaneEnd end = round([&](Hand& hand) {
      std::vector<std::uint64_t> blocks;
      for (std::size_t number = 0; number < 3; ++number) {
        blocks.push_back(hand.first_block() + number * sizeof(abi::ChannelBlock));
        ASSERT_TRUE(hand.open(number, blocks.back()));
      }
      std::vector<RingProducer> producers;
      for (const std::uint64_t at : blocks) {
        producers.push_back(hand.producer(at));
      }
      const bool gentle = random.one_in(2);
      for (int i = 0; i < 400 && !hand.over(); ++i) {
        const std::size_t number = random.below(blocks.size());
        abi::ChannelBlock& block = hand.block(blocks.at(number));
        // Sometimes honest ...
        const auto body = random.bytes(random.one_in(10) ? random.below(abi::max_body) : random.below(200));
        if (producers.at(number).credit(abi::slots_for(static_cast<std::uint32_t>(body.size()))) == Credit::enough) {
          producers.at(number).write(request(body));
        }
        // ... and then anything, where the other side may be reading.
        auto* const words = reinterpret_cast<SharedWord<std::uint64_t>*>(&block);
        constexpr std::size_t ring_words = offsetof(abi::ChannelBlock, reserve) / sizeof(std::uint64_t);
        for (std::uint64_t n = random.below(gentle ? 2 : 12); n != 0; --n) {
          const std::size_t at = random.below(random.one_in(3) ? sizeof(abi::ChannelWords) / 8 : ring_words);
          std::uint64_t value = random.next();
          if (random.one_in(2)) {
            value = abi::ControlWord{.lap = hand.first_lap + static_cast<std::uint32_t>(random.below(2)),
                                     .slots = static_cast<std::uint16_t>(random.below(4)),
                                     .flags = static_cast<std::uint8_t>(random.below(8)),
                                     .batch = static_cast<std::uint8_t>(random.below(4))}
                        .encode();
          }
          words[at].store_release(value);
        }
        if (random.one_in(50)) {
          hand.page().client.directory.at(number).store_release(random.one_in(2) ? 0 : blocks.at(number) | 1);
          hand.announce();
        }
        hand.wake(number, blocks.at(number));
      }
    });
    has_ended = has_ended || end.reason != "isthmusd ended the worker";
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, HostileClientTest, testing::Values(LoopbackKind::shm, LoopbackKind::vm),
                         [](const auto& instance) { return instance.param == LoopbackKind::shm ? "shm" : "vm"; });

}  // namespace
}  // namespace isthmus::test::hostile_client_tests
