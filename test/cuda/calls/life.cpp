// SPDX-License-Identifier: Apache-2.0
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX, not C++
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "test/cuda/calls/device.hpp"

namespace isthmus::test {
namespace {

class Life : public Cuda {};

TEST_F(Life, a_child_after_fork_owns_nothing_and_its_parent_goes_on) {
  const CUdeviceptr there = memory(64);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    CUdeviceptr none = 0;
    int wrong = 0;
    wrong += cuMemAlloc(&none, 64) == CUDA_ERROR_NOT_INITIALIZED ? 0 : 1;
    wrong += cuInit(0) == CUDA_ERROR_NOT_INITIALIZED ? 0 : 2;
    wrong += cuMemFree(there) == CUDA_ERROR_NOT_INITIALIZED ? 0 : 4;
    wrong += cuCtxSynchronize() == CUDA_ERROR_NOT_INITIALIZED ? 0 : 8;
    exit(wrong);  // with exit handlers, which must do nothing
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  const auto values = numbers(16);
  write(there, values);
  EXPECT_EQ(read<int>(there, 16), values);
}

class WorkersDeath : public Cuda {
 public:
  void TearDown() override {}  // nothing can be released any more
};

TEST_F(WorkersDeath, is_an_error_of_every_call_and_nothing_worse) {
  const CUdeviceptr there = memory(64);
  int* const here = pinned<int>(16);
  CUstream in = stream();
  const char* workers = std::getenv("ISTHMUS_TEST_WORKERS");
  ASSERT_NE(workers, nullptr) << "to be run by test_cuda_calls.py";
  std::ifstream children(workers);
  for (pid_t pid = 0; children >> pid;) {
    ASSERT_EQ(kill(pid, SIGKILL), 0);
  }
  EXPECT_EQ(cuStreamSynchronize(in), CUDA_ERROR_DEVICE_UNAVAILABLE);
  std::vector<char> large(1 << 20);
  EXPECT_EQ(cuMemcpyHtoD(there, here, 64), CUDA_ERROR_DEVICE_UNAVAILABLE);
  CUdeviceptr none = 0;
  EXPECT_EQ(cuMemAlloc(&none, 64), CUDA_ERROR_DEVICE_UNAVAILABLE);
  EXPECT_EQ(cuMemsetD8Async(there, 0, 64, in), CUDA_ERROR_DEVICE_UNAVAILABLE);
  here[3] = 1;  // pinned memory stays memory
  EXPECT_EQ(cuStreamDestroy(in), CUDA_ERROR_DEVICE_UNAVAILABLE);
  int value = 0;
  EXPECT_EQ(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0), CUDA_SUCCESS);
}

/// A program that test_cuda_calls.py kills.
class Victim : public Cuda {};

TEST_F(Victim, waits_for_a_kernel_that_takes_long) {
  CUstream in = stream();
  dawdle(in, 3'600'000);
  std::printf("running\n");
  std::fflush(stdout);
  EXPECT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
}

TEST_F(Victim, holds_memory) {
  (void)memory(std::size_t{40} << 20);
  std::puts("running");
  std::fflush(stdout);
  for (;;) {
    pause();
  }
}

TEST_F(Victim, is_in_the_middle_of_a_host_function) {
  CUstream in = stream();
  ASSERT_EQ(cuLaunchHostFunc(
                in,
                [](void*) {
                  std::printf("running\n");
                  std::fflush(stdout);
                  pause();
                },
                nullptr),
            CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
}

/// Where there is no device: run by test_cuda_calls.py with hosts of all kinds.
TEST(NoDevice, is_what_cu_init_says) {
  CUdevice device = 0;
  EXPECT_EQ(cuDeviceGet(&device, 0), CUDA_ERROR_NOT_INITIALIZED);
  EXPECT_EQ(cuInit(0), CUDA_ERROR_NO_DEVICE);
  EXPECT_EQ(cuDeviceGet(&device, 0), CUDA_ERROR_NOT_INITIALIZED);
  int version = 0;
  EXPECT_EQ(cuDriverGetVersion(&version), CUDA_SUCCESS);
  EXPECT_EQ(version, CUDA_VERSION);
}

}  // namespace
}  // namespace isthmus::test
