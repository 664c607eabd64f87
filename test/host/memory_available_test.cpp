// SPDX-License-Identifier: Apache-2.0
#include "host/memory_available.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

namespace isthmus::host {
namespace {

TEST(MemoryAvailable, is_something_but_not_more_than_the_machine_has) {
  const auto available = memory_available();
  ASSERT_TRUE(available) << available.error().message;
  const auto pages = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES));
  EXPECT_GT(*available, 0U);
  EXPECT_LE(*available, pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
}

TEST(MemoryAvailable, more_than_there_is_is_refused_with_both_numbers) {
  const auto checked = check_memory_available("region r", std::uint64_t{1} << 50U);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Errc::exhausted);
  EXPECT_TRUE(checked.error().message.starts_with("region r: 1073741824 MiB asked, ")) << checked.error().message;
}

TEST(MemoryAvailable, a_little_is_granted) { EXPECT_TRUE(check_memory_available("region r", 4096)); }

}  // namespace
}  // namespace isthmus::host
