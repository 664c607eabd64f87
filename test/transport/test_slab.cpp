// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "src/transport/slab.hpp"
#include "test/support/bytes.hpp"
#include "test/support/random.hpp"
#include "test/support/test_region.hpp"

namespace isthmus::test::slab_tests {
namespace {

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;
constexpr std::uint64_t max64 = std::numeric_limits<std::uint64_t>::max();

// Live allocations by offset: a model of what the slab may give out.
class LiveMap {
 public:
  explicit LiveMap(const Region& region) : region_(&region) {}

  void add(std::uint64_t offset, std::uint64_t bytes) {
    ASSERT_GE(offset, region_->geometry().extents_offset);
    ASSERT_LE(offset + bytes, region_->size());
    const auto after = live_.lower_bound(offset);
    ASSERT_TRUE(after == live_.end() || offset + bytes <= after->first) << "overlaps the allocation behind it";
    ASSERT_TRUE(after == live_.begin() || std::prev(after)->first + std::prev(after)->second <= offset)
        << "overlaps the allocation before it";
    live_.emplace(offset, bytes);
    sum_ += bytes;
  }
  void remove(std::uint64_t offset) {
    const auto found = live_.find(offset);
    sum_ -= found->second;
    live_.erase(found);
  }
  [[nodiscard]] std::uint64_t sum() const { return sum_; }

 private:
  const Region* region_;
  std::map<std::uint64_t, std::uint64_t> live_;
  std::uint64_t sum_ = 0;
};

class SlabTest : public testing::Test {
 protected:
  [[nodiscard]] std::uint64_t extents() const { return region_.geometry().extent_count; }
  [[nodiscard]] std::uint64_t whole() const { return extents() * abi::extent_size; }
  [[nodiscard]] std::uint64_t owned_by(std::uint64_t owner) const {
    return static_cast<std::uint64_t>(
        std::ranges::count_if(region_.owners(), [&](const auto& word) { return word.load_relaxed().equals(owner); }));
  }
  void expect_exhausted(const Result<std::uint64_t>& result) const {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Errc::exhausted);
    for (const std::string& words : {std::string("slab of region test"), std::string("no room for"),
                                     std::to_string(whole() / mib) + " MiB in all", std::string("region_size")}) {
      EXPECT_NE(result.error().message.find(words), std::string::npos) << result.error().message;
    }
  }

  TestRegion memory_{32 * mib, 2};
  Region region_ = memory_.map();
  const std::uint64_t owner_ = abi::owner_tag(0, 7);
  const std::uint64_t other_owner_ = abi::owner_tag(1, 8);
  Slab slab_{region_, owner_};
};

TEST_F(SlabTest, EverySizeGetsAWholeBlockAlignedToItsClass) {
  LiveMap live(region_);
  std::vector<std::uint64_t> sizes{1, 2, 255, 256, 257, 511, 512, 513, 4095, 4096, 4097};
  for (std::uint64_t size = 8 * kib; size <= 2 * mib; size *= 2) {
    sizes.insert(sizes.end(), {size - 1, size, size + 1});
  }
  for (const std::uint64_t size : sizes) {
    const std::uint64_t block = size <= mib ? std::max<std::uint64_t>(256, std::bit_ceil(size)) : abi::extent_size;
    const std::uint64_t offset = must(slab_.allocate(size));
    EXPECT_EQ(offset % block, 0) << size;
    live.add(offset, std::max(size, block));
    std::memset(region_.data(offset), 0x5a, size);
    live.remove(offset);
    slab_.free(offset, size);
  }
  EXPECT_EQ(slab_.statistics().bytes_in_use, 0);
}

TEST_F(SlabTest, NothingIsNoAllocation) {
  const auto nothing = slab_.allocate(0);
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, Errc::invalid_argument);
}

TEST_F(SlabTest, MoreThanThereIsIsExhaustedAndChangesNothing) {
  for (const std::uint64_t size : {whole() + 1, region_.size(), region_.size() + 1, 2 * region_.size(), max64,
                                   max64 - abi::extent_size + 1, max64 - 1, std::uint64_t{1} << 63}) {
    expect_exhausted(slab_.allocate(size));
  }
  EXPECT_EQ(slab_.statistics().bytes_in_use, 0);
  EXPECT_EQ(slab_.statistics().bytes_claimed, 0);
  EXPECT_TRUE(slab_.allocate(whole()));
}

TEST_F(SlabTest, RunsOfExtentsAreAlignedAndTakeOnlyWhatTheyNeed) {
  LiveMap live(region_);
  for (const std::uint64_t size : {mib + 1, 2 * mib, 2 * mib + 1, 5 * mib, 6 * mib}) {
    const std::uint64_t before = slab_.statistics().bytes_claimed;
    const std::uint64_t offset = must(slab_.allocate(size));
    EXPECT_EQ(offset % abi::extent_size, 0);
    live.add(offset, size);
    EXPECT_EQ(slab_.statistics().bytes_claimed - before,
              (size + abi::extent_size - 1) / abi::extent_size * abi::extent_size);
  }
}

TEST_F(SlabTest, ARunFindsTheFirstGapThatIsLongEnough) {
  std::vector<std::uint64_t> all;
  all.reserve(extents());
  for (std::uint64_t i = 0; i < extents(); ++i) {
    all.push_back(must(slab_.allocate(abi::extent_size)));
  }
  const auto give_back = [&](std::size_t i) { slab_.free(all.at(i), abi::extent_size); };
  for (const std::size_t i : {1U, 3U, 4U, 7U, 8U, 9U}) {
    give_back(i);
  }
  expect_exhausted(slab_.allocate(4 * abi::extent_size));
  EXPECT_EQ(must(slab_.allocate(3 * abi::extent_size)), all.at(7));
  EXPECT_EQ(must(slab_.allocate(2 * abi::extent_size)), all.at(3));
  EXPECT_EQ(must(slab_.allocate(1 * abi::extent_size)), all.at(1));
  expect_exhausted(slab_.allocate(abi::extent_size));
}

TEST_F(SlabTest, AFullSlabSaysSoAndGoesOnOnceFramesAreFreed) {
  for (const std::uint64_t size : {256UL, 4096UL, 64 * kib, mib, 2 * mib}) {
    std::vector<std::uint64_t> all;
    for (;;) {
      const auto offset = slab_.allocate(size);
      if (!offset) {
        expect_exhausted(offset);
        break;
      }
      all.push_back(*offset);
    }
    EXPECT_EQ(all.size(), whole() / size) << "nothing is lost to bookkeeping";
    EXPECT_EQ(std::set<std::uint64_t>(all.begin(), all.end()).size(), all.size());
    EXPECT_EQ(slab_.statistics().bytes_in_use, whole());
    EXPECT_EQ(slab_.statistics().bytes_claimable, 0);
    slab_.free(all.back(), size);
    all.back() = must(slab_.allocate(size));
    for (const std::uint64_t offset : all) {
      slab_.free(offset, size);
    }
  }
  EXPECT_EQ(slab_.statistics().bytes_in_use, 0);
}

// Extents that are wholly free stay with their class for a while, which must not make others starve.
TEST_F(SlabTest, WhatFreedBlocksLeftCutUpIsThereForOtherSizes) {
  for (std::uint64_t size = 256; size <= mib; size *= 2) {
    slab_.free(must(slab_.allocate(size)), size);
  }
  slab_.free_channel(must(slab_.allocate_channel()));
  const auto everything = slab_.allocate(whole());
  ASSERT_TRUE(everything) << everything.error().message;
  slab_.free(*everything, whole());
  EXPECT_EQ(slab_.statistics().bytes_claimed, 0);
  EXPECT_EQ(owned_by(owner_), 0);
}

TEST_F(SlabTest, ExtentsThatAreWhollyFreeComeBackToTheRegion) {
  std::vector<std::uint64_t> all;
  while (const auto offset = slab_.allocate(64 * kib)) {
    all.push_back(*offset);
  }
  EXPECT_EQ(owned_by(owner_), extents());
  Random random(5);
  while (!all.empty()) {
    std::swap(all.at(random.below(all.size())), all.back());
    slab_.free(all.back(), 64 * kib);
    all.pop_back();
  }
  EXPECT_LE(owned_by(owner_), 1 + 8) << "one may stay for the next allocation, and those of the 8 blocks in the cache";
  EXPECT_EQ(owned_by(0), extents() - owned_by(owner_));
  slab_.trim();
  EXPECT_EQ(owned_by(owner_), 0);
}

TEST_F(SlabTest, RandomAllocationsNeverOverlapAndStatisticsAddUp) {
  struct Allocation {
    std::uint64_t offset;
    std::uint64_t bytes;
  };
  LiveMap live(region_);
  std::vector<Allocation> all;
  Random random(1);
  int exhausted = 0;
  for (int i = 0; i < 60'000; ++i) {
    if (!all.empty() && random.below(100) < 48) {
      std::swap(all.at(random.below(all.size())), all.back());
      live.remove(all.back().offset);
      slab_.free(all.back().offset, all.back().bytes);
      all.pop_back();
    } else {
      // Mostly small; some as long as several extents.
      const std::uint64_t bytes = 1 + random.below(std::uint64_t{1} << (4 + random.below(random.one_in(50) ? 20 : 12)));
      const auto offset = slab_.allocate(bytes);
      if (offset) {
        live.add(*offset, bytes);
        if (HasFatalFailure()) {
          return;
        }
        all.push_back({*offset, bytes});
      } else {
        ++exhausted;
      }
    }
    ASSERT_EQ(slab_.statistics().bytes_in_use, live.sum());
  }
  EXPECT_LT(exhausted, 40'000);
  for (const Allocation& a : all) {
    slab_.free(a.offset, a.bytes);
  }
  EXPECT_EQ(slab_.statistics().bytes_in_use, 0);
  EXPECT_TRUE(slab_.allocate(whole()));
}

TEST_F(SlabTest, ChannelBlocksAreWholeAlignedAndApart) {
  std::vector<std::uint64_t> all;
  LiveMap live(region_);
  for (;;) {
    const auto offset = slab_.allocate_channel();
    if (!offset) {
      expect_exhausted(offset);
      break;
    }
    EXPECT_EQ(*offset % abi::page_size, 0);
    EXPECT_NE(region_.channel_block(*offset), nullptr);
    live.add(*offset, sizeof(abi::ChannelBlock));
    all.push_back(*offset);
  }
  EXPECT_EQ(all.size(), extents() * abi::channel_blocks_per_extent);
  for (const std::uint64_t offset : all) {
    slab_.free_channel(offset);
  }
  EXPECT_TRUE(slab_.allocate(whole()));
}

TEST_F(SlabTest, TwoOwnersOfOneRegionNeverShareAnExtent) {
  Slab other(region_, other_owner_);
  LiveMap live(region_);
  Random random(2);
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t bytes = 1 + random.below(200 * kib);
    if (const auto offset = (random.one_in(2) ? slab_ : other).allocate(bytes)) {
      live.add(*offset, bytes);
      if (HasFatalFailure()) {
        return;
      }
    }
  }
  EXPECT_EQ(owned_by(owner_) + owned_by(other_owner_) + owned_by(0), extents());
  EXPECT_EQ(owned_by(owner_) * abi::extent_size, slab_.statistics().bytes_claimed);
  EXPECT_EQ(owned_by(other_owner_) * abi::extent_size, other.statistics().bytes_claimed);
}

TEST_F(SlabTest, OneOwnerGetsWhatTheOtherGaveBack) {
  Slab other(region_, other_owner_);
  const std::uint64_t everything = must(slab_.allocate(whole()));
  expect_exhausted(other.allocate(1));
  slab_.free(everything, whole());
  EXPECT_TRUE(other.allocate(whole()));
  expect_exhausted(slab_.allocate(1));
}

TEST_F(SlabTest, StatisticsCountBytesAsAskedForAndExtentsAsHeld) {
  EXPECT_EQ(slab_.statistics().bytes_claimable, whole());
  const std::uint64_t small = must(slab_.allocate(300));
  const std::uint64_t large = must(slab_.allocate(3 * mib));
  const auto statistics = slab_.statistics();
  EXPECT_EQ(statistics.bytes_in_use, 300 + 3 * mib);
  EXPECT_EQ(statistics.bytes_claimed, 3 * abi::extent_size);
  EXPECT_EQ(statistics.bytes_claimable, whole() - 3 * abi::extent_size);
  slab_.free(large, 3 * mib);
  slab_.free(small, 300);
  EXPECT_EQ(slab_.statistics().bytes_in_use, 0);
}

TEST_F(SlabTest, OwnerWordsThatTheOtherSideSpoilsCostMemoryAndNothingElse) {
  const std::uint64_t mine = must(slab_.allocate(mib));
  for (auto& owner : region_.owners()) {
    owner.store_relaxed(max64);
  }
  EXPECT_TRUE(slab_.allocate(mib)) << "from the extent that is held";
  expect_exhausted(slab_.allocate(mib));
  slab_.free(mine, mib);
  EXPECT_EQ(must(slab_.allocate(mib)), mine);
}

// Several threads write what they got from end to end, and find it unchanged when they give it back.
TEST_F(SlabTest, ThreadsNeverGetTheSameMemory) {
  Slab other(region_, other_owner_);
  std::vector<std::thread> threads;
  threads.reserve(4);
  std::atomic<int> damaged{0};
  std::atomic<int> allocated{0};
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      struct Allocation {
        std::uint64_t offset;
        std::uint64_t bytes;
        std::byte mark;
      };
      Slab& slab = t % 2 == 0 ? slab_ : other;
      Random random(t);
      std::vector<Allocation> all;
      const auto give_back = [&](const Allocation& a) {
        const auto bytes = std::span(region_.data(a.offset), a.bytes);
        damaged.fetch_add(all_are(bytes, a.mark) ? 0 : 1);
        slab.free(a.offset, a.bytes);
      };
      for (int i = 0; i < 4000; ++i) {
        if (!all.empty() && (random.one_in(2) || all.size() > 100)) {
          std::swap(all.at(random.below(all.size())), all.back());
          give_back(all.back());
          all.pop_back();
        } else if (const std::uint64_t bytes = 1 + random.below(std::uint64_t{1} << (6 + random.below(9)));
                   const auto offset = slab.allocate(bytes)) {
          all.push_back({*offset, bytes, static_cast<std::byte>(random.next())});
          fill(std::span(region_.data(*offset), bytes), all.back().mark);
          allocated.fetch_add(1);
        }
      }
      std::ranges::for_each(all, give_back);
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(damaged.load(), 0) << "of " << allocated.load();
  EXPECT_EQ(slab_.statistics().bytes_in_use + other.statistics().bytes_in_use, 0);
}

TEST(SmallSlabTest, TheSmallestRegionServesEverySizeInTurn) {
  const TestRegion memory(abi::min_region_size, abi::max_lanes);
  const Region region = memory.map();
  Slab slab(region, abi::owner_tag(0, 1));
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t size = 256; size <= 4 * mib; size *= 2) {
      const auto offset = slab.allocate(size);
      ASSERT_TRUE(offset) << size << ": " << offset.error().message;
      slab.free(*offset, size);
    }
  }
}

}  // namespace
}  // namespace isthmus::test::slab_tests
