// SPDX-License-Identifier: Apache-2.0
#include <cuda.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace isthmus::test {
namespace {

TEST(Environment, shows_the_devices_that_it_leaves_visible) {
  const char* expected = std::getenv("ISTHMUS_TEST_DEVICES");
  ASSERT_NE(expected, nullptr) << "to be run by test_warm.py";
  ASSERT_EQ(cuInit(0), CUDA_SUCCESS);
  int count = 0;
  ASSERT_EQ(cuDeviceGetCount(&count), CUDA_SUCCESS);
  EXPECT_EQ(std::to_string(count), expected);
  CUcontext context = nullptr;
  EXPECT_EQ(cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxRelease(0), CUDA_SUCCESS);
}

}  // namespace
}  // namespace isthmus::test
