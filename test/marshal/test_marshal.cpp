// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <numeric>
#include <thread>
#include <tuple>
#include <vector>

#include "isthmus/marshal/client.hpp"
#include "isthmus/marshal/dispatcher.hpp"
#include "test/support/loopback.hpp"

namespace isthmus::test::marshal_tests {
namespace {

using marshal::bytes_of;
using marshal::Call;
using marshal::Client;
using marshal::Dispatcher;
using marshal::read_fixed;

constexpr std::uint16_t test_api = 77;

// Adds two numbers; fails with status 9 on an overflow.
struct Add {
  static constexpr std::uint16_t api = test_api;
  static constexpr std::uint16_t opcode = 1;
  struct Request {
    std::uint32_t a = 0;
    std::uint32_t b = 0;
  };
  struct Reply {
    std::uint32_t sum = 0;
  };
};

// The same call as a later version knows it: both sides got longer at the end.
struct AddLater {
  static constexpr std::uint16_t api = test_api;
  static constexpr std::uint16_t opcode = 1;
  struct Request {
    std::uint32_t a = 0;
    std::uint32_t b = 0;
    std::uint32_t c = 0;
    std::uint32_t d = 0;
  };
  struct Reply {
    std::uint32_t sum = 0;
    std::uint32_t carry = 0;
  };
};

// Sends trailing bytes back in reverse order.
struct Reverse {
  static constexpr std::uint16_t api = test_api;
  static constexpr std::uint16_t opcode = 2;
  struct Request {};
  struct Reply {
    std::uint64_t size = 0;
  };
};

struct Count {
  static constexpr std::uint16_t api = test_api;
  static constexpr std::uint16_t opcode = 3;
  struct Request {
    std::uint32_t by = 0;
  };
  struct Reply {
    std::uint32_t now = 0;
  };
};

struct Unknown {
  static constexpr std::uint16_t api = test_api;
  static constexpr std::uint16_t opcode = 99;
  struct Request {};
  struct Reply {};
};

// An opcode of another API with the same number as Add's.
struct OtherApi {
  static constexpr std::uint16_t api = test_api + 1;
  static constexpr std::uint16_t opcode = 1;
  struct Request {
    std::uint32_t a = 0;
    std::uint32_t b = 0;
  };
  struct Reply {
    std::uint32_t sum = 0;
  };
};

// Fills the payload that a reference names.
struct Fill {
  static constexpr std::uint16_t api = test_api;
  static constexpr std::uint16_t opcode = 4;
  struct Request {
    Reference where;
    std::uint64_t value = 0;
  };
  struct Reply {};
};

// Answered later, from another thread, with what was sent and one more.
struct Later {
  static constexpr std::uint16_t api = test_api;
  static constexpr std::uint16_t opcode = 5;
  struct Request {
    std::uint32_t value = 0;
  };
  struct Reply {
    std::uint32_t value = 0;
  };
};

constexpr std::int32_t overflow = 9;
constexpr std::int32_t bad_reference = 10;

class MarshalTest : public testing::Test {
 protected:
  // Filled before anybody serves.
  Dispatcher& filled() {
    dispatcher_.on<Add>([](const Add::Request& request, Call&) -> std::expected<Add::Reply, std::int32_t> {
      const std::uint32_t sum = request.a + request.b;
      if (sum < request.a) {
        return std::unexpected(overflow);
      }
      return Add::Reply{.sum = sum};
    });
    dispatcher_.on<Reverse>([](const Reverse::Request&, Call& call) -> std::expected<Reverse::Reply, std::int32_t> {
      static thread_local std::vector<std::byte> reversed;
      reversed.assign(call.trailing().rbegin(), call.trailing().rend());
      call.reply_trailing(reversed);
      return Reverse::Reply{.size = reversed.size()};
    });
    dispatcher_.on<Count>([this](const Count::Request& request, Call&) -> std::expected<Count::Reply, std::int32_t> {
      return Count::Reply{.now = count_.fetch_add(request.by) + request.by};
    });
    dispatcher_.on<Fill>([](const Fill::Request& request, Call& call) -> std::expected<Fill::Reply, std::int32_t> {
      const auto bytes = call.resolve(request.where);
      if (!bytes) {
        return std::unexpected(bad_reference);
      }
      std::ranges::fill(*bytes, static_cast<std::byte>(request.value));
      return Fill::Reply{};
    });
    dispatcher_.on<Later>(
        [this](const Later::Request& request, Call& call) -> std::expected<Later::Reply, std::int32_t> {
          if (call.wants_reply()) {
            later_ = std::jthread([pending = call.defer(), value = request.value]() mutable {
              const Later::Reply reply{.value = value + 1};
              std::ignore = pending.reply(0, bytes_of(reply));
            });
          }
          return Later::Reply{.value = 99};  // nobody gets it
        });
    return dispatcher_;
  }

  // A request of any bytes, for what no client of this version would send.
  [[nodiscard]] Result<Reply> raw(std::uint16_t opcode, std::span<const std::byte> fixed,
                                  std::span<std::byte> reply = {}) {
    return must(lane_->channel())->call({.api = test_api, .opcode = opcode, .fixed = fixed, .trailing = {}}, reply);
  }

  std::atomic<std::uint32_t> count_{0};
  std::jthread later_;
  Dispatcher dispatcher_;
  Loopback host_{filled()};
  std::shared_ptr<LaneState> lane_ = host_.attach();
  Client client_{*must(lane_->channel())};
};

std::vector<std::byte> bytes(std::size_t size) {
  std::vector<std::byte> made(size);
  for (std::size_t i = 0; i < size; ++i) {
    made[i] = static_cast<std::byte>(i * 11 + size);
  }
  return made;
}

TEST_F(MarshalTest, ADeferredCallGetsItsLateAnswerAndNotTheHandlersResult) {
  Client client(*must(lane_->channel()));
  for (std::uint32_t i = 0; i < 50; ++i) {
    const auto outcome = must(client.call<Later>({.value = i}));
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.reply.value, i + 1);
  }
}

TEST_F(MarshalTest, ATypedCallBringsItsReply) {
  const auto outcome = must(client_.call<Add>({.a = 40, .b = 2}));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.reply.sum, 42);
  EXPECT_EQ(outcome.trailing, 0);
}

TEST_F(MarshalTest, AnErrorStatusOfTheServiceArrives) {
  EXPECT_EQ(must(client_.call<Add>({.a = 0xffff'ffff, .b = 1})).status, overflow);
  EXPECT_EQ(must(client_.call<Add>({.a = 0xffff'ffff, .b = 0})).status, 0);
}

TEST_F(MarshalTest, TrailingBytesTravelBothWaysUpToTheLongest) {
  constexpr std::size_t longest = abi::max_body - sizeof(Reverse::Reply);
  for (const std::size_t size : {std::size_t{1}, std::size_t{31}, std::size_t{33}, std::size_t{5000}, longest}) {
    const auto sent = bytes(size);
    std::vector<std::byte> back(size);
    const auto outcome = must(client_.call<Reverse>({}, sent, back));
    ASSERT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.reply.size, size);
    ASSERT_EQ(outcome.trailing, size);
    std::ranges::reverse(back);
    EXPECT_EQ(back, sent);
  }
}

TEST_F(MarshalTest, NoTrailingBytesAreNoTrailingBytes) {
  std::array<std::byte, 10> back{};
  const auto outcome = must(client_.call<Reverse>({}, {}, back));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.trailing, 0);
}

TEST_F(MarshalTest, TrailingBytesThatDoNotFitTheBufferAreAnErrorAndTheChannelGoesOn) {
  std::array<std::byte, 10> back{};
  for (const std::size_t size : {11UL, 1000UL}) {
    const auto outcome = client_.call<Reverse>({}, bytes(size), back);
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Errc::invalid_argument);
  }
  const auto unwanted = client_.call<Reverse>({}, bytes(500));
  ASSERT_FALSE(unwanted);
  EXPECT_EQ(unwanted.error().code, Errc::invalid_argument);
  EXPECT_EQ(must(client_.call<Add>({.a = 1, .b = 2})).reply.sum, 3);
}

TEST_F(MarshalTest, ARequestThatIsTooLongIsAnErrorAndTheChannelGoesOn) {
  const auto outcome = client_.call<Reverse>({}, bytes(abi::max_body + 1));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::invalid_argument);
  EXPECT_TRUE(client_.call<Add>({}));
}

TEST_F(MarshalTest, AReplyThatIsTooLongIsAStatusAndTheChannelGoesOn) {
  std::vector<std::byte> back(abi::max_body);
  // Its fixed part makes it longer than the longest body.
  const auto outcome = must(client_.call<Reverse>({}, bytes(abi::max_body), back));
  EXPECT_EQ(outcome.status, status_unhandled);
  EXPECT_TRUE(client_.call<Add>({}));
}

TEST_F(MarshalTest, AKindThatNobodyRegisteredIsUnhandled) {
  EXPECT_EQ(must(client_.call<Unknown>({})).status, status_unhandled);
  EXPECT_EQ(must(client_.call<OtherApi>({.a = 1, .b = 1})).status, status_unhandled);
}

TEST_F(MarshalTest, APostIsExecutedAndHasNoReply) {
  for (std::uint32_t i = 0; i < 100; ++i) {
    must(client_.post<Count>({.by = 2}));
  }
  EXPECT_EQ(must(client_.call<Count>({.by = 1})).reply.now, 201);
}

TEST_F(MarshalTest, APostOfAnUnknownKindOrWithUnknownFieldsIsDropped) {
  must(client_.post<Unknown>({}));
  std::array<std::byte, 64> odd{};
  odd.back() = std::byte{1};
  must(must(lane_->channel())->post({.api = test_api, .opcode = Count::opcode, .fixed = odd, .trailing = {}}));
  EXPECT_EQ(must(client_.call<Count>({.by = 0})).reply.now, 0);
}

TEST_F(MarshalTest, AReferenceReachesPayloadAndNothingElse) {
  const std::uint64_t offset = must(lane_->slab().allocate(5000));
  EXPECT_EQ(must(client_.call<Fill>({.where = Reference::make(0, offset, 5000), .value = 0xee})).status, 0);
  const auto filled = std::span(lane_->region().data(offset), 5000);
  EXPECT_TRUE(std::ranges::all_of(filled, [](std::byte b) { return b == std::byte{0xee}; }));
  for (const Reference& outside : {Reference::make(0, 0, 8), Reference::make(0, abi::page_size, 8),
                                   Reference::make(0, lane_->region().size() - 1, 2),
                                   Reference::make(0, offset, UINT64_MAX), Reference::make(1, offset, 8)}) {
    EXPECT_EQ(must(client_.call<Fill>({.where = outside, .value = 1})).status, bad_reference);
  }
}

TEST_F(MarshalTest, ManyThreadsCallOneDispatcherAtTheSameTime) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      Client client(*must(lane_->channel()));
      for (std::uint32_t i = 0; i < 500; ++i) {
        ASSERT_EQ(must(client.call<Add>({.a = i, .b = i})).reply.sum, 2 * i);
        std::ignore = must(client.call<Count>({.by = 1}));
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(count_.load(), 3000);
}

// ---- versions ------------------------------------------------------------------------------------------------------

TEST_F(MarshalTest, AnOlderHostTakesANewerRequestWhoseNewFieldsAreZero) {
  const auto outcome = must(client_.call<AddLater>({.a = 3, .b = 4, .c = 0, .d = 0}));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.reply.sum, 7);
  EXPECT_EQ(outcome.reply.carry, 0) << "what the older host does not send is zero";
}

TEST_F(MarshalTest, AnOlderHostRefusesANewerRequestThatSaysSomethingItDoesNotKnow) {
  EXPECT_EQ(must(client_.call<AddLater>({.a = 3, .b = 4, .c = 1, .d = 0})).status, marshal::status_unknown_fields);
  EXPECT_EQ(must(client_.call<AddLater>({.a = 3, .b = 4, .c = 0, .d = 0x8000'0000})).status,
            marshal::status_unknown_fields);
}

// The host of a later version: `carry` says what a caller of this version cannot know.
class NewerHost {
 public:
  [[nodiscard]] Result<marshal::Outcome<Add>> add(const Add::Request& request) {
    return Client(*must(lane_->channel())).call<Add>(request);
  }

 private:
  Dispatcher& filled() {
    dispatcher_.on<AddLater>([](const AddLater::Request& r, Call&) -> std::expected<AddLater::Reply, std::int32_t> {
      return AddLater::Reply{.sum = r.a + r.b + r.c + r.d, .carry = r.a == 100 ? 1U : 0U};
    });
    return dispatcher_;
  }
  Dispatcher dispatcher_;
  Loopback host_{filled()};
  std::shared_ptr<LaneState> lane_ = host_.attach();
};

TEST(MarshalVersionTest, ANewerHostExtendsAnOlderRequestWithZeros) {
  NewerHost host;
  const auto outcome = must(host.add({.a = 3, .b = 4}));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.reply.sum, 7);
}

TEST(MarshalVersionTest, AnOlderClientTakesANewerReplyWhoseNewFieldsAreZeroAndRefusesOthers) {
  NewerHost host;
  EXPECT_EQ(must(host.add({.a = 0, .b = 4})).reply.sum, 4);
  const auto outcome = host.add({.a = 100, .b = 4});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::protocol_violation);
  EXPECT_TRUE(host.add({.a = 0, .b = 4})) << "the channel goes on";
}

TEST_F(MarshalTest, ARequestOfAnyLengthIsReadAsFarAsItGoes) {
  const Add::Request full{.a = 0x0101'0101, .b = 0x0202'0202};
  std::array<std::byte, 40> wide{};
  std::memcpy(wide.data(), &full, sizeof full);
  for (std::size_t length = 0; length <= wide.size(); ++length) {
    Add::Request seen{};
    std::memcpy(&seen, wide.data(), std::min(length, sizeof seen));
    Add::Reply reply{};
    const auto got =
        must(raw(Add::opcode, std::span(wide).first(length), std::as_writable_bytes(std::span(&reply, 1))));
    ASSERT_EQ(got.status, 0) << length;
    EXPECT_EQ(reply.sum, seen.a + seen.b) << length;
  }
}

TEST(ReadFixedTest, NothingAtAllMakesZeros) {
  Add::Request request{.a = 1, .b = 2};
  EXPECT_TRUE(read_fixed({}, request));
  EXPECT_EQ(request.a, 0);
  EXPECT_EQ(request.b, 0);
}

TEST(ReadFixedTest, AnEmptyStructTakesZerosAndNothingElse) {
  Reverse::Request request;
  EXPECT_TRUE(read_fixed({}, request));
  EXPECT_TRUE(read_fixed(std::array<std::byte, 3>{}, request));
  EXPECT_FALSE(read_fixed(std::array{std::byte{0}, std::byte{1}}, request));
  EXPECT_TRUE(bytes_of(request).empty());
}

TEST(ReadFixedTest, EveryByteOfTheExcessCounts) {
  for (std::size_t at = 0; at < 16; ++at) {
    std::array<std::byte, 16> wide{};
    wide.at(at) = std::byte{1};
    Add::Request request;
    EXPECT_EQ(read_fixed(wide, request), at < sizeof request) << at;
  }
}

}  // namespace
}  // namespace isthmus::test::marshal_tests
