// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "isthmus/lane_server.hpp"
#include "src/transport/claim.hpp"
#include "test/support/must.hpp"
#include "test/support/test_region.hpp"

namespace isthmus::test::claim_tests {
namespace {

using Variables = std::vector<std::string>;

TEST(ClaimEnvironment, arrives_as_it_was_up_to_its_capacity) {
  constexpr std::size_t most = abi::ClaimEnvironment::capacity - 1;
  for (const Variables& variables :
       {Variables{}, Variables{"A=1"}, Variables{"LONG=1234567", "EMPTY=", "B=x=y z"},
        Variables{"A=" + std::string(most - 2, 'x')}, Variables{"A=" + std::string(most - 6, 'x'), "B=1"}}) {
    TestRegion region;
    const Region mapped = region.map();
    must(claim_lane(mapped, 0, must(join_environment(variables))));
    EXPECT_EQ(read_environment(mapped.lane(0).client.environment), variables);
  }
}

TEST(ClaimEnvironment, is_refused_where_it_does_not_fit_or_is_none) {
  for (const std::string bad : {"", "A", "=1", "A=\n", "A=\x80"}) {
    const auto joined = join_environment(Variables{bad});
    ASSERT_FALSE(joined) << bad;
    EXPECT_NE(joined.error().message.find("is not KEY=VALUE"), std::string::npos);
  }
  const auto joined = join_environment(Variables{"A=" + std::string(1014, 'x')});
  ASSERT_FALSE(joined);
  EXPECT_NE(joined.error().message.find("1017 bytes; 1016 are possible"), std::string::npos) << joined.error().message;
}

TEST(ClaimEnvironment, of_a_hostile_client_gives_variables_or_nothing) {
  abi::ClaimEnvironment shared{};
  const auto write = [&](const std::string& text, std::uint64_t size) {
    for (std::size_t i = 0; i < shared.text.size(); ++i) {
      std::uint64_t word = 0;
      for (std::size_t j = 0; j < 8; ++j) {
        word |= std::uint64_t{static_cast<unsigned char>(i * 8 + j < text.size() ? text[i * 8 + j] : 'z')} << (8 * j);
      }
      shared.text.at(i).store_relaxed(word);
    }
    shared.size.store_relaxed(size);
    return read_environment(shared);
  };
  EXPECT_EQ(write("A=1", abi::ClaimEnvironment::capacity + 1), Variables{});
  EXPECT_EQ(write("A=1", ~std::uint64_t{0}), Variables{});
  EXPECT_EQ(write("A=1", 3), Variables{"A=1"}) << "no end";
  EXPECT_EQ(write(std::string("=1\0A\0B=\1\0\0C=2", 13), 13), Variables{"C=2"});
  EXPECT_EQ(write(std::string(1016, '\0'), 1016), Variables{});
  EXPECT_EQ(write("A=", 1016), Variables{"A=" + std::string(1014, 'z')});
}

TEST(ClaimsWanted, leave_those_that_do_not_fit_to_others_and_say_so_once) {
  TestRegion region(abi::min_region_size, 3);
  const Region mapped = region.map();
  auto spare = must(LaneServer::open(region.fd(), {.lane_count = 3}));
  must(claim_lane(mapped, 0, must(join_environment(Variables{"A=1"}))));
  std::vector<std::uint32_t> misfits;
  const ClaimsWanted plain{.fits = [](const Variables& variables) { return variables.empty(); },
                           .misfit =
                               [&](std::uint32_t lane) {
                                 misfits.push_back(lane);
                                 must(claim_lane(mapped, 2));  // the next client
                               }};
  EXPECT_EQ(must(spare.wait_for_claim(plain)), 2U);
  EXPECT_EQ(misfits, std::vector<std::uint32_t>{0});
  EXPECT_EQ(spare.client_environment(), Variables{});

  auto fresh = must(LaneServer::open(region.fd(), {.lane_count = 3}));
  EXPECT_EQ(must(fresh.wait_for_claim({.lane = 0})), 0U);
  EXPECT_EQ(fresh.client_environment(), Variables{"A=1"});

  auto slow = must(LaneServer::open(region.fd(), {.lane_count = 3}));
  must(claim_lane(mapped, 1, must(join_environment(Variables{"A=1"}))));
  const auto changed =
      slow.wait_for_claim({.lane = 1, .fits = [&](const Variables&) {
                             mapped.lane(1).client.environment.text[0].store_relaxed(0x323d41);  // "A=2"
                             return true;
                           }});
  ASSERT_FALSE(changed) << "taken for a client that has changed its mind";
  EXPECT_TRUE(mapped.lane(1).host.state.word.load_relaxed().equals(static_cast<std::uint32_t>(abi::HostState::free)));
  EXPECT_EQ(must(slow.wait_for_claim({.lane = 1})), 1U);

  auto late = must(LaneServer::open(region.fd(), {.lane_count = 3}));
  mapped.lane(1).host.state.word.store_relaxed(static_cast<std::uint32_t>(abi::HostState::free));
  mapped.lane(1).client.claim.word.store_relaxed(static_cast<std::uint32_t>(abi::ClaimState::free));
  for (const std::uint32_t lane : {0U, 1U}) {  // served, and not claimed
    const auto none = late.wait_for_claim({.lane = lane});
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, Errc::closed);
  }
}

}  // namespace
}  // namespace isthmus::test::claim_tests
