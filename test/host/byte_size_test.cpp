// SPDX-License-Identifier: Apache-2.0
#include "host/byte_size.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace isthmus::host {
namespace {

TEST(ByteSize, a_number_alone_is_bytes) { EXPECT_EQ(parse_byte_size("4096").value(), 4096U); }

TEST(ByteSize, units_may_follow_with_or_without_a_space) {
  EXPECT_EQ(parse_byte_size("3 KiB").value(), 3U * 1024);
  EXPECT_EQ(parse_byte_size("256MiB").value(), std::uint64_t{256} << 20U);
  EXPECT_EQ(parse_byte_size("2 GiB").value(), std::uint64_t{2} << 30U);
}

TEST(ByteSize, anything_else_is_refused_by_name) {
  for (const char* wrong : {"", " ", "MiB", "1 MB", "1  MiB", "1 ", "-1", "+1", "1.5 GiB", "0x10", "1 MiB ", " 1",
                            "18446744073709551616", "17179869184 GiB", "1mib"}) {
    const auto size = parse_byte_size(wrong);
    ASSERT_FALSE(size) << wrong;
    EXPECT_EQ(size.error().code, Errc::invalid_argument);
    EXPECT_NE(size.error().message.find(wrong), std::string::npos);
  }
}

TEST(ByteSize, the_biggest_that_fits_is_accepted) {
  EXPECT_EQ(parse_byte_size("18446744073709551615").value(), UINT64_MAX);
  EXPECT_EQ(parse_byte_size("17179869183 GiB").value(), std::uint64_t{17179869183} << 30U);
}

}  // namespace
}  // namespace isthmus::host
