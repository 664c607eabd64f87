// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "src/transport/ring_consumer.hpp"
#include "src/transport/ring_producer.hpp"
#include "test/support/bytes.hpp"
#include "test/support/random.hpp"

namespace isthmus::test::ring_tests {
namespace {

// One ring in private memory, prepared as a client prepares it.
class Ring {
 public:
  explicit Ring(std::uint32_t lap = 1) : first_lap(lap) { prepare_ring(memory_->slots, lap); }

  [[nodiscard]] RingProducer producer() { return {memory_->slots, memory_->consumed.word, first_lap}; }
  [[nodiscard]] RingConsumer consumer() { return {memory_->slots, memory_->consumed.word, first_lap}; }
  [[nodiscard]] SharedWord<std::uint64_t>& consumed() { return memory_->consumed.word; }
  [[nodiscard]] abi::Slot& slot(std::uint64_t position) { return memory_->slots.at(position % abi::ring_slots); }
  [[nodiscard]] std::uint32_t lap(std::uint64_t position) const {
    return first_lap + static_cast<std::uint32_t>(position / abi::ring_slots);
  }
  [[nodiscard]] std::span<std::byte> bytes() { return std::as_writable_bytes(std::span(memory_.get(), 1)); }
  [[nodiscard]] std::span<abi::Slot, abi::ring_slots> slots() { return memory_->slots; }

  // What no honest producer would do: writes a head as given.
  void forge_head(std::uint64_t position, const abi::ControlWord& control, const abi::MessageHeader& header) {
    const auto words = std::bit_cast<std::array<std::uint64_t, 2>>(header);
    slot(position).words[1].store_relaxed(words[0]);
    slot(position).words[2].store_relaxed(words[1]);
    slot(position).words[0].store_release(control.encode());
  }
  void forge_continuation(std::uint64_t position, const abi::ControlWord& control) {
    slot(position).words[0].store_release(control.encode());
  }

  const std::uint32_t first_lap;

 private:
  struct Memory {
    std::array<abi::Slot, abi::ring_slots> slots;
    abi::LoneWord<std::uint64_t> consumed;
  };
  std::unique_ptr<Memory> memory_ = std::make_unique<Memory>();
};

Outgoing message(std::span<const std::byte> fixed, std::span<const std::byte> trailing = {},
                 std::uint32_t call_id = 0) {
  Outgoing made;
  made.header.call_id = call_id;
  made.fixed = fixed;
  made.trailing = trailing;
  return made;
}

std::vector<std::byte> body_of(std::size_t size, std::uint64_t seed = 1) { return Random(seed ^ size).bytes(size); }

void expect_untouched(const RingConsumer& consumer) {
  EXPECT_EQ(consumer.position(), 0);
  EXPECT_EQ(consumer.published(), 0);
}

TEST(RingTest, EverySizeArrivesUnchanged) {
  Ring ring;
  RingProducer producer = ring.producer();
  RingConsumer consumer = ring.consumer();
  const auto longest = body_of(abi::max_body);
  Incoming incoming;
  // All short ones, then a stride that is no multiple of a slot's body, and the last few.
  for (std::uint32_t size = 0; size <= abi::max_body; size += size < 1500 || size > abi::max_body - 40 ? 1 : 39) {
    const auto body = std::span(longest).last(size);
    ASSERT_EQ(producer.credit(abi::slots_for(size)), Credit::enough) << size;
    producer.write(message(body.first(size / 2), body.subspan(size / 2)));
    ASSERT_EQ(consumer.poll(incoming), Polled::ready) << size;
    ASSERT_EQ(incoming.header.size, size);
    ASSERT_EQ(incoming.header.fixed, size / 2);
    ASSERT_TRUE(same(incoming.body, body)) << size;
    ASSERT_EQ(consumer.position(), producer.position());
    static_cast<void>(consumer.publish_credit());
  }
}

TEST(RingTest, ABodyMayBeDividedAnywhereIntoFixedAndTrailing) {
  Ring ring;
  RingProducer producer = ring.producer();
  RingConsumer consumer = ring.consumer();
  const auto body = body_of(200);
  Incoming incoming;
  for (std::size_t fixed = 0; fixed <= body.size(); ++fixed) {
    ASSERT_EQ(producer.credit(abi::slots_for(200)), Credit::enough);
    producer.write(message(std::span(body).first(fixed), std::span(body).subspan(fixed)));
    ASSERT_EQ(consumer.poll(incoming), Polled::ready);
    ASSERT_EQ(incoming.header.fixed, fixed);
    ASSERT_TRUE(same(incoming.body, body)) << fixed;
    static_cast<void>(consumer.publish_credit());
  }
}

TEST(RingTest, AllFieldsOfTheHeadTravel) {
  Ring ring;
  RingProducer producer = ring.producer();
  RingConsumer consumer = ring.consumer();
  Outgoing sent;
  sent.opcode = 0xfedc;
  sent.flags = abi::flag_post;
  sent.header = {.call_id = 0x8765'4321, .api = 0xabcd, .fixed = 0, .size = 0, .status = -77};
  producer.write(sent);
  Incoming incoming;
  ASSERT_EQ(consumer.poll(incoming), Polled::ready);
  EXPECT_EQ(incoming.control.opcode, 0xfedc);
  EXPECT_EQ(incoming.control.flags, abi::flag_post);
  EXPECT_EQ(incoming.control.slots, 1);
  EXPECT_EQ(incoming.header.call_id, 0x8765'4321);
  EXPECT_EQ(incoming.header.api, 0xabcd);
  EXPECT_EQ(incoming.header.status, -77);
}

// What a consumer took, in the order in which it took it.
struct Taken {
  explicit Taken(const Incoming& incoming)
      : call_id(incoming.header.call_id),
        opcode(incoming.control.opcode),
        flags(incoming.control.flags),
        slots(incoming.control.slots),
        fence(incoming.fence),
        body(incoming.body.begin(), incoming.body.end()) {}
  bool operator==(const Taken&) const = default;

  std::uint32_t call_id;
  std::uint16_t opcode;
  std::uint8_t flags;
  std::uint16_t slots;
  std::uint64_t fence;
  std::vector<std::byte> body;
};

// Random messages, in batches and one by one, into a ring whose laps wrap; the same for the same seed.
class RandomSender {
 public:
  explicit RandomSender(Ring& ring) : producer_(ring.producer()) {}
  void send_some() {
    const bool batch = random_.below(2) == 0;
    if (batch) {
      producer_.hold();
    }
    for (std::uint64_t left = random_.below(300); left > 0; --left) {
      const auto body = body_of(random_.below(8) == 0 ? random_.below(300) : random_.below(41), left);
      Outgoing sent =
          message(std::span(body).first(body.size() / 2), std::span(body).subspan(body.size() / 2), ++calls_);
      sent.opcode = static_cast<std::uint16_t>(calls_);
      sent.flags =
          static_cast<std::uint8_t>(abi::flag_post * random_.below(2) + (random_.below(8) == 0 ? abi::flag_fence : 0));
      sent.fence = calls_;
      if (producer_.credit(abi::slots_for(static_cast<std::uint32_t>(sent.size()))) != Credit::enough) {
        break;
      }
      producer_.write(sent);
    }
    producer_.release();
  }

 private:
  RingProducer producer_;
  Random random_{42};
  std::uint32_t calls_ = 0;
};

TEST(RingTest, DrainingTakesWhatPollingTakes) {
  constexpr std::uint32_t near_the_wrap = 0xffff'fffe;
  Ring polled_ring(near_the_wrap);
  Ring drained_ring(near_the_wrap);
  RandomSender polled_sender(polled_ring);
  RandomSender drained_sender(drained_ring);
  RingConsumer polled = polled_ring.consumer();
  RingConsumer drained = drained_ring.consumer();
  Random random(7);
  for (int round = 0; round < 200; ++round) {
    polled_sender.send_some();
    drained_sender.send_some();
    std::vector<Taken> one_by_one;
    std::vector<std::uint64_t> positions;
    for (Incoming incoming; polled.poll(incoming) == Polled::ready;) {
      one_by_one.emplace_back(incoming);
      positions.push_back(polled.position());
    }
    std::vector<Taken> together;
    for (Polled verdict = Polled::ready; verdict == Polled::ready;) {
      const std::size_t stop_at = together.size() + 1 + random.below(100);
      verdict = drained.drain(static_cast<std::uint32_t>(1 + random.below(100)), [&](const Incoming& incoming) {
        together.emplace_back(incoming);
        EXPECT_EQ(drained.position(), positions.at(together.size() - 1));  // what a twin reports as executed
        return together.size() != stop_at;
      });
      ASSERT_NE(verdict, Polled::violated);
    }
    ASSERT_EQ(together, one_by_one);
    ASSERT_EQ(drained.published(), polled.published());
    ASSERT_EQ(drained.publish_credit(), polled.publish_credit());
  }
}

TEST(RingTest, DrainingStopsWhereItIsToldToAndAtAViolation) {
  Ring ring;
  RingProducer producer = ring.producer();
  RingConsumer consumer = ring.consumer();
  for (int i = 0; i < 5; ++i) {
    producer.write(message({}));
  }
  int taken = 0;
  EXPECT_EQ(consumer.drain(3, [&](const Incoming&) { return ++taken > 0; }), Polled::ready);
  EXPECT_EQ(taken, 3);
  EXPECT_EQ(consumer.drain(3, [&](const Incoming&) { return ++taken < 0; }), Polled::ready);
  EXPECT_EQ(taken, 4);
  ring.forge_head(5, {.lap = ring.lap(5), .slots = 1}, {.size = abi::head_body_bytes + 1});
  EXPECT_EQ(consumer.drain(3, [&](const Incoming&) { return ++taken > 0; }), Polled::violated);
  EXPECT_EQ(taken, 5);
  EXPECT_EQ(consumer.position(), 5);
}

TEST(RingTest, ControlWordsSurviveEncodingAtTheLimitsOfTheirFields) {
  const abi::ControlWord most{.lap = 0xffff'ffff, .opcode = 0xffff, .slots = 0x3ff, .flags = 0xf, .batch = 3};
  EXPECT_EQ(most.encode(), ~std::uint64_t{0});
  for (const abi::ControlWord& word : {most, abi::ControlWord{.lap = 0xffff'ffff}, abi::ControlWord{.opcode = 0xffff},
                                       abi::ControlWord{.slots = abi::max_descriptor_slots},
                                       abi::ControlWord{.flags = abi::flags_known}, abi::ControlWord{.batch = 3}}) {
    const auto again = abi::ControlWord::decode(word.encode());
    EXPECT_EQ(again.lap, word.lap);
    EXPECT_EQ(again.opcode, word.opcode);
    EXPECT_EQ(again.slots, word.slots);
    EXPECT_EQ(again.flags, word.flags);
    EXPECT_EQ(again.batch, word.batch);
  }
}

TEST(RingTest, ABatchShowsAllAtOnceAndItsHeadSaysHowLongItIsAtLeast) {
  for (const std::uint32_t count : {1U, 2U, 7U, 8U, 9U, 31U, 32U, 33U, 255U, 256U, 257U, 1000U}) {
    Ring ring(1);
    RingProducer producer = ring.producer();
    RingConsumer consumer = ring.consumer();
    Incoming incoming;
    for (const std::uint32_t round : {0U, 1U}) {  // the second comes behind a batch, and goes over the end of the ring
      producer.hold();
      for (std::uint32_t i = 0; i < count; ++i) {
        ASSERT_EQ(producer.credit(1), Credit::enough);
        Outgoing message;
        message.header.call_id = round * count + i;
        producer.write(message);
        EXPECT_EQ(consumer.poll(incoming), Polled::empty) << i;
      }
      producer.release();
      for (std::uint32_t i = 0; i < count; ++i) {
        ASSERT_EQ(consumer.poll(incoming), Polled::ready);
        EXPECT_EQ(incoming.header.call_id, round * count + i);
        EXPECT_LE(abi::batch_slots.at(incoming.control.batch), count - 1 - i);
        if (i == 0 && count >= 256) {
          EXPECT_EQ(incoming.control.batch, 3);
        }
      }
      EXPECT_EQ(consumer.poll(incoming), Polled::empty);
      std::ignore = consumer.publish_credit();
    }
  }
}

TEST(RingTest, SlotsForABodyAreAsFewAsPossible) {
  for (std::uint32_t size = 0; size <= abi::max_body; ++size) {
    const std::uint32_t slots = abi::slots_for(size);
    const auto room = [](std::uint32_t n) { return abi::head_body_bytes + (n - 1) * abi::continuation_body_bytes; };
    ASSERT_GE(room(slots), size);
    ASSERT_TRUE(slots == 1 || room(slots - 1) < size) << size;
  }
}

TEST(RingTest, AnEmptyRingIsEmptyAgainAfterEachMessage) {
  Ring ring;
  RingProducer producer = ring.producer();
  RingConsumer consumer = ring.consumer();
  Incoming incoming;
  EXPECT_FALSE(consumer.ready());
  EXPECT_EQ(consumer.poll(incoming), Polled::empty);
  for (int i = 0; i < 5000; ++i) {
    ASSERT_EQ(producer.credit(1), Credit::enough);
    producer.write({});
    ASSERT_TRUE(consumer.ready());
    ASSERT_EQ(consumer.poll(incoming), Polled::ready);
    ASSERT_FALSE(consumer.ready());
    ASSERT_EQ(consumer.poll(incoming), Polled::empty);
  }
}

// ---- credit --------------------------------------------------------------------------------------------------------

TEST(RingCreditTest, AFullRingTakesNoMoreUntilCreditComesBack) {
  Ring ring;
  RingProducer producer = ring.producer();
  RingConsumer consumer = ring.consumer();
  for (std::uint32_t i = 0; i < abi::ring_slots; ++i) {
    ASSERT_EQ(producer.credit(1), Credit::enough);
    producer.write(message({}, {}, i));
  }
  EXPECT_EQ(producer.credit(1), Credit::wait);
  Incoming incoming;
  for (std::uint32_t i = 0; i < 3; ++i) {
    ASSERT_EQ(consumer.poll(incoming), Polled::ready);
    EXPECT_EQ(incoming.header.call_id, i);
  }
  EXPECT_EQ(producer.credit(1), Credit::wait) << "consumed, but not published yet";
  EXPECT_FALSE(consumer.publish_credit()) << "less than a quarter of the ring is no news";
  EXPECT_EQ(producer.credit(4), Credit::wait);
  EXPECT_EQ(producer.credit(3), Credit::enough);
}

TEST(RingCreditTest, CreditIsPublishedByItselfAfterAQuarterOfTheRing) {
  Ring ring;
  RingProducer producer = ring.producer();
  RingConsumer consumer = ring.consumer();
  for (std::uint32_t i = 0; i < abi::ring_slots; ++i) {
    producer.write({});
  }
  Incoming incoming;
  for (std::uint32_t i = 0; i < abi::ring_slots / 4; ++i) {
    ASSERT_EQ(producer.credit(1), Credit::wait) << i;
    ASSERT_EQ(consumer.poll(incoming), Polled::ready);
  }
  EXPECT_EQ(producer.credit(abi::ring_slots / 4), Credit::enough);
}

// A producer that sleeps for credit must be rung for credit however it was published: the caller rings when there is
// news, so what poll() published on its own has to count as news, too.
TEST(RingCreditTest, CreditThatWasPublishedByItselfIsStillNews) {
  Ring ring;
  RingProducer producer = ring.producer();
  RingConsumer consumer = ring.consumer();
  Incoming incoming;
  for (std::uint32_t i = 0; i < abi::ring_slots / 4; ++i) {
    producer.write({});
    ASSERT_EQ(consumer.poll(incoming), Polled::ready);
  }
  ASSERT_EQ(consumer.published(), consumer.position());
  EXPECT_TRUE(consumer.publish_credit());
  EXPECT_FALSE(consumer.publish_credit());
}

// Why publish_credit() is no news by itself: whatever is untold when the ring is empty, any descriptor fits.
TEST(RingCreditTest, WhereTheConsumerHasTakenEverythingNoProducerWaits) {
  Ring ring;
  RingProducer producer = ring.producer();
  RingConsumer consumer = ring.consumer();
  Random random(11);
  Incoming incoming;
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_EQ(producer.credit(abi::max_descriptor_slots), Credit::enough);
    const auto body = random.bytes(random.below(random.one_in(8) ? abi::max_body + 1 : 200));
    producer.write(message(body));
    ASSERT_EQ(consumer.poll(incoming), Polled::ready);
    std::ignore = consumer.take_news();
  }
}

TEST(RingCreditTest, TheLongestDescriptorFitsTwiceOnlyAfterCredit) {
  Ring ring;
  RingProducer producer = ring.producer();
  RingConsumer consumer = ring.consumer();
  const auto body = body_of(abi::max_body);
  Incoming incoming;
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(producer.credit(abi::max_descriptor_slots), Credit::enough);
    producer.write(message({}, body));
    ASSERT_EQ(producer.credit(abi::max_descriptor_slots), Credit::wait);
    ASSERT_EQ(consumer.poll(incoming), Polled::ready);
    ASSERT_TRUE(same(incoming.body, body));
  }
}

TEST(RingCreditTest, TheSharedWordIsReadOnlyWhenKnownCreditIsUsedUp) {
  Ring ring;
  RingProducer producer = ring.producer();
  ring.consumed().store_relaxed(0xdead'beef);
  for (std::uint32_t i = 0; i < abi::ring_slots; ++i) {
    ASSERT_EQ(producer.credit(1), Credit::enough);
    producer.write({});
  }
  EXPECT_EQ(producer.credit(1), Credit::violated);
}

TEST(RingCreditTest, AnImpossiblePublishedPositionIsAViolation) {
  constexpr std::uint64_t position = abi::ring_slots;  // after a full ring
  for (const std::uint64_t published :
       {position + 1, position + 2, 2 * position, std::numeric_limits<std::uint64_t>::max(), std::uint64_t{1} << 63,
        std::uint64_t{1} << 32, (std::uint64_t{1} << 32) + 1, ~std::uint64_t{0} - 5}) {
    Ring ring;
    RingProducer producer = ring.producer();
    for (std::uint32_t i = 0; i < abi::ring_slots; ++i) {
      producer.write({});
    }
    ring.consumed().store_relaxed(published);
    EXPECT_EQ(producer.credit(1), Credit::violated) << published;
  }
}

TEST(RingCreditTest, APositionThatGoesBackIsAViolationAsSoonAsItIsTooFarBehind) {
  Ring ring;
  RingProducer producer = ring.producer();
  for (std::uint32_t i = 0; i < abi::ring_slots; ++i) {
    producer.write({});
  }
  ring.consumed().store_relaxed(10);
  ASSERT_EQ(producer.credit(10), Credit::enough);
  for (int i = 0; i < 10; ++i) {
    producer.write({});
  }
  ring.consumed().store_relaxed(9);
  EXPECT_EQ(producer.credit(1), Credit::violated);
}

// ---- laps ----------------------------------------------------------------------------------------------------------

class RingLapTest : public testing::TestWithParam<std::uint32_t> {};

TEST_P(RingLapTest, RandomMessagesKeepTheirOrderOverManyLaps) {
  Ring ring(GetParam());
  RingProducer producer = ring.producer();
  RingConsumer consumer = ring.consumer();
  Random random(GetParam());
  struct Sent {
    std::uint32_t id;
    std::vector<std::byte> body;
  };
  std::deque<Sent> in_flight;
  std::uint32_t next_id = 0;
  Incoming incoming;
  while (producer.position() < 12 * abi::ring_slots) {
    for (std::uint64_t burst = random.below(40); burst != 0; --burst) {
      const std::size_t size = random.one_in(20) ? random.below(abi::max_body + 1) : random.below(300);
      const Credit credit = producer.credit(abi::slots_for(static_cast<std::uint32_t>(size)));
      ASSERT_NE(credit, Credit::violated);
      if (credit == Credit::wait) {
        break;
      }
      in_flight.push_back({++next_id, random.bytes(size)});
      producer.write(message({}, in_flight.back().body, next_id));
    }
    for (std::uint64_t burst = random.below(40); burst != 0 && !in_flight.empty(); --burst) {
      ASSERT_EQ(consumer.poll(incoming), Polled::ready);
      ASSERT_EQ(incoming.header.call_id, in_flight.front().id);
      ASSERT_TRUE(same(incoming.body, in_flight.front().body));
      in_flight.pop_front();
    }
    ASSERT_EQ(consumer.ready(), !in_flight.empty());
    if (random.one_in(8)) {
      static_cast<void>(consumer.publish_credit());
    }
  }
}

TEST_P(RingLapTest, RandomMemoryOnceItIsPreparedNeverLooksReady) {
  Ring ring(GetParam());
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed);
    random.fill(ring.bytes());
    ring.consumed().store_relaxed(0);
    prepare_ring(ring.slots(), ring.first_lap);
    RingProducer producer = ring.producer();
    RingConsumer consumer = ring.consumer();
    Incoming incoming;
    while (producer.position() < 2 * abi::ring_slots) {
      ASSERT_FALSE(consumer.ready()) << "seed " << seed << ", position " << consumer.position();
      ASSERT_EQ(consumer.poll(incoming), Polled::empty);
      const auto body = random.bytes(random.below(200));
      ASSERT_EQ(producer.credit(abi::slots_for(static_cast<std::uint32_t>(body.size()))), Credit::enough);
      producer.write(message(body));
      ASSERT_EQ(consumer.poll(incoming), Polled::ready);
      ASSERT_TRUE(same(incoming.body, body));
    }
  }
}

TEST_P(RingLapTest, APayloadThatLooksLikeControlWordsIsNeverTakenForOne) {
  Ring ring(GetParam());
  RingProducer producer = ring.producer();
  RingConsumer consumer = ring.consumer();
  Random random(7);
  Incoming incoming;
  while (producer.position() < 6 * abi::ring_slots) {
    // A body of nothing but acceptable heads of this lap and the next.
    std::vector<std::uint64_t> words(1 + random.below(300));
    for (std::uint64_t& word : words) {
      word = abi::ControlWord{.lap = ring.lap(producer.position()) + static_cast<std::uint32_t>(random.below(2)),
                              .slots = 1,
                              .flags = random.one_in(2) ? abi::flag_continuation : std::uint8_t{0}}
                 .encode();
    }
    const auto body = std::as_bytes(std::span(words));
    ASSERT_EQ(producer.credit(abi::slots_for(static_cast<std::uint32_t>(body.size()))), Credit::enough);
    producer.write(message({}, body));
    ASSERT_EQ(consumer.poll(incoming), Polled::ready);
    ASSERT_TRUE(same(incoming.body, body));
    ASSERT_FALSE(consumer.ready()) << consumer.position();
  }
}

TEST_P(RingLapTest, SlotsOfTheLapBeforeAreNotReadAgain) {
  Ring ring(GetParam());
  RingProducer producer = ring.producer();
  RingConsumer consumer = ring.consumer();
  Incoming incoming;
  for (int lap = 0; lap < 4; ++lap) {
    for (std::uint32_t i = 0; i < abi::ring_slots; ++i) {
      ASSERT_EQ(producer.credit(1), Credit::enough);
      producer.write({});
    }
    for (std::uint32_t i = 0; i < abi::ring_slots; ++i) {
      ASSERT_EQ(consumer.poll(incoming), Polled::ready);
    }
    ASSERT_EQ(consumer.poll(incoming), Polled::empty) << lap;
  }
}

INSTANTIATE_TEST_SUITE_P(FirstLaps, RingLapTest,
                         testing::Values(0U, 1U, 2U, 0x7fff'fffeU, 0xffff'fff0U, 0xffff'fffdU, 0xffff'fffeU,
                                         0xffff'ffffU));

// ---- what no honest producer writes --------------------------------------------------------------------------------

struct BadHead {
  std::string name;
  std::uint16_t slots = 1;
  std::uint8_t flags = 0;
  std::uint32_t size = 0;
  std::uint16_t fixed = 0;
};

class BadHeadTest : public testing::TestWithParam<BadHead> {};

TEST_P(BadHeadTest, IsAViolationAndMovesNothing) {
  const BadHead& bad = GetParam();
  Ring ring(5);
  RingConsumer consumer = ring.consumer();
  // Honest continuations all around, so that nothing but the head is wrong.
  for (std::uint32_t i = 1; i < abi::ring_slots; ++i) {
    ring.forge_continuation(i, {.lap = 5, .flags = abi::flag_continuation});
  }
  ring.forge_head(0, {.lap = 5, .slots = bad.slots, .flags = bad.flags}, {.fixed = bad.fixed, .size = bad.size});
  Incoming incoming;
  EXPECT_TRUE(consumer.ready());
  EXPECT_EQ(consumer.poll(incoming), Polled::violated);
  expect_untouched(consumer);
}

INSTANTIATE_TEST_SUITE_P(
    Heads, BadHeadTest,
    testing::Values(BadHead{.name = "NoSlots", .slots = 0}, BadHead{.name = "TwoSlotsForNothing", .slots = 2},
                    BadHead{.name = "OneSlotTooFew", .slots = 1, .size = 41},
                    BadHead{.name = "OneSlotTooMany", .slots = 3, .size = 96},
                    BadHead{.name = "LastOneTooFew", .slots = 589, .size = abi::max_body},
                    BadHead{.name = "MostSlotsThereAre", .slots = 1023, .size = abi::max_body},
                    BadHead{.name = "OneByteTooLong", .slots = 590, .size = abi::max_body + 1},
                    BadHead{.name = "OneByteTooLongWithASlotMore", .slots = 591, .size = abi::max_body + 1},
                    BadHead{.name = "HugeSize", .slots = 590, .size = 0xffff'ffff},
                    BadHead{.name = "SizeWhoseSlotsWrapToOne", .slots = 1, .size = 0xffff'fff0},
                    BadHead{.name = "FixedBeyondAnEmptyBody", .slots = 1, .size = 0, .fixed = 1},
                    BadHead{.name = "FixedBeyondTheBody", .slots = 1, .size = 40, .fixed = 41},
                    BadHead{.name = "FixedAtItsLimit", .slots = 1, .size = 40, .fixed = 0xffff},
                    BadHead{.name = "ContinuationAsHead", .slots = 1, .flags = abi::flag_continuation},
                    BadHead{
                        .name = "ContinuationAndPost", .slots = 1, .flags = abi::flag_continuation | abi::flag_post},
                    BadHead{.name = "AllFlags", .slots = 1, .flags = 15}),
    [](const auto& instance) { return instance.param.name; });

struct BadContinuation {
  std::string name;
  std::uint32_t lap;
  std::uint8_t flags;
};

class BadContinuationTest : public testing::TestWithParam<BadContinuation> {};

TEST_P(BadContinuationTest, IsAViolationWhereverItStands) {
  constexpr std::uint16_t slots = 20;
  for (std::uint32_t bad = 1; bad < slots; ++bad) {
    Ring ring(5);
    RingConsumer consumer = ring.consumer();
    for (std::uint32_t i = 1; i < slots; ++i) {
      ring.forge_continuation(i, i == bad ? abi::ControlWord{.lap = GetParam().lap, .flags = GetParam().flags}
                                          : abi::ControlWord{.lap = 5, .flags = abi::flag_continuation});
    }
    ring.forge_head(0, {.lap = 5, .slots = slots}, {.size = abi::head_body_bytes + 19 * abi::continuation_body_bytes});
    Incoming incoming;
    EXPECT_EQ(consumer.poll(incoming), Polled::violated) << bad;
    expect_untouched(consumer);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Continuations, BadContinuationTest,
    testing::Values(BadContinuation{.name = "Missing", .lap = 4, .flags = 0},
                    BadContinuation{.name = "OfTheLapBefore", .lap = 4, .flags = abi::flag_continuation},
                    BadContinuation{.name = "OfTheLapAfter", .lap = 6, .flags = abi::flag_continuation},
                    BadContinuation{.name = "IsAHead", .lap = 5, .flags = 0},
                    BadContinuation{.name = "HasAFlagMore", .lap = 5, .flags = abi::flag_continuation | abi::flag_post},
                    BadContinuation{.name = "HasAllFlags", .lap = 5, .flags = 63}),
    [](const auto& instance) { return instance.param.name; });

TEST(HostileRingTest, ADescriptorAcrossTheEndOfTheRingNeedsTheNextLapInItsContinuations) {
  for (const std::uint32_t lap_after_wrap : {9U, 10U}) {
    Ring ring(9);
    RingProducer producer = ring.producer();
    RingConsumer consumer = ring.consumer();
    Incoming incoming;
    for (std::uint32_t i = 0; i < abi::ring_slots - 1; ++i) {
      producer.write({});
      ASSERT_EQ(consumer.poll(incoming), Polled::ready);
    }
    ring.forge_continuation(abi::ring_slots, {.lap = lap_after_wrap, .flags = abi::flag_continuation});
    ring.forge_head(abi::ring_slots - 1, {.lap = 9, .slots = 2}, {.size = 96});
    EXPECT_EQ(consumer.poll(incoming), lap_after_wrap == 10 ? Polled::ready : Polled::violated);
  }
}

TEST(HostileRingTest, WhatChangesAfterThePollDoesNotReachThePrivateCopy) {
  Ring ring;
  RingProducer producer = ring.producer();
  RingConsumer consumer = ring.consumer();
  for (const std::size_t size : {40UL, 1000UL}) {
    const auto body = body_of(size);
    producer.write(message(body, {}, 3));
    Incoming incoming;
    ASSERT_EQ(consumer.poll(incoming), Polled::ready);
    Random(99).fill(ring.bytes());
    EXPECT_TRUE(same(incoming.body, body));
    EXPECT_EQ(incoming.header.call_id, 3);
    EXPECT_EQ(incoming.header.size, size);
    ring.consumed().store_relaxed(0);
    prepare_ring(ring.slots(), ring.first_lap);
  }
}

TEST(HostileRingTest, WhateverTheRingHoldsAPollStaysInsideItsLimits) {
  Ring ring(3);
  Random random(11);
  std::array<int, 3> seen{};
  for (int round = 0; round < 1500; ++round) {
    random.fill(ring.bytes());
    for (std::uint32_t i = 0; i < abi::ring_slots; ++i) {
      // Plausible enough to get past the first checks often.
      const bool continuation = random.one_in(2);
      const auto size = static_cast<std::uint32_t>(random.one_in(3) ? random.next() : random.below(200));
      ring.forge_head(
          i,
          {.lap = 3,
           .slots = random.one_in(5) ? static_cast<std::uint16_t>(random.below(1024))
                                     : static_cast<std::uint16_t>(abi::slots_for(size % (abi::max_body + 1))),
           .flags = continuation ? abi::flag_continuation : static_cast<std::uint8_t>(random.below(5) & 6)},
          {.fixed = static_cast<std::uint16_t>(random.below(100)), .size = size});
    }
    RingConsumer consumer = ring.consumer();
    Incoming incoming;
    for (Polled polled = Polled::ready; polled == Polled::ready;) {
      polled = consumer.poll(incoming);
      ++seen.at(static_cast<std::size_t>(polled));
      if (polled == Polled::ready) {
        ASSERT_LE(incoming.body.size(), abi::max_body);
        ASSERT_EQ(incoming.body.size(), incoming.header.size);
        ASSERT_LE(incoming.header.fixed, incoming.header.size);
        ASSERT_TRUE(same(incoming.body, std::vector(incoming.body.begin(), incoming.body.end())));  // all can be read
      }
    }
    ASSERT_LE(consumer.position(), abi::ring_slots);
  }
  EXPECT_GT(seen.at(static_cast<std::size_t>(Polled::ready)), 50);
  EXPECT_GT(seen.at(static_cast<std::size_t>(Polled::violated)), 50);
}

}  // namespace
}  // namespace isthmus::test::ring_tests
