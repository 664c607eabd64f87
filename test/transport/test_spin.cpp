// SPDX-License-Identifier: Apache-2.0
#include "src/transport/spin.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include "src/transport/stream_pace.hpp"

namespace isthmus::test::spin_tests {
namespace {

// The count is the process's.
class BusyWaiterTest : public testing::Test {
 public:
  BusyWaiterTest() { BusyWaiter::forget_all(); }
  ~BusyWaiterTest() override { BusyWaiter::forget_all(); }
  BusyWaiterTest(const BusyWaiterTest&) = delete;
  BusyWaiterTest& operator=(const BusyWaiterTest&) = delete;
  BusyWaiterTest(BusyWaiterTest&&) = delete;
  BusyWaiterTest& operator=(BusyWaiterTest&&) = delete;

  // The beginning of a period.
  static BusyWaiter::Clock::time_point in(int period) {
    return BusyWaiter::Clock::time_point(period * BusyWaiter::period);
  }
};

TEST_F(BusyWaiterTest, CountsWhoWaits) {
  EXPECT_EQ(BusyWaiter::count(), 0);
  {
    const BusyWaiter one(in(8));
    const BusyWaiter two(in(8));
    EXPECT_EQ(BusyWaiter::count(), 2);
    const BusyWaiter three(in(9));
    EXPECT_EQ(BusyWaiter::count(), 3);
  }
  EXPECT_EQ(BusyWaiter::count(), 0);
}

TEST_F(BusyWaiterTest, WhoHasWaitedForLongIsForgottenAsSoonAsOthersWait) {
  std::optional<BusyWaiter> old(in(8));
  EXPECT_EQ(BusyWaiter::count(), 1);
  for (const int period : {9, 10, 11}) {
    const BusyWaiter recent(in(period));
    EXPECT_EQ(BusyWaiter::count(), period == 9 ? 2 : 1) << period;
  }
  const BusyWaiter recent(in(12));  // in the place where the old one was counted
  old.reset();                      // and is not any more
  EXPECT_EQ(BusyWaiter::count(), 1);
}

TEST_F(BusyWaiterTest, WhoComesLateCountsAsLongAsItWaits) {
  const BusyWaiter recent(in(10));
  {
    const BusyWaiter late(in(8));  // its thread was held up after it had read the clock
    EXPECT_EQ(BusyWaiter::count(), 2);
  }
  EXPECT_EQ(BusyWaiter::count(), 1);
}

TEST_F(BusyWaiterTest, ManyThreadsLeaveNothingBehind) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 2000; ++i) {
        const BusyWaiter waiter(in(i / 3 + t));
      }
    });
  }
  threads.clear();
  EXPECT_EQ(BusyWaiter::count(), 0);
}

// Taken are so many posts, then the ring is empty.
std::uint32_t after_posts(StreamPace& pace, std::uint32_t count) {
  for (; count > 0; --count) {
    pace.took(true);
  }
  return pace.caught_up();
}

TEST(StreamPaceTest, KeepsFartherAwayForAsLongAsTheTimeIsFilledByFewPosts) {
  StreamPace pace;
  EXPECT_EQ(pace.caught_up(), 0);
  EXPECT_EQ(after_posts(pace, 1), StreamPace::shortest);
  EXPECT_EQ(after_posts(pace, 1), 2 * StreamPace::shortest);
  EXPECT_EQ(after_posts(pace, StreamPace::enough - 1), 4 * StreamPace::shortest);
  EXPECT_EQ(after_posts(pace, StreamPace::enough), 4 * StreamPace::shortest);
  for (int i = 0; i < 10; ++i) {
    EXPECT_LE(after_posts(pace, 2), StreamPace::longest);
  }
  EXPECT_EQ(after_posts(pace, 2), StreamPace::longest);
}

TEST(StreamPaceTest, StartsAnewAfterACallOrNothing) {
  StreamPace pace;
  EXPECT_EQ(after_posts(pace, 1), StreamPace::shortest);
  EXPECT_EQ(after_posts(pace, 1), 2 * StreamPace::shortest);
  pace.took(true);
  pace.took(false);
  EXPECT_EQ(pace.caught_up(), 0);
  EXPECT_EQ(after_posts(pace, 1), StreamPace::shortest);
  EXPECT_EQ(after_posts(pace, 1), 2 * StreamPace::shortest);
  EXPECT_EQ(after_posts(pace, 0), 0);
  EXPECT_EQ(after_posts(pace, 1), StreamPace::shortest);
}

}  // namespace
}  // namespace isthmus::test::spin_tests
