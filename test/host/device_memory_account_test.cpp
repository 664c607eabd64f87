// SPDX-License-Identifier: Apache-2.0
#include "host/device_memory_account.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

namespace isthmus::host {
namespace {

TEST(DeviceMemoryAccount, IsSharedAndGetsBackWhatItsHoldersHad) {
  DeviceMemoryAccount account(100, 0);
  const std::array<char, 2> holders{};
  const void* const first = holders.data();
  const void* const second = holders.data() + 1;
  EXPECT_TRUE(account.take(first, 60));
  EXPECT_FALSE(account.take(second, 41));
  EXPECT_TRUE(account.take(second, 40));
  EXPECT_FALSE(account.take(first, 1));
  EXPECT_FALSE(account.take(first, UINT64_MAX));
  EXPECT_TRUE(account.take(first, 0));
  EXPECT_FALSE(account.give(second, 41)) << "it never had so much";
  EXPECT_EQ(account.used(), 100U);
  EXPECT_TRUE(account.give(first, 10));
  EXPECT_EQ(account.used(), 90U);
  account.forget(second);
  EXPECT_EQ(account.used(), 50U);
  account.forget(second);
  EXPECT_FALSE(account.give(second, 1));
  EXPECT_EQ(account.used(), 50U);
  EXPECT_EQ(account.total(), 100U);
}

}  // namespace
}  // namespace isthmus::host
