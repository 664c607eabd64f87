// SPDX-License-Identifier: Apache-2.0

// NOLINTBEGIN(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression): the API takes
// addresses and sizes of its handles, which are pointers.
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "test/opencl/device.hpp"

namespace isthmus::test {
namespace {

class Commands : public OpenCl {
 protected:
  cl_event user_event() {
    cl_int code = CL_SUCCESS;
    cl_event made = clCreateUserEvent(context, &code);
    EXPECT_EQ(code, CL_SUCCESS);
    return made;
  }
  static cl_int status_of(cl_event event) {
    cl_int status = -9999;
    EXPECT_EQ(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, nullptr), CL_SUCCESS);
    return status;
  }
};

/// Collects what callbacks are told.
struct Heard {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<cl_int> statuses;
  std::thread::id thread;

  static void CL_CALLBACK listen(cl_event, cl_int status, void* data) {
    auto& heard = *static_cast<Heard*>(data);
    const std::scoped_lock lock(heard.mutex);
    heard.statuses.push_back(status);
    heard.thread = std::this_thread::get_id();
    heard.changed.notify_all();
  }
  bool wait_for(std::size_t count) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(120), [&] { return statuses.size() >= count; });
  }
};

TEST_F(Commands, two_threads_share_a_queue_and_its_order_is_kept) {
  // Each step is right only after all before it: v = v * 3 + 1, by turns from two threads.
  cl_program built = program("__kernel void advance(__global uint* v) { *v = *v * 3 + 1; }");
  ASSERT_EQ(clBuildProgram(built, 1, &device, "", nullptr, nullptr), CL_SUCCESS);
  const std::array<cl_kernel, 2> steps{kernel(built, "advance"), kernel(built, "advance")};
  cl_mem memory = buffer(sizeof(cl_uint));
  write(memory, std::vector<cl_uint>{1});
  constexpr int rounds = 400;
  std::atomic<int> turn{0};
  const auto run_steps = [&](int self) {
    const auto mine = static_cast<std::size_t>(self);
    EXPECT_EQ(clSetKernelArg(steps.at(mine), 0, sizeof memory, &memory), CL_SUCCESS);
    for (int i = self; i < rounds; i += 2) {
      while (turn.load() != i) {
        std::this_thread::yield();
      }
      if (i % 10 == self) {
        // A short write in between, on top of what the kernels made: it must come after them, and before the next.
        const auto fresh = static_cast<cl_uint>(i);
        EXPECT_EQ(clEnqueueWriteBuffer(queue, memory, CL_FALSE, 0, sizeof fresh, &fresh, 0, nullptr, nullptr),
                  CL_SUCCESS);
      }
      EXPECT_EQ(clEnqueueTask(queue, steps.at(mine), 0, nullptr, nullptr), CL_SUCCESS);
      turn.store(i + 1);
    }
  };
  std::thread other(run_steps, 1);
  run_steps(0);
  other.join();
  cl_uint expected = 1;
  for (int i = 0; i < rounds; ++i) {
    expected = (i % 10 < 2 ? static_cast<cl_uint>(i) : expected) * 3 + 1;
  }
  EXPECT_EQ(read<cl_uint>(memory, 1).front(), expected);
}

TEST_F(Commands, a_long_read_that_does_not_block_sees_what_was_before_it_and_not_what_comes_after) {
  constexpr std::size_t count = 1 << 18;
  cl_kernel set = kernel("__kernel void set(__global int* v, int x) { v[get_global_id(0)] = x; }", "set");
  cl_mem memory = buffer(count * sizeof(cl_int));
  ASSERT_EQ(clSetKernelArg(set, 0, sizeof memory, &memory), CL_SUCCESS);
  std::array<std::vector<cl_int>, 8> seen;
  std::array<cl_event, 8> read_events{};
  for (cl_int i = 0; i < 8; ++i) {
    const auto at = static_cast<std::size_t>(i);
    seen.at(at).assign(count, -1);
    ASSERT_EQ(clSetKernelArg(set, 1, sizeof i, &i), CL_SUCCESS);
    run(set, count);
    ASSERT_EQ(clEnqueueReadBuffer(queue, memory, CL_FALSE, 0, count * sizeof(cl_int), seen.at(at).data(), 0, nullptr,
                                  &read_events.at(at)),
              CL_SUCCESS);
  }
  ASSERT_EQ(clWaitForEvents(8, read_events.data()), CL_SUCCESS);
  for (cl_int i = 0; i < 8; ++i) {
    const auto at = static_cast<std::size_t>(i);
    EXPECT_EQ(seen.at(at), std::vector<cl_int>(count, i)) << "read " << i;
    EXPECT_EQ(status_of(read_events.at(at)), CL_COMPLETE);
    EXPECT_EQ(clReleaseEvent(read_events.at(at)), CL_SUCCESS);
  }
}

TEST_F(Commands, a_blocking_call_blocks_its_own_thread_only) {
  cl_event gate = user_event();
  cl_mem memory = buffer(1 << 16);
  std::vector<cl_int> into(1 << 14);
  std::atomic<bool> returned{false};
  std::thread blocked([&] {
    EXPECT_EQ(clEnqueueReadBuffer(queue, memory, CL_TRUE, 0, 1 << 16, into.data(), 1, &gate, nullptr), CL_SUCCESS);
    returned = true;
  });
  // Meanwhile this thread works, on a queue of its own.
  cl_int code = CL_SUCCESS;
  cl_command_queue own = clCreateCommandQueue(context, device, 0, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  cl_mem other = buffer(4096);
  std::vector<cl_int> values(1024, 3);
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(clEnqueueWriteBuffer(own, other, CL_TRUE, 0, 4096, values.data(), 0, nullptr, nullptr), CL_SUCCESS);
    ASSERT_EQ(clFinish(own), CL_SUCCESS);
  }
  EXPECT_FALSE(returned);
  ASSERT_EQ(clSetUserEventStatus(gate, CL_COMPLETE), CL_SUCCESS);
  blocked.join();
  EXPECT_EQ(clReleaseCommandQueue(own), CL_SUCCESS);
  EXPECT_EQ(clReleaseEvent(gate), CL_SUCCESS);
}

TEST_F(Commands, a_user_event_holds_commands_back_and_callbacks_tell_of_the_end) {
  cl_event gate = user_event();
  cl_kernel set = kernel("__kernel void set(__global int* v) { v[get_global_id(0)] = 5; }", "set");
  cl_mem memory = buffer(4096);
  write(memory, std::vector<cl_int>(1024, 1));
  ASSERT_EQ(clSetKernelArg(set, 0, sizeof memory, &memory), CL_SUCCESS);
  const std::size_t items = 1024;
  cl_event done = nullptr;
  ASSERT_EQ(clEnqueueNDRangeKernel(queue, set, 1, nullptr, &items, nullptr, 1, &gate, &done), CL_SUCCESS);
  Heard heard;
  ASSERT_EQ(clSetEventCallback(done, CL_COMPLETE, Heard::listen, &heard), CL_SUCCESS);
  ASSERT_EQ(clFlush(queue), CL_SUCCESS);
  EXPECT_GT(status_of(done), CL_COMPLETE);
  EXPECT_EQ(status_of(gate), CL_SUBMITTED);
  ASSERT_EQ(clSetUserEventStatus(gate, CL_COMPLETE), CL_SUCCESS);
  EXPECT_EQ(clSetUserEventStatus(gate, CL_COMPLETE), CL_INVALID_OPERATION);
  ASSERT_TRUE(heard.wait_for(1));
  EXPECT_EQ(heard.statuses.front(), CL_COMPLETE);
  EXPECT_NE(heard.thread, std::this_thread::get_id());
  EXPECT_EQ(read<cl_int>(memory, 1).front(), 5);
  // An event that is complete already calls back, too.
  ASSERT_EQ(clSetEventCallback(done, CL_COMPLETE, Heard::listen, &heard), CL_SUCCESS);
  EXPECT_TRUE(heard.wait_for(2));
  EXPECT_EQ(clReleaseEvent(done), CL_SUCCESS);
  EXPECT_EQ(clReleaseEvent(gate), CL_SUCCESS);
}

TEST_F(Commands, a_failed_event_fails_what_waits_for_it) {
  cl_event gate = user_event();
  cl_event marker = nullptr;
  cl_int code = CL_SUCCESS;
  cl_command_queue own = clCreateCommandQueue(context, device, 0, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  ASSERT_EQ(clEnqueueMarkerWithWaitList(own, 1, &gate, &marker), CL_SUCCESS);
  ASSERT_EQ(clSetUserEventStatus(gate, -77), CL_SUCCESS);
  EXPECT_EQ(clWaitForEvents(1, &marker), CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
  EXPECT_LT(status_of(marker), 0);
  EXPECT_EQ(status_of(gate), -77);
  EXPECT_EQ(clReleaseEvent(marker), CL_SUCCESS);
  EXPECT_EQ(clReleaseEvent(gate), CL_SUCCESS);
  EXPECT_EQ(clReleaseCommandQueue(own), CL_SUCCESS);
}

TEST_F(Commands, events_say_when_commands_ran) {
  cl_kernel set = kernel("__kernel void set(__global int* v) { v[get_global_id(0)] = 5; }", "set");
  cl_mem memory = buffer(1 << 20);
  ASSERT_EQ(clSetKernelArg(set, 0, sizeof memory, &memory), CL_SUCCESS);
  std::array<cl_event, 2> events{};
  run(set, 1 << 18, events.data());
  std::vector<cl_int> into(1 << 18);
  ASSERT_EQ(clEnqueueReadBuffer(queue, memory, CL_TRUE, 0, 1 << 20, into.data(), 0, nullptr, &events[1]), CL_SUCCESS);
  ASSERT_EQ(clWaitForEvents(2, events.data()), CL_SUCCESS);
  cl_ulong before = 0;
  for (cl_event event : events) {
    std::array<cl_ulong, 4> times{};
    for (std::size_t i = 0; i < times.size(); ++i) {
      ASSERT_EQ(clGetEventProfilingInfo(event, static_cast<cl_profiling_info>(CL_PROFILING_COMMAND_QUEUED + i),
                                        sizeof(cl_ulong), &times.at(i), nullptr),
                CL_SUCCESS);
      EXPECT_GE(times.at(i), i == 0 ? 0 : times.at(i - 1));
    }
    EXPECT_GE(times[3], before);
    before = times[2];
    EXPECT_EQ(clReleaseEvent(event), CL_SUCCESS);
  }
  cl_command_type type = 0;
  cl_event marker = nullptr;
  ASSERT_EQ(clEnqueueBarrierWithWaitList(queue, 0, nullptr, &marker), CL_SUCCESS);
  ASSERT_EQ(clGetEventInfo(marker, CL_EVENT_COMMAND_TYPE, sizeof type, &type, nullptr), CL_SUCCESS);
  EXPECT_EQ(type, static_cast<cl_command_type>(CL_COMMAND_BARRIER));
  EXPECT_EQ(clReleaseEvent(marker), CL_SUCCESS);
}

TEST_F(Commands, arguments_are_those_of_the_moment_of_the_enqueue) {
  cl_kernel add = kernel("__kernel void add(__global int* v, int x, __local int* t) { t[0] = x; *v += t[0]; }", "add");
  cl_mem memory = buffer(sizeof(cl_int));
  write(memory, std::vector<cl_int>{0});
  ASSERT_EQ(clSetKernelArg(add, 0, sizeof memory, &memory), CL_SUCCESS);
  ASSERT_EQ(clSetKernelArg(add, 2, 64, nullptr), CL_SUCCESS);
  for (cl_int i = 1; i <= 100; ++i) {
    ASSERT_EQ(clSetKernelArg(add, 1, sizeof i, &i), CL_SUCCESS);
    ASSERT_EQ(clEnqueueTask(queue, add, 0, nullptr, nullptr), CL_SUCCESS);
  }
  EXPECT_EQ(read<cl_int>(memory, 1).front(), 5050);
}

}  // namespace
}  // namespace isthmus::test

// NOLINTEND(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression)
