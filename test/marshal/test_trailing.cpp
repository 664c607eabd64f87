// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "isthmus/marshal/trailing.hpp"
#include "test/support/must.hpp"
#include "test/support/random.hpp"

namespace isthmus::test::trailing_tests {
namespace {

using marshal::TrailingReader;
using marshal::TrailingWriter;

struct Point {
  std::uint16_t x = 0;
  std::uint16_t y = 0;
  std::uint32_t z = 0;
  friend bool operator==(const Point&, const Point&) = default;
};

std::vector<std::byte> count_and(std::uint32_t count, std::size_t bytes) {
  std::vector<std::byte> made(sizeof count + bytes, std::byte{1});
  std::memcpy(made.data(), &count, sizeof count);
  return made;
}

TEST(TrailingTest, EachPieceComesBackAsItWasWritten) {
  std::array<std::byte, 256> buffer{};
  const std::array<std::uint64_t, 3> sizes{1, std::numeric_limits<std::uint64_t>::max(), 0};
  const auto written = must(TrailingWriter(buffer)
                                .string("a name")
                                .value(Point{.x = 1, .y = 2, .z = 3})
                                .array<std::uint64_t>(sizes)
                                .string("")
                                .bytes(std::as_bytes(std::span("a\0b", 3)))
                                .count(2)
                                .string("x")
                                .string("y")
                                .finish());
  TrailingReader reader(written);
  EXPECT_EQ(must(reader.string(6)), "a name");
  EXPECT_EQ(must(reader.value<Point>()), (Point{.x = 1, .y = 2, .z = 3}));
  EXPECT_EQ(must(reader.vector<std::uint64_t>(3)), std::vector<std::uint64_t>(sizes.begin(), sizes.end()));
  EXPECT_EQ(must(reader.string(0)), "");
  EXPECT_EQ(must(reader.bytes(3)).size(), 3);
  EXPECT_EQ(must(reader.count(2)), 2);
  EXPECT_EQ(must(reader.string(1)), "x");
  EXPECT_EQ(must(reader.string(1)), "y");
  must(reader.end());
}

TEST(TrailingTest, ElementsThatLieAtOddPlacesAreReadAllTheSame) {
  std::array<std::byte, 64> buffer{};
  const std::array<std::uint64_t, 2> numbers{0x0102'0304'0506'0708, 9};
  const auto written = must(TrailingWriter(buffer).string("odd").array<std::uint64_t>(numbers).finish());
  TrailingReader reader(written);
  std::ignore = must(reader.string(3));
  std::array<std::uint64_t, 4> into{};
  const auto read = must(reader.array<std::uint64_t>(into));
  EXPECT_TRUE(std::ranges::equal(read, numbers));
}

TEST(TrailingTest, PiecesWhoseCountsAreToldElsewhereAreReadAndNoMoreThanIsThere) {
  std::array<std::byte, 64> buffer{};
  const auto written = must(TrailingWriter(buffer)
                                .value(std::uint8_t{7})
                                .value(std::uint32_t{1})
                                .value(std::uint32_t{2})
                                .value(Point{.x = 1, .y = 2, .z = 3})
                                .value(std::uint16_t{9})
                                .finish());
  TrailingReader reader(written);
  EXPECT_EQ(must(reader.raw(1)).front(), std::byte{7});
  EXPECT_EQ(must(reader.elements<std::uint32_t>(2)), (std::vector<std::uint32_t>{1, 2}));
  EXPECT_TRUE(must(reader.elements<Point>(0)).empty());
  EXPECT_EQ(must(reader.elements<Point>(1)), (std::vector{Point{.x = 1, .y = 2, .z = 3}}));
  EXPECT_EQ(reader.rest().size(), sizeof(std::uint16_t));
  EXPECT_TRUE(reader.rest().empty());

  EXPECT_FALSE(TrailingReader(written).raw(written.size() + 1));
  TrailingReader greedy(written);
  const auto too_many = greedy.elements<std::uint64_t>(std::numeric_limits<std::size_t>::max());
  ASSERT_FALSE(too_many);
  EXPECT_EQ(too_many.error().code, Errc::invalid_argument);
  EXPECT_FALSE(greedy.raw(1));
  EXPECT_TRUE(greedy.rest().empty());
}

TEST(TrailingTest, ABufferThatIsTooSmallIsAnErrorThatSaysHowMuchIsNeeded) {
  std::array<std::byte, 12> buffer{};
  const auto written = TrailingWriter(buffer).string("12345678").string("9").finish();
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::invalid_argument);
  EXPECT_EQ(written.error().message,
            "trailing data: 17 bytes, the buffer has 12; enlarge it, or send a reference to slab memory");
  EXPECT_EQ(must(TrailingWriter(buffer).string("12345678").finish()).size(), 12);
  EXPECT_TRUE(TrailingWriter({}).finish());
}

TEST(TrailingTest, APieceThatDidNotFitIsNotFollowedByASmallerOneThatWould) {
  std::array<std::byte, 8> buffer{};
  TrailingWriter writer(buffer);
  writer.value(std::uint32_t{0x1111'1111}).value(std::uint64_t{0x2222'2222'2222'2222}).value(std::uint32_t{3});
  EXPECT_FALSE(writer.finish());
  EXPECT_EQ(buffer[4], std::byte{0});
}

TEST(TrailingTest, AStringWithANulIsRefusedByBothSides) {
  std::array<std::byte, 32> buffer{};
  const auto written = TrailingWriter(buffer).string(std::string_view("a\0b", 3)).finish();
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("NUL"), std::string::npos);
  const auto sent = must(TrailingWriter(buffer).bytes(std::as_bytes(std::span("a\0b", 3))).finish());
  const auto read = TrailingReader(sent).string(10);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message.find("NUL"), std::string::npos);
}

TEST(TrailingTest, ACountAboveTheLimitIsAnErrorWithBothNumbers) {
  const auto sent = count_and(5, 40);
  const auto text = TrailingReader(sent).string(4);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().message, "trailing data: a string of 5 elements; the limit is 4");
  std::array<std::uint64_t, 4> into{};
  EXPECT_FALSE(TrailingReader(sent).array<std::uint64_t>(into));
  EXPECT_FALSE(TrailingReader(sent).vector<std::uint64_t>(4));
  EXPECT_FALSE(TrailingReader(sent).bytes(4));
  EXPECT_FALSE(TrailingReader(sent).count(4));
  EXPECT_EQ(must(TrailingReader(sent).vector<std::uint64_t>(5)).size(), 5);
}

TEST(TrailingTest, ACountThatPromisesMoreThanIsThereTakesNoMemory) {
  for (const std::uint32_t count : {6U, 0x2000'0000U, 0x8000'0000U, 0xffff'ffffU}) {
    const auto sent = count_and(count, 40);
    constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();
    EXPECT_FALSE(TrailingReader(sent).vector<std::uint64_t>(no_limit)) << count;
    if (count > 40) {
      EXPECT_FALSE(TrailingReader(sent).string(no_limit)) << count;
      EXPECT_FALSE(TrailingReader(sent).bytes(no_limit)) << count;
      EXPECT_FALSE(TrailingReader(sent).count(no_limit)) << count;
    }
  }
}

TEST(TrailingTest, AfterAnErrorEverythingIsAnError) {
  const auto sent = count_and(5, 40);
  TrailingReader reader(sent);
  EXPECT_FALSE(reader.string(1));
  EXPECT_FALSE(reader.value<std::uint8_t>());
  EXPECT_FALSE(reader.string(40));
  EXPECT_FALSE(reader.end());
}

TEST(TrailingTest, ZerosAtTheEndAreWhatANewerSenderMayAdd) {
  std::array<std::byte, 12> sent{};
  TrailingReader zeros(sent);
  EXPECT_EQ(must(zeros.value<std::uint32_t>()), 0);
  must(zeros.end());
  sent.back() = std::byte{1};
  TrailingReader more(sent);
  EXPECT_TRUE(more.value<std::uint64_t>());
  EXPECT_FALSE(more.end());
}

TEST(TrailingTest, WhateverIsWrittenInWhateverOrderIsReadBack) {
  Random random(11);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::byte> buffer(random.below(300));
    TrailingWriter writer(buffer);
    std::vector<std::vector<std::byte>> pieces(random.below(6));
    std::size_t needed = 0;
    for (auto& piece : pieces) {
      piece = random.bytes(random.below(80));
      writer.bytes(piece);
      needed += sizeof(std::uint32_t) + piece.size();
    }
    const auto written = writer.finish();
    ASSERT_EQ(written.has_value(), needed <= buffer.size());
    if (written) {
      TrailingReader reader(*written);
      for (const auto& piece : pieces) {
        ASSERT_TRUE(std::ranges::equal(must(reader.bytes(80)), piece));
      }
      must(reader.end());
    }
  }
}

TEST(TrailingTest, RandomBytesAreReadWithinTheirBoundsOrRefused) {
  Random random(12);
  std::size_t accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    // Exactly as long as said, so that an address sanitizer sees a byte too much.
    auto sent = random.bytes(random.below(64));
    for (auto& byte : sent) {
      byte = random.one_in(2) ? byte & std::byte{7} : random.one_in(2) ? std::byte{0} : byte;
    }
    TrailingReader reader(sent);
    std::size_t consumed = 0;
    for (int step = 0; step < 4; ++step) {
      const std::size_t limit = random.below(20);
      bool good = false;
      switch (random.below(5)) {
        case 0:
          if (const auto read = reader.string(limit)) {
            ASSERT_LE(read->size(), limit);
            ASSERT_EQ(read->find('\0'), std::string_view::npos);
            consumed += 4 + read->size();
            good = true;
          }
          break;
        case 1:
          if (const auto read = reader.vector<Point>(limit)) {
            ASSERT_LE(read->size(), limit);
            consumed += 4 + read->size() * sizeof(Point);
            good = true;
          }
          break;
        case 2: {
          std::vector<std::uint16_t> into(limit);
          if (const auto read = reader.array<std::uint16_t>(into)) {
            ASSERT_LE(read->size(), limit);
            consumed += 4 + read->size_bytes();
            good = true;
          }
          break;
        }
        case 3:
          if (const auto read = reader.bytes(limit)) {
            ASSERT_LE(read->size(), limit);
            consumed += 4 + read->size();
            good = true;
          }
          break;
        default:
          if (reader.value<std::uint64_t>()) {
            consumed += 8;
            good = true;
          }
          break;
      }
      if (!good) {
        ASSERT_FALSE(reader.value<std::uint8_t>());
        break;
      }
      ++accepted;
    }
    ASSERT_LE(consumed, sent.size());
  }
  EXPECT_GT(accepted, 2000) << "the bytes are too random to reach anything";
}

}  // namespace
}  // namespace isthmus::test::trailing_tests
