// SPDX-License-Identifier: Apache-2.0
#include "src/transport/retire_list.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <thread>
#include <vector>

#include "test/support/random.hpp"
#include "test/support/test_region.hpp"
#include "test/support/watchdog.hpp"

namespace isthmus::test::retire_list_tests {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t mib = std::uint64_t{1} << 20;

class RetireListTest : public testing::Test {
 protected:
  std::uint64_t hold(std::uint64_t position, std::size_t bytes) {
    const std::uint64_t offset = must(slab_.allocate(bytes));
    EXPECT_EQ(list_.hold(position, offset, bytes), Freed::yes);
    return offset;
  }
  void host_retires(std::uint64_t position) { retired_.store_release(position); }
  [[nodiscard]] bool is_held(std::uint64_t offset, std::size_t bytes) {
    return slab_.free(offset, bytes) == Freed::not_allocated && slab_.statistics().bytes_held != 0;
  }

  Watchdog watchdog_{"retire list test"};
  TestRegion memory_{16 * mib};
  Region region_ = memory_.map();
  SharedWord<std::uint64_t> retired_{};
  Slab slab_{region_, abi::owner_tag(0, 7)};
  RetireList list_{slab_, retired_};
};

TEST_F(RetireListTest, BlocksAreFreedInOrderAsTheHostPassesTheirPosts) {
  hold(1, 1000);
  hold(3, 2000);
  hold(3, 4000);
  hold(10, 8000);
  EXPECT_EQ(slab_.statistics().bytes_held, 15000);
  EXPECT_EQ(slab_.statistics().bytes_in_use, 0);
  list_.drain();
  EXPECT_EQ(list_.size(), 4U);
  host_retires(2);
  list_.drain();
  EXPECT_EQ(slab_.statistics().bytes_held, 14000);
  host_retires(3);
  list_.drain();
  EXPECT_EQ(slab_.statistics().bytes_held, 8000);
  host_retires(9);
  list_.drain();
  EXPECT_EQ(list_.size(), 1U);
  host_retires(12);
  list_.drain();
  EXPECT_EQ(list_.size(), 0U);
  EXPECT_EQ(slab_.statistics().bytes_held, 0);
}

TEST_F(RetireListTest, AHeldBlockCanBeNeitherFreedNorHeldAgain) {
  const std::uint64_t offset = hold(1, 4096);
  EXPECT_TRUE(is_held(offset, 4096));
  EXPECT_EQ(list_.hold(2, offset, 4096), Freed::not_allocated);
  EXPECT_EQ(list_.size(), 1U);
  host_retires(1);
  list_.drain();
  EXPECT_EQ(slab_.free(offset, 4096), Freed::not_allocated);
  EXPECT_EQ(slab_.statistics().bytes_in_use + slab_.statistics().bytes_held, 0);
}

TEST_F(RetireListTest, PositionsMayWrap) {
  constexpr std::uint64_t last = std::numeric_limits<std::uint64_t>::max();
  host_retires(last - 10);
  hold(last, 4096);
  hold(5, 4096);
  list_.drain();
  EXPECT_EQ(list_.size(), 2U);
  host_retires(1);
  list_.drain();
  EXPECT_EQ(list_.size(), 1U);
  host_retires(5);
  list_.drain();
  EXPECT_EQ(list_.size(), 0U);
}

TEST_F(RetireListTest, WhenTheChannelIsOverAllIsFreedAtOnce) {
  hold(100, 4096);
  hold(200, 3 * mib);
  list_.release_all();
  EXPECT_EQ(list_.size(), 0U);
  EXPECT_EQ(slab_.statistics().bytes_held, 0);
  const std::uint64_t whole = region_.geometry().extent_count * abi::extent_size;
  EXPECT_TRUE(slab_.allocate(whole));
}

TEST_F(RetireListTest, AListThatEndsLeavesItsBlocksHeld) {
  const std::uint64_t offset = must(slab_.allocate(4096));
  {
    SharedWord<std::uint64_t> other_retired{};
    RetireList other(slab_, other_retired);
    EXPECT_EQ(other.hold(1, offset, 4096), Freed::yes);
  }
  EXPECT_EQ(slab_.statistics().bytes_held, 4096);
  EXPECT_EQ(slab_.free(offset, 4096), Freed::not_allocated);
}

// The channel that holds all the memory is idle; whoever needs some looks into its list.
TEST_F(RetireListTest, AnExhaustedSlabTakesBackWhatTheHostHasPassed) {
  const std::uint64_t whole = region_.geometry().extent_count * abi::extent_size;
  hold(7, whole);
  EXPECT_FALSE(slab_.allocate(4096));
  host_retires(7);
  EXPECT_TRUE(slab_.allocate(4096));
  EXPECT_EQ(list_.size(), 0U);
}

TEST_F(RetireListTest, AWaiterSeesThatTheHostHasPassed) {
  const std::uint64_t whole = region_.geometry().extent_count * abi::extent_size;
  hold(7, whole);
  std::thread host([this] {
    std::this_thread::sleep_for(5ms);
    host_retires(7);
  });
  EXPECT_TRUE(slab_.allocate_or_wait(4096, Slab::no_deadline));
  host.join();
}

// A host writes into each block until it retires the post: a block that is given out too early gets damaged.
TEST_F(RetireListTest, NoBlockIsGivenOutBeforeTheHostHasPassedIt) {
  struct Post {
    std::atomic<std::uint64_t> offset{0};
    std::atomic<std::uint32_t> number{0};
  };
  constexpr std::uint32_t posts = 5000;
  std::vector<Post> ring(64);
  std::thread host([&] {
    for (std::uint32_t i = 1; i <= posts; ++i) {
      Post& post = ring[i % ring.size()];
      while (post.number.load(std::memory_order_acquire) != i) {
        std::this_thread::yield();
      }
      std::atomic_ref<std::uint32_t> word(
          *reinterpret_cast<std::uint32_t*>(region_.data(post.offset.load(std::memory_order_relaxed))));
      EXPECT_EQ(word.load(std::memory_order_relaxed), i) << "somebody else has the block already";
      host_retires(i);
    }
  });
  Random random(3);
  std::atomic<bool> over{false};
  std::thread other([&] {  // takes what it can get, so that blocks are reused at once
    while (!over.load()) {
      if (const auto offset = slab_.allocate(mib)) {
        std::atomic_ref<std::uint32_t>(*reinterpret_cast<std::uint32_t*>(region_.data(*offset))).store(0);
        EXPECT_EQ(slab_.free(*offset, mib), Freed::yes);
      }
    }
  });
  for (std::uint32_t i = 1; i <= posts; ++i) {
    const std::uint64_t offset = must(slab_.allocate_or_wait(mib, Slab::no_deadline));
    std::atomic_ref<std::uint32_t>(*reinterpret_cast<std::uint32_t*>(region_.data(offset))).store(i);
    ASSERT_EQ(list_.hold(i, offset, mib), Freed::yes);
    Post& post = ring[i % ring.size()];
    post.offset.store(offset, std::memory_order_relaxed);
    post.number.store(i, std::memory_order_release);
    if (random.one_in(8)) {
      list_.drain();
    }
  }
  host.join();
  over.store(true);
  other.join();
  list_.drain();
  EXPECT_EQ(list_.size(), 0U);
  EXPECT_EQ(slab_.statistics().bytes_in_use, 0);
}

}  // namespace
}  // namespace isthmus::test::retire_list_tests
