// SPDX-License-Identifier: Apache-2.0

// NOLINTBEGIN(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression): the API takes
// addresses and sizes of its handles, which are pointers.

#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX, not C++
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "test/opencl/device.hpp"

namespace isthmus::test {
namespace {

class Life : public OpenCl {};

TEST_F(Life, a_child_after_fork_owns_nothing_and_its_parent_goes_on) {
  cl_mem memory = buffer(1 << 16);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    cl_uint platforms = 7;
    cl_int code = CL_SUCCESS;
    int wrong = 0;
    wrong += clFinish(queue) == CL_INVALID_COMMAND_QUEUE ? 0 : 1;
    wrong += clReleaseMemObject(memory) == CL_INVALID_MEM_OBJECT ? 0 : 2;
    wrong += clCreateBuffer(context, CL_MEM_READ_WRITE, 64, nullptr, &code) == nullptr ? 0 : 4;
    wrong += clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &platforms) == CL_INVALID_PLATFORM ? 0 : 8;
    exit(wrong);  // with exit handlers, which must do nothing
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  write(memory, std::vector<cl_int>(1 << 14, 3));
  EXPECT_EQ(read<cl_int>(memory, 1 << 14), std::vector<cl_int>(1 << 14, 3));
}

class WorkersDeath : public OpenCl {
 public:
  void TearDown() override {}  // nothing can be finished any more; releasing is part of the test
};

TEST_F(WorkersDeath, is_an_error_of_every_call_and_nothing_worse) {
  cl_mem memory = buffer(1 << 16);
  cl_int code = CL_SUCCESS;
  void* mapped = clEnqueueMapBuffer(queue, memory, CL_TRUE, CL_MAP_WRITE, 0, 1 << 16, 0, nullptr, nullptr, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  cl_event gate = clCreateUserEvent(context, &code);
  const char* workers = std::getenv("ISTHMUS_TEST_WORKERS");
  ASSERT_NE(workers, nullptr) << "to be run by test_opencl.py";
  std::ifstream children(workers);
  for (pid_t pid = 0; children >> pid;) {
    ASSERT_EQ(kill(pid, SIGKILL), 0);
  }
  EXPECT_EQ(clWaitForEvents(1, &gate), CL_OUT_OF_RESOURCES);
  EXPECT_EQ(clFinish(queue), CL_OUT_OF_RESOURCES);
  std::vector<std::byte> into(1 << 16);
  EXPECT_EQ(clEnqueueReadBuffer(queue, memory, CL_TRUE, 0, 1 << 16, into.data(), 0, nullptr, nullptr),
            CL_OUT_OF_RESOURCES);
  static_cast<std::byte*>(mapped)[100] = std::byte{1};  // a map stays memory
  EXPECT_EQ(clEnqueueUnmapMemObject(queue, memory, mapped, 0, nullptr, nullptr), CL_OUT_OF_RESOURCES);
  EXPECT_EQ(clCreateBuffer(context, CL_MEM_READ_WRITE, 64, nullptr, &code), nullptr);
  EXPECT_EQ(code, CL_OUT_OF_RESOURCES);
  EXPECT_EQ(clReleaseMemObject(memory), CL_SUCCESS);
  EXPECT_EQ(clReleaseEvent(gate), CL_SUCCESS);
  EXPECT_EQ(clReleaseCommandQueue(queue), CL_SUCCESS);
  EXPECT_EQ(clReleaseContext(context), CL_SUCCESS);
}

/// A program that test_opencl.py kills.
class Victim : public OpenCl {};

TEST_F(Victim, waits_for_a_kernel_without_end) {
  cl_kernel loop = kernel("__kernel void loop(volatile __global int* v) { while (*v == 0) {} }", "loop");
  cl_mem memory = buffer(4096);
  write(memory, std::vector<cl_int>(1024, 0));
  ASSERT_EQ(clSetKernelArg(loop, 0, sizeof memory, &memory), CL_SUCCESS);
  cl_event event = nullptr;
  run(loop, 1, &event);
  ASSERT_EQ(clFlush(queue), CL_SUCCESS);
  for (cl_int status = CL_QUEUED; status != CL_RUNNING;) {
    ASSERT_EQ(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, nullptr), CL_SUCCESS);
    ASSERT_GT(status, CL_COMPLETE);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::puts("running");
  std::fflush(stdout);
  clFinish(queue);
}

}  // namespace
}  // namespace isthmus::test

// NOLINTEND(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression)
