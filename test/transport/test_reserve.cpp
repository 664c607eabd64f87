// SPDX-License-Identifier: Apache-2.0
#include "src/transport/reserve.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "src/transport/slab.hpp"
#include "test/support/test_region.hpp"

namespace isthmus::test::reserve_tests {
namespace {

class ReserveTest : public testing::Test {
 protected:
  TestRegion memory_;
  Region region_ = memory_.map();
  Slab slab_{region_, abi::owner_tag(0, 1)};
  std::uint64_t block_ = must(slab_.allocate_channel());
  Reserve reserve_{*region_.channel_block(block_), block_};
};

TEST_F(ReserveTest, ThereAreTwoFramesAndTheyComeBack) {
  auto first = reserve_.take();
  auto second = reserve_.take();
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(reserve_.take());
  std::byte* const place = second->bytes().data();
  second.reset();
  auto again = reserve_.take();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->bytes().data(), place);
  EXPECT_FALSE(reserve_.take());
}

TEST_F(ReserveTest, TheReferenceNamesTheFramesBytesAndNothingElse) {
  auto first = reserve_.take();
  auto second = reserve_.take();
  ASSERT_TRUE(first && second);
  for (const ReserveFrame* frame : {&*first, &*second}) {
    EXPECT_EQ(frame->bytes().size(), 64U * 1024);
    const auto named = region_.resolve(frame->reference());
    ASSERT_TRUE(named);
    EXPECT_EQ(named->data(), frame->bytes().data());
    EXPECT_EQ(named->size(), frame->bytes().size());
    EXPECT_GE(frame->reference().offset(), block_ + offsetof(abi::ChannelBlock, reserve));
    EXPECT_LE(frame->reference().offset() + frame->reference().length, block_ + sizeof(abi::ChannelBlock));
  }
  EXPECT_NE(first->bytes().data(), second->bytes().data());
}

TEST_F(ReserveTest, AFrameThatMovesStaysOut) {
  auto first = reserve_.take();
  ASSERT_TRUE(first);
  ReserveFrame moved = std::move(*first);
  first.reset();
  auto second = reserve_.take();
  ASSERT_TRUE(second);
  EXPECT_FALSE(reserve_.take());
  moved = std::move(*second);
  EXPECT_FALSE(reserve_.take()) << "assignment swaps";
  second.reset();
  EXPECT_TRUE(reserve_.take());
}

}  // namespace
}  // namespace isthmus::test::reserve_tests
