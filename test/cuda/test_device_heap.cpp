// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>

#include "guest/cuda/device_heap.hpp"

namespace isthmus::cuda {
namespace {

constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;

TEST(CudaDeviceHeap, gives_no_byte_to_two_and_gets_all_of_them_back) {
  constexpr std::uint64_t chunk = 4 * mebibyte;
  DeviceHeap heap;
  heap.add_chunk(chunk, chunk);
  heap.add_chunk(2 * chunk, chunk);  // a neighbour, to which no piece may reach over
  heap.add_chunk(100 * chunk, 2 * chunk);
  std::minstd_rand random(5);  // NOLINT(cert-msc51-cpp): the same in every run
  std::map<std::uint64_t, std::uint64_t> taken;
  std::uint64_t used = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (random() % 2 == 0) {
      const std::uint64_t bytes = 1 + random() % (std::uint64_t{1} << random() % 22);
      const auto address = heap.take(bytes);
      if (!address) {
        continue;
      }
      const std::uint64_t end = *address + DeviceHeap::rounded(bytes);
      ASSERT_EQ(*address % DeviceHeap::granule, 0U);
      ASSERT_TRUE(heap.holds(*address) && heap.holds(end - 1));
      ASSERT_TRUE(*address >= 100 * chunk || *address / chunk == (end - 1) / chunk) << "over the border of two chunks";
      const auto after = taken.lower_bound(*address);
      ASSERT_TRUE(after == taken.end() || after->first >= end);
      ASSERT_TRUE(after == taken.begin() || std::prev(after)->second <= *address);
      taken.emplace(*address, end);
      used += end - *address;
    } else if (!taken.empty()) {
      const auto gone = std::next(taken.begin(), static_cast<std::ptrdiff_t>(random() % taken.size()));
      used -= gone->second - gone->first;
      heap.give(gone->first);
      heap.give(gone->first);  // a second time is nothing
      taken.erase(gone);
    }
    ASSERT_EQ(heap.unused(), heap.total() - used);
  }
  for (const auto& [address, end] : taken) {
    heap.give(address);
  }
  EXPECT_EQ(heap.unused(), 4 * chunk);
  EXPECT_EQ(heap.take(2 * chunk), 100 * chunk) << "all pieces have grown together";
  EXPECT_FALSE(heap.take(chunk + 1)) << "but not those of two chunks";
}

TEST(CudaDeviceHeap, gives_up_only_chunks_of_which_nothing_is_in_use) {
  DeviceHeap heap;
  EXPECT_FALSE(heap.take(1));
  EXPECT_FALSE(heap.holds(0));
  heap.add_chunk(mebibyte, mebibyte);
  heap.add_chunk(4 * mebibyte, 2 * mebibyte);
  heap.add_chunk(8 * mebibyte, 3 * mebibyte);
  const auto piece = heap.take(2 * mebibyte + 1);
  ASSERT_EQ(piece, 8 * mebibyte);
  EXPECT_EQ(heap.trim(4 * mebibyte), std::vector<std::uint64_t>());
  EXPECT_EQ(heap.trim(3 * mebibyte), std::vector<std::uint64_t>({4 * mebibyte})) << "the largest first";
  EXPECT_FALSE(heap.holds(4 * mebibyte));
  EXPECT_EQ(heap.trim(0), std::vector<std::uint64_t>({mebibyte}));
  EXPECT_EQ(heap.total(), 3 * mebibyte);
  heap.give(*piece);
  EXPECT_EQ(heap.trim(0), std::vector<std::uint64_t>({8 * mebibyte}));
  EXPECT_EQ(heap.total(), 0U);
  EXPECT_EQ(heap.unused(), 0U);
}

}  // namespace
}  // namespace isthmus::cuda
