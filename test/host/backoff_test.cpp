// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/backoff.hpp"

#include <gtest/gtest.h>

namespace isthmus::host {
namespace {

using std::chrono::milliseconds;

TEST(Backoff, doubles_up_to_its_limit_and_begins_anew_after_a_success) {
  Backoff backoff(milliseconds(10), milliseconds(50));
  EXPECT_EQ(backoff.failed(), milliseconds(10));
  EXPECT_EQ(backoff.failed(), milliseconds(20));
  EXPECT_EQ(backoff.failed(), milliseconds(40));
  EXPECT_EQ(backoff.failed(), milliseconds(50));
  EXPECT_EQ(backoff.failed(), milliseconds(50));
  backoff.succeeded();
  EXPECT_EQ(backoff.failed(), milliseconds(10));
  EXPECT_EQ(backoff.failed(), milliseconds(20));
}

}  // namespace
}  // namespace isthmus::host
