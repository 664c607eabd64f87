// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "src/transport/slab.hpp"
#include "test/support/random.hpp"
#include "test/support/test_region.hpp"
#include "test/support/watchdog.hpp"

namespace isthmus::test::slab_hot_path_tests {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;

class SlabHotPathTest : public testing::Test {
 protected:
  [[nodiscard]] std::uint64_t whole() const { return region_.geometry().extent_count * abi::extent_size; }
  // Allocates blocks until there are none; returns how many that were.
  std::vector<std::uint64_t> fill(std::uint64_t size) {
    std::vector<std::uint64_t> all;
    for (auto offset = slab_.allocate(size); offset; offset = slab_.allocate(size)) {
      all.push_back(*offset);
    }
    return all;
  }
  void give_back(std::span<const std::uint64_t> offsets, std::uint64_t size) {
    for (const std::uint64_t offset : offsets) {
      ASSERT_EQ(slab_.free(offset, size), Freed::yes);
    }
  }
  // Lets a thread put blocks of every cached size into its cache, and keeps the thread until the test is over.
  void leave_a_cache_behind() {
    std::promise<void> filled;
    sleepers_.emplace_back([this, &filled] {
      for (std::uint64_t size = 256; size <= 256 * kib; size *= 2) {
        std::array<std::uint64_t, 3> some{};
        std::ranges::generate(some, [&] { return must(slab_.allocate(size)); });
        give_back(some, size);
      }
      filled.set_value();
      end_.wait();
    });
    filled.get_future().wait();
  }
  void TearDown() override {
    over_.set_value();
    for (std::thread& sleeper : sleepers_) {
      sleeper.join();
    }
  }

  Watchdog watchdog_{"slab test"};
  TestRegion memory_{32 * mib, 2};
  Region region_ = memory_.map();
  Slab slab_{region_, abi::owner_tag(0, 7)};
  std::promise<void> over_;
  std::shared_future<void> end_ = over_.get_future().share();
  std::vector<std::thread> sleepers_;
};

// ---- what is freed wrongly -----------------------------------------------------------------------------------------

TEST_F(SlabHotPathTest, OfTwoFreesOneFailsWhateverTheSize) {
  for (const std::uint64_t size : {1UL, 256UL, 4096UL, 64 * kib, 256 * kib, 512 * kib, mib, 2 * mib, 5 * mib}) {
    const std::uint64_t offset = must(slab_.allocate(size));
    EXPECT_EQ(slab_.free(offset, size), Freed::yes);
    EXPECT_EQ(slab_.free(offset, size), Freed::not_allocated) << size;
    EXPECT_EQ(slab_.statistics().bytes_in_use, 0);
    // A block that was put into the free list twice would be given out twice.
    const std::uint64_t first = must(slab_.allocate(size));
    const std::uint64_t second = must(slab_.allocate(size));
    EXPECT_NE(first, second);
    EXPECT_EQ(slab_.free(first, size), Freed::yes);
    EXPECT_EQ(slab_.free(second, size), Freed::yes);
  }
  EXPECT_TRUE(slab_.allocate(whole()));
}

TEST_F(SlabHotPathTest, WhatWasNeverAllocatedIsNotFreed) {
  const std::uint64_t block = must(slab_.allocate(64 * kib));
  const std::uint64_t run = must(slab_.allocate(5 * mib));
  const std::uint64_t channel = must(slab_.allocate_channel());
  const std::uint64_t extents = region_.geometry().extents_offset;
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{256}, extents - 256, block + 1, block + 256,
                                     block + 4096, run + 256, run + abi::extent_size, channel, region_.size() - 256,
                                     region_.size(), region_.size() + 256, ~std::uint64_t{0}, ~std::uint64_t{255}}) {
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{64 * kib}, std::size_t{5 * mib}}) {
      EXPECT_EQ(slab_.free(offset, bytes), Freed::not_allocated) << offset;
      EXPECT_EQ(slab_.hold(offset, bytes), Freed::not_allocated) << offset;
      EXPECT_EQ(slab_.free_held(offset, bytes), Freed::not_allocated) << offset;
    }
    if (offset != channel) {
      EXPECT_EQ(slab_.free_channel(offset), Freed::not_allocated);
    }
  }
  EXPECT_EQ(slab_.statistics().bytes_in_use, 64 * kib + 5 * mib);
  EXPECT_EQ(slab_.free(block, 64 * kib), Freed::yes);
  EXPECT_EQ(slab_.free(run, 5 * mib), Freed::yes);
  EXPECT_EQ(slab_.free_channel(channel), Freed::yes);
  EXPECT_EQ(slab_.free_channel(channel), Freed::not_allocated);
  EXPECT_TRUE(slab_.allocate(whole()));
}

TEST_F(SlabHotPathTest, ASizeThatTheBlockCannotHaveIsRefused) {
  const std::uint64_t block = must(slab_.allocate(4000));
  EXPECT_EQ(slab_.free(block, 0), Freed::wrong_size);
  EXPECT_EQ(slab_.free(block, 4097), Freed::wrong_size);
  EXPECT_EQ(slab_.free(block, 3 * mib), Freed::wrong_size);
  EXPECT_EQ(slab_.free(block, 4000), Freed::yes);
  const std::uint64_t run = must(slab_.allocate(4 * mib));
  EXPECT_EQ(slab_.free(run, 0), Freed::wrong_size);
  EXPECT_EQ(slab_.free(run, 64 * kib), Freed::wrong_size);
  EXPECT_EQ(slab_.free(run, 4 * mib + 1), Freed::wrong_size);
  EXPECT_EQ(slab_.free(run, ~std::size_t{0}), Freed::wrong_size);
  EXPECT_EQ(slab_.free(run, 4 * mib), Freed::yes);
  EXPECT_EQ(slab_.statistics().bytes_in_use, 0);
}

TEST_F(SlabHotPathTest, AFailedFreeIsExplained) {
  const Error error = slab_.explain(Freed::not_allocated, 0x300000, 65536);
  EXPECT_EQ(error.code, Errc::invalid_argument);
  for (const char* words : {"region test", "64 KiB", "0x300000", "freed before"}) {
    EXPECT_NE(error.message.find(words), std::string::npos) << error.message;
  }
  EXPECT_EQ(slab_.explain(Freed::foreign_process, 0, 1).code, Errc::wrong_thread);
}

TEST_F(SlabHotPathTest, ThreadsThatFreeTheSameBlocksShareThemOut) {
  constexpr int rounds = 200;
  constexpr std::size_t blocks = 20;
  std::array<std::uint64_t, blocks> offsets{};
  std::atomic<std::size_t> freed{0};
  std::barrier sync(3);
  const auto free_all = [&] {
    for (int round = 0; round < rounds; ++round) {
      sync.arrive_and_wait();
      for (const std::uint64_t offset : offsets) {
        freed.fetch_add(slab_.free(offset, 8 * kib) == Freed::yes ? 1 : 0);
      }
      sync.arrive_and_wait();
    }
  };
  std::thread first(free_all);
  std::thread second(free_all);
  for (int round = 0; round < rounds; ++round) {
    std::ranges::generate(offsets, [&] { return must(slab_.allocate(8 * kib)); });
    sync.arrive_and_wait();
    sync.arrive_and_wait();
    ASSERT_EQ(freed.exchange(0), blocks);
  }
  first.join();
  second.join();
  EXPECT_EQ(slab_.statistics().bytes_in_use, 0);
}

// ---- threads' caches -----------------------------------------------------------------------------------------------

TEST_F(SlabHotPathTest, WhatOtherThreadsKeepIsTakenBackWhenTheSlabIsExhausted) {
  leave_a_cache_behind();
  leave_a_cache_behind();
  EXPECT_GT(slab_.statistics().bytes_cached, mib);
  const auto everything = slab_.allocate(whole());
  ASSERT_TRUE(everything) << everything.error().message;
  EXPECT_EQ(slab_.statistics().bytes_cached, 0);
}

TEST_F(SlabHotPathTest, WhatOtherThreadsKeepIsThereForChannels) {
  leave_a_cache_behind();
  const std::uint64_t channels = region_.geometry().extent_count * abi::channel_blocks_per_extent;
  for (std::uint64_t i = 0; i < channels; ++i) {
    ASSERT_TRUE(slab_.allocate_channel()) << i << " of " << channels;
  }
  EXPECT_FALSE(slab_.allocate_channel());
}

TEST_F(SlabHotPathTest, ACacheIsBounded) {
  std::uint64_t most = 0;
  for (std::uint64_t size = 256; size <= mib; size *= 2) {
    give_back(fill(size), size);
    most += size <= 256 * kib ? std::min<std::uint64_t>(512 * kib, 64 * size) : 0;
    ASSERT_LE(slab_.statistics().bytes_cached, most);
    ASSERT_EQ(slab_.statistics().bytes_cached > 0, size <= 256 * kib);
  }
}

TEST_F(SlabHotPathTest, AThreadGivesItsCacheBackWhenItEnds) {
  for (int i = 0; i < 20; ++i) {
    std::thread([this] { give_back(std::array{must(slab_.allocate(4096))}, 4096); }).join();
  }
  EXPECT_EQ(slab_.statistics().bytes_cached, 0);
  EXPECT_EQ(slab_.statistics().bytes_in_use, 0);
  EXPECT_TRUE(slab_.allocate(whole()));
}

TEST_F(SlabHotPathTest, TrimmingLeavesOnlyWhatIsInUse) {
  leave_a_cache_behind();
  const std::uint64_t kept = must(slab_.allocate(1000));
  slab_.trim();
  EXPECT_EQ(slab_.statistics().bytes_cached, 0);
  EXPECT_EQ(slab_.statistics().bytes_claimed, abi::extent_size);
  EXPECT_EQ(slab_.free(kept, 1000), Freed::yes);
}

TEST_F(SlabHotPathTest, AThreadMayUseManySlabsAndOutliveThem) {
  std::promise<void> used;
  std::promise<void> gone;
  std::optional<Slab> other(std::in_place, region_, abi::owner_tag(1, 3));
  std::thread user([&] {
    for (int i = 0; i < 10; ++i) {
      for (Slab* slab : {&slab_, &*other}) {
        EXPECT_EQ(slab->free(must(slab->allocate(4096)), 4096), Freed::yes);
      }
    }
    used.set_value();
    gone.get_future().wait();
    // Most likely at the same address: what is known of the old one must not be taken for the new one's.
    EXPECT_EQ(other->free(must(other->allocate(4096)), 4096), Freed::yes);
  });
  used.get_future().wait();
  other.emplace(region_, abi::owner_tag(1, 4));
  gone.set_value();
  user.join();
  EXPECT_EQ(other->statistics().bytes_cached, 0);
  other->trim();
  slab_.trim();
  EXPECT_EQ(slab_.statistics().bytes_claimed, 0);
}

// A frame may be destroyed by a thread-local of the program's, after the slab's own thread-locals are gone.
TEST_F(SlabHotPathTest, FramesCanBeFreedWhileTheirThreadEnds) {
  struct Holder {
    Slab* slab = nullptr;
    std::uint64_t offset = 0;
    ~Holder() {
      if (slab != nullptr) {
        EXPECT_EQ(slab->free(offset, 4096), Freed::yes);
        EXPECT_EQ(slab->free(must(slab->allocate(300)), 300), Freed::yes);
      }
    }
  };
  std::thread([this] {
    static thread_local Holder holder;  // made before the cache, so destroyed after it
    holder.slab = &slab_;
    holder.offset = must(slab_.allocate(4096));
  }).join();
  EXPECT_EQ(slab_.statistics().bytes_in_use, 0);
  EXPECT_EQ(slab_.statistics().bytes_cached, 0);
}

// Blocks travel from thread to thread, in a region so small that the threads empty each other's caches all the time.
TEST_F(SlabHotPathTest, ThreadsThatFreeEachOthersBlocksNeverGetTheSameMemory) {
  struct Block {
    std::uint64_t offset;
    std::uint64_t bytes;
    std::byte mark;
  };
  std::mutex mutex;
  std::deque<Block> handed_over;
  std::atomic<int> damaged{0};
  std::atomic<int> misfreed{0};
  const auto give_back_block = [&](const Block& block) {
    const auto bytes = std::span(region_.data(block.offset), block.bytes);
    const bool intact = bytes.front() == block.mark && bytes.back() == block.mark;
    damaged.fetch_add(intact ? 0 : 1);
    misfreed.fetch_add(slab_.free(block.offset, block.bytes) == Freed::yes ? 0 : 1);
  };
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Random random(t);
      for (int i = 0; i < 10'000; ++i) {
        const std::uint64_t bytes = 1 + random.below(std::uint64_t{1} << (6 + random.below(15)));
        if (const auto offset = slab_.allocate(bytes)) {
          const Block block{.offset = *offset, .bytes = bytes, .mark = static_cast<std::byte>(random.next())};
          region_.data(*offset)[0] = block.mark;
          region_.data(*offset)[bytes - 1] = block.mark;
          const std::scoped_lock lock(mutex);
          handed_over.push_back(block);
        }
        std::optional<Block> taken;
        if (const std::scoped_lock lock(mutex); handed_over.size() > 60 || (random.one_in(2) && !handed_over.empty())) {
          taken = handed_over.front();
          handed_over.pop_front();
        }
        if (taken) {
          give_back_block(*taken);
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  std::ranges::for_each(handed_over, give_back_block);
  EXPECT_EQ(damaged.load(), 0);
  EXPECT_EQ(misfreed.load(), 0);
  EXPECT_EQ(slab_.statistics().bytes_in_use, 0);
  EXPECT_TRUE(slab_.allocate(whole()));
}

// ---- exhaustion ----------------------------------------------------------------------------------------------------

TEST_F(SlabHotPathTest, ASmallBlockIsServedByALargerOneWhenNoExtentIsLeft) {
  auto all = fill(mib);
  give_back(std::array{all.back()}, mib);
  const std::uint64_t small = must(slab_.allocate(300));
  EXPECT_EQ(small, all.back());
  EXPECT_EQ(slab_.free(small, 300), Freed::yes);
  EXPECT_EQ(must(slab_.allocate(mib)), all.back());
}

TEST_F(SlabHotPathTest, AtMostGivesThePiecesThatAreLeft) {
  const SlabPiece whole_piece = must(slab_.allocate_at_most(5 * mib));
  EXPECT_EQ(whole_piece.bytes, 5 * mib);
  EXPECT_EQ(slab_.free(whole_piece.offset, whole_piece.bytes), Freed::yes);

  // All is used but 3 extents in a row, a half one, and one block of 64 KiB.
  const std::vector<std::uint64_t> extents = fill(2 * mib);
  give_back(std::array{extents.at(6)}, 2 * mib);
  static_cast<void>(must(slab_.allocate(mib)));
  give_back(std::array{extents.at(8)}, 2 * mib);
  const std::vector<std::uint64_t> blocks = fill(64 * kib);  // the last one lies in the half extent
  give_back(std::array{blocks.front(), blocks.back()}, 64 * kib);
  give_back(std::span(extents).subspan(1, 3), 2 * mib);

  std::vector<SlabPiece> pieces;
  std::uint64_t left = 10 * mib;
  while (left > 0) {
    const auto piece = slab_.allocate_at_most(left);
    if (!piece) {
      EXPECT_EQ(piece.error().code, Errc::exhausted);
      break;
    }
    EXPECT_GE(piece->bytes, Slab::smallest_piece);
    left -= piece->bytes;
    pieces.push_back(*piece);
  }
  ASSERT_EQ(pieces.size(), 3U);
  EXPECT_EQ(pieces[0].bytes, 6 * mib);
  EXPECT_EQ(pieces[1].bytes, mib);
  EXPECT_EQ(pieces[2].bytes, 64 * kib);
  for (const SlabPiece& piece : pieces) {
    EXPECT_EQ(slab_.free(piece.offset, piece.bytes), Freed::yes);
  }
}

TEST_F(SlabHotPathTest, AtMostGivesNoLessThan64KiBUnlessLessIsAsked) {
  const auto all = fill(32 * kib);
  give_back(std::span(all).first(1), 32 * kib);
  EXPECT_FALSE(slab_.allocate_at_most(64 * kib));
  EXPECT_FALSE(slab_.allocate_at_most(mib));
  const SlabPiece piece = must(slab_.allocate_at_most(20 * kib));
  EXPECT_EQ(piece.bytes, 20 * kib);
}

TEST_F(SlabHotPathTest, WaitingEndsWhenAnotherThreadFrees) {
  const auto all = fill(64 * kib);
  for (int round = 0; round < 50; ++round) {
    std::atomic<bool> waiting{false};
    std::thread helper([&] {
      while (!waiting.load()) {
        std::this_thread::yield();
      }
      EXPECT_EQ(slab_.free(all.at(7), 64 * kib), Freed::yes);
    });
    waiting.store(true);
    EXPECT_EQ(must(slab_.allocate_or_wait(64 * kib, Slab::no_deadline)), all.at(7));
    helper.join();
  }
}

TEST_F(SlabHotPathTest, ManyWaitersAreAllServed) {
  const auto all = fill(64 * kib);
  std::atomic<int> served{0};
  std::vector<std::thread> waiters;
  waiters.reserve(8);
  for (int i = 0; i < 8; ++i) {
    waiters.emplace_back([&] {
      for (int k = 0; k < 20; ++k) {
        const std::uint64_t offset = must(slab_.allocate_or_wait(64 * kib, Slab::no_deadline));
        served.fetch_add(1);
        EXPECT_EQ(slab_.free(offset, 64 * kib), Freed::yes);
      }
    });
  }
  std::this_thread::sleep_for(5ms);
  EXPECT_EQ(slab_.free(all.front(), 64 * kib), Freed::yes);
  EXPECT_EQ(slab_.free(all.back(), 64 * kib), Freed::yes);
  for (std::thread& waiter : waiters) {
    waiter.join();
  }
  EXPECT_EQ(served.load(), 160);
}

TEST_F(SlabHotPathTest, WaitingEndsWhenAnotherProcessReturnsItsExtents) {
  Slab other(region_, abi::owner_tag(1, 8));
  const std::uint64_t everything = must(other.allocate(whole()));
  std::thread helper([&] {
    std::this_thread::sleep_for(5ms);
    EXPECT_EQ(other.free(everything, whole()), Freed::yes);
  });
  EXPECT_TRUE(slab_.allocate_or_wait(3 * mib, Slab::no_deadline));
  helper.join();
}

TEST_F(SlabHotPathTest, WaitingEndsWithItsDeadlineOrTheCallersError) {
  const auto all = fill(2 * mib);
  const auto late = slab_.allocate_or_wait(1, Slab::Clock::now() + 10ms);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::timed_out);
  EXPECT_NE(late.error().message.find("no room for 1 bytes"), std::string::npos) << late.error().message;
  EXPECT_EQ(slab_.allocate_or_wait(1, Slab::Clock::now()).error().code, Errc::timed_out);

  const auto hopeless =
      slab_.allocate_or_wait(1, Slab::no_deadline, [] { return fail(Errc::peer_died, "the worker is gone"); });
  ASSERT_FALSE(hopeless);
  EXPECT_EQ(hopeless.error().code, Errc::peer_died);

  EXPECT_EQ(slab_.allocate_or_wait(whole() + 1, Slab::no_deadline).error().code, Errc::exhausted);
  EXPECT_EQ(slab_.allocate_or_wait(0, Slab::no_deadline).error().code, Errc::invalid_argument);
  // Nobody waits any more, so frees go to the cache again.
  give_back(std::span(all).first(1), 2 * mib);
  give_back(std::array{must(slab_.allocate(4096))}, 4096);
  EXPECT_GT(slab_.statistics().bytes_cached, 0);
}

// ---- owner, statistics, fork ---------------------------------------------------------------------------------------

TEST_F(SlabHotPathTest, TheOwnerIsKeptUntilTheLastBlockIsFreed) {
  auto owner = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = owner;
  const std::uint64_t here = must(slab_.allocate(4096));
  const std::uint64_t there = must(slab_.allocate(3 * mib));
  slab_.keep_until_empty(std::move(owner));
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(slab_.free(here, 4096), Freed::yes);
  EXPECT_EQ(slab_.free(here, 4096), Freed::not_allocated);
  EXPECT_FALSE(watch.expired());
  std::thread([&] { EXPECT_EQ(slab_.free(there, 3 * mib), Freed::yes); }).join();
  EXPECT_TRUE(watch.expired());
}

TEST_F(SlabHotPathTest, TheOwnerIsNotKeptWhenNothingIsInUse) {
  leave_a_cache_behind();
  auto owner = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = owner;
  const std::uint64_t held = must(slab_.allocate(4096));
  EXPECT_EQ(slab_.hold(held, 4096), Freed::yes);  // a post's block is nobody's frame any more
  slab_.keep_until_empty(std::move(owner));
  EXPECT_TRUE(watch.expired());
}

TEST_F(SlabHotPathTest, TheLastFreeMayDestroyTheSlabItself) {
  for (int round = 0; round < 50; ++round) {
    auto slab = std::make_shared<Slab>(region_, abi::owner_tag(1, 9));
    Slab* const bare = slab.get();
    std::array<std::uint64_t, 8> offsets{};
    std::ranges::generate(offsets, [&] { return must(slab->allocate(4096)); });
    const auto free_from = [&](std::size_t first) {
      for (std::size_t i = first; i < offsets.size(); i += 2) {
        EXPECT_EQ(bare->free(offsets.at(i), 4096), Freed::yes);
      }
    };
    std::thread even(free_from, 0);
    std::thread odd(free_from, 1);
    bare->keep_until_empty(std::move(slab));
    even.join();
    odd.join();
    for (auto& owner : region_.owners()) {  // as the host does
      owner.store_relaxed(0);
    }
  }
}

TEST_F(SlabHotPathTest, StatisticsTellUseHighWaterAndFragmentation) {
  EXPECT_EQ(slab_.statistics().fragmentation(), 0);
  const std::uint64_t small = must(slab_.allocate(3000));
  const std::uint64_t large = must(slab_.allocate(4 * mib));
  SlabStatistics now = slab_.statistics();
  EXPECT_EQ(now.bytes_in_use, 3000 + 4 * mib);
  EXPECT_EQ(now.bytes_high_water, 4 * mib + 4096 + now.bytes_cached);
  EXPECT_EQ(now.bytes_claimed, 6 * mib);
  EXPECT_DOUBLE_EQ(now.fragmentation(), 1 - (3000 + 4.0 * mib) / (6.0 * mib));

  EXPECT_EQ(slab_.hold(large, 4 * mib), Freed::yes);
  const std::uint64_t channel = must(slab_.allocate_channel());
  now = slab_.statistics();
  EXPECT_EQ(now.bytes_in_use, 3000);
  EXPECT_EQ(now.bytes_held, 4 * mib);
  EXPECT_EQ(now.bytes_in_channels, sizeof(abi::ChannelBlock));

  EXPECT_EQ(slab_.free_held(large, 4 * mib), Freed::yes);
  EXPECT_EQ(slab_.free(small, 3000), Freed::yes);
  EXPECT_EQ(slab_.free_channel(channel), Freed::yes);
  const std::uint64_t high = now.bytes_high_water;
  now = slab_.statistics();
  EXPECT_EQ(now.bytes_in_use + now.bytes_held + now.bytes_in_channels, 0);
  EXPECT_EQ(now.bytes_high_water, high);
}

TEST_F(SlabHotPathTest, AChildAfterForkGetsErrorsAndItsParentGoesOn) {
  const std::uint64_t offset = must(slab_.allocate(4096));
  leave_a_cache_behind();
  // One more thread waits at the time of the fork: neither its locks nor its waiting may hold the child up.
  const auto rest = fill(2 * mib);
  std::thread waiter([&] { EXPECT_TRUE(slab_.allocate_or_wait(2 * mib, Slab::no_deadline)); });
  std::this_thread::sleep_for(5ms);
  const pid_t child = fork();
  if (child == 0) {
    bool ok = slab_.free(offset, 4096) == Freed::foreign_process;
    ok = ok && slab_.allocate(4096).error().code == Errc::wrong_thread;
    ok = ok && slab_.allocate(3 * mib).error().code == Errc::wrong_thread;
    ok = ok && slab_.allocate_at_most(4096).error().code == Errc::wrong_thread;
    ok = ok && slab_.allocate_or_wait(4096, Slab::no_deadline).error().code == Errc::wrong_thread;
    ok = ok && slab_.allocate_channel().error().code == Errc::wrong_thread;
    ok = ok && slab_.statistics().bytes_claimed == 0;
    slab_.trim();
    slab_.keep_until_empty(nullptr);
    slab_.~Slab();
    _exit(ok ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(slab_.free(rest.front(), 2 * mib), Freed::yes);
  waiter.join();
  EXPECT_EQ(slab_.free(offset, 4096), Freed::yes);
}

}  // namespace
}  // namespace isthmus::test::slab_hot_path_tests
