// SPDX-License-Identifier: Apache-2.0

// NOLINTBEGIN(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression): the API takes
// addresses and sizes of its handles, which are pointers.
#include <array>
#include <cstdint>

#include "test/opencl/device.hpp"

namespace isthmus::test {
namespace {

class BadInput : public OpenCl {
 protected:
  // An object of another kind, where one is wanted.
  template <class To, class From>
  static To as(From handle) {
    return reinterpret_cast<To>(handle);  // NOLINT(performance-no-int-to-ptr): wild on purpose
  }
  cl_kernel copying() {
    return kernel("__kernel void copy(__global const int* a, __global int* b, int n) { b[n] = a[n]; }", "copy");
  }
};

TEST_F(BadInput, an_object_of_another_kind_is_no_object_of_this_kind) {
  EXPECT_EQ(clRetainContext(as<cl_context>(queue)), CL_INVALID_CONTEXT);
  EXPECT_EQ(clFinish(as<cl_command_queue>(context)), CL_INVALID_COMMAND_QUEUE);
  EXPECT_EQ(clReleaseMemObject(as<cl_mem>(queue)), CL_INVALID_MEM_OBJECT);
  EXPECT_EQ(clReleaseProgram(as<cl_program>(queue)), CL_INVALID_PROGRAM);
  EXPECT_EQ(clReleaseKernel(as<cl_kernel>(queue)), CL_INVALID_KERNEL);
  EXPECT_EQ(clReleaseEvent(as<cl_event>(queue)), CL_INVALID_EVENT);
  EXPECT_EQ(clGetDeviceInfo(as<cl_device_id>(queue), CL_DEVICE_NAME, 0, nullptr, nullptr), CL_INVALID_DEVICE);
}

TEST_F(BadInput, released_objects_are_refused) {
  cl_int code = CL_SUCCESS;
  cl_mem memory = clCreateBuffer(context, CL_MEM_READ_WRITE, 64, nullptr, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  cl_event gate = clCreateUserEvent(context, &code);
  ASSERT_EQ(clReleaseMemObject(memory), CL_SUCCESS);
  ASSERT_EQ(clReleaseEvent(gate), CL_SUCCESS);
  std::array<cl_int, 16> into{};
  EXPECT_EQ(clReleaseMemObject(memory), CL_INVALID_MEM_OBJECT);
  EXPECT_EQ(clRetainMemObject(memory), CL_INVALID_MEM_OBJECT);
  EXPECT_EQ(clEnqueueReadBuffer(queue, memory, CL_TRUE, 0, 64, into.data(), 0, nullptr, nullptr),
            CL_INVALID_MEM_OBJECT);
  EXPECT_EQ(clSetUserEventStatus(gate, CL_COMPLETE), CL_INVALID_EVENT);
  EXPECT_EQ(clEnqueueMarkerWithWaitList(queue, 1, &gate, nullptr), CL_INVALID_EVENT_WAIT_LIST);
  EXPECT_EQ(clSetKernelArg(copying(), 0, sizeof(cl_mem), &memory), CL_INVALID_MEM_OBJECT);
  // Many new objects later it is still refused.
  for (int i = 0; i < 2000; ++i) {
    cl_mem fresh = clCreateBuffer(context, CL_MEM_READ_WRITE, 64, nullptr, &code);
    ASSERT_EQ(code, CL_SUCCESS);
    EXPECT_NE(fresh, memory);
    ASSERT_EQ(clReleaseMemObject(fresh), CL_SUCCESS);
  }
  EXPECT_EQ(clRetainMemObject(memory), CL_INVALID_MEM_OBJECT);
}

TEST_F(BadInput, an_object_that_others_hold_lives_but_cannot_be_released_twice) {
  cl_int code = CL_SUCCESS;
  cl_context second = clCreateContext(nullptr, 1, &device, nullptr, nullptr, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  cl_command_queue of_second = clCreateCommandQueue(second, device, 0, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  ASSERT_EQ(clReleaseContext(second), CL_SUCCESS);
  EXPECT_EQ(clReleaseContext(second), CL_INVALID_CONTEXT);
  cl_context found = nullptr;
  ASSERT_EQ(clGetCommandQueueInfo(of_second, CL_QUEUE_CONTEXT, sizeof(cl_context), &found, nullptr), CL_SUCCESS);
  EXPECT_EQ(found, second);
  cl_uint devices = 0;
  EXPECT_EQ(clGetContextInfo(found, CL_CONTEXT_NUM_DEVICES, sizeof devices, &devices, nullptr), CL_SUCCESS);
  EXPECT_EQ(clFinish(of_second), CL_SUCCESS);
  EXPECT_EQ(clReleaseCommandQueue(of_second), CL_SUCCESS);
  EXPECT_EQ(clRetainContext(second), CL_INVALID_CONTEXT);
}

TEST_F(BadInput, addresses_that_are_no_objects_are_refused_in_lists_and_arguments) {
  std::uint64_t garbage = 0;
  auto wild = as<cl_event>(&garbage);
  EXPECT_EQ(clEnqueueMarkerWithWaitList(queue, 1, &wild, nullptr), CL_INVALID_EVENT_WAIT_LIST);
  wild = as<cl_event>(std::uintptr_t{0x10});
  EXPECT_EQ(clEnqueueMarkerWithWaitList(queue, 1, &wild, nullptr), CL_INVALID_EVENT_WAIT_LIST);
  wild = as<cl_event>(as<std::uintptr_t>(queue) + 8);
  EXPECT_EQ(clEnqueueMarkerWithWaitList(queue, 1, &wild, nullptr), CL_INVALID_EVENT_WAIT_LIST);
  auto nowhere = as<cl_mem>(std::uintptr_t{0x1000});
  EXPECT_EQ(clSetKernelArg(copying(), 0, sizeof(cl_mem), &nowhere), CL_INVALID_MEM_OBJECT);
  cl_int code = CL_SUCCESS;
  auto no_device = as<cl_device_id>(&garbage);
  const std::array<cl_device_id, 2> devices{device, no_device};
  EXPECT_EQ(clCreateContext(nullptr, 2, devices.data(), nullptr, nullptr, &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_DEVICE);
}

TEST_F(BadInput, absurd_sizes_are_refused) {
  cl_int code = CL_SUCCESS;
  EXPECT_EQ(clCreateBuffer(context, CL_MEM_READ_WRITE, 0, nullptr, &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_BUFFER_SIZE);
  for (const std::size_t size : {SIZE_MAX, SIZE_MAX - 4095, std::size_t{1} << 62, std::size_t{1} << 40}) {
    EXPECT_EQ(clCreateBuffer(context, CL_MEM_READ_WRITE, size, nullptr, &code), nullptr);
    EXPECT_EQ(code, CL_INVALID_BUFFER_SIZE);
  }
  for (const std::size_t length : {SIZE_MAX, std::size_t{1} << 40}) {
    const char* text = "";
    EXPECT_EQ(clCreateProgramWithSource(context, 1, &text, &length, &code), nullptr);
    EXPECT_EQ(code, CL_OUT_OF_HOST_MEMORY);
  }
  cl_mem memory = buffer(4096);
  std::array<std::byte, 16> into{};
  EXPECT_EQ(clEnqueueReadBuffer(queue, memory, CL_TRUE, 4090, 16, into.data(), 0, nullptr, nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueReadBuffer(queue, memory, CL_TRUE, SIZE_MAX - 7, 16, into.data(), 0, nullptr, nullptr),
            CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueWriteBuffer(queue, memory, CL_TRUE, 1, SIZE_MAX, into.data(), 0, nullptr, nullptr),
            CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueMapBuffer(queue, memory, CL_TRUE, CL_MAP_READ, 4096, 1, 0, nullptr, nullptr, &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueCopyBuffer(queue, memory, memory, 0, 8, 16, 0, nullptr, nullptr), CL_MEM_COPY_OVERLAP);
  const std::array<std::size_t, 3> origin{0, 0, 0};
  const std::array<std::size_t, 3> huge{SIZE_MAX, SIZE_MAX, SIZE_MAX};
  EXPECT_EQ(clEnqueueCopyBufferRect(queue, memory, buffer(4096), huge.data(), origin.data(), huge.data(), 0, 0, 0, 0, 0,
                                    nullptr, nullptr),
            CL_INVALID_VALUE);
  const std::array<std::byte, 3> pattern{};
  EXPECT_EQ(clEnqueueFillBuffer(queue, memory, pattern.data(), 3, 0, 12, 0, nullptr, nullptr), CL_INVALID_VALUE);
  cl_event event = nullptr;
  EXPECT_NE(clWaitForEvents(UINT32_MAX, &event), CL_SUCCESS);
}

TEST_F(BadInput, null_is_refused) {
  cl_int code = CL_SUCCESS;
  EXPECT_EQ(clGetPlatformIDs(0, nullptr, nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, nullptr, nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clCreateContext(nullptr, 0, nullptr, nullptr, nullptr, &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_VALUE);
  EXPECT_EQ(clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, 64, nullptr, &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_HOST_PTR);
  EXPECT_EQ(clCreateProgramWithSource(context, 1, nullptr, nullptr, &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueReadBuffer(queue, buffer(64), CL_TRUE, 0, 64, nullptr, 0, nullptr, nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueMarkerWithWaitList(queue, 1, nullptr, nullptr), CL_INVALID_EVENT_WAIT_LIST);
  EXPECT_EQ(clWaitForEvents(0, nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueUnmapMemObject(queue, buffer(64), nullptr, 0, nullptr, nullptr), CL_INVALID_VALUE);
}

TEST_F(BadInput, wrong_arguments_of_kernels_are_refused_at_once) {
  cl_kernel copy = copying();
  cl_mem memory = buffer(64);
  const cl_int n = 3;
  const std::size_t items = 1;
  EXPECT_EQ(clEnqueueNDRangeKernel(queue, copy, 1, nullptr, &items, nullptr, 0, nullptr, nullptr),
            CL_INVALID_KERNEL_ARGS);
  EXPECT_EQ(clSetKernelArg(copy, 3, sizeof n, &n), CL_INVALID_ARG_INDEX);
  EXPECT_EQ(clSetKernelArg(copy, 0, 4, &memory), CL_INVALID_ARG_SIZE);
  EXPECT_EQ(clSetKernelArg(copy, 2, 3, &n), CL_INVALID_ARG_SIZE);
  EXPECT_EQ(clSetKernelArg(copy, 2, 8, &n), CL_INVALID_ARG_SIZE);
  EXPECT_EQ(clSetKernelArg(copy, 2, sizeof n, nullptr), CL_INVALID_ARG_VALUE);
  ASSERT_EQ(clSetKernelArg(copy, 0, sizeof memory, &memory), CL_SUCCESS);
  ASSERT_EQ(clSetKernelArg(copy, 1, sizeof memory, &memory), CL_SUCCESS);
  ASSERT_EQ(clSetKernelArg(copy, 2, sizeof n, &n), CL_SUCCESS);
  const std::array<std::size_t, 3> local{3, 1, 1};
  const std::size_t eight = 8;
  const std::size_t many = std::size_t{1} << 40;
  EXPECT_EQ(clEnqueueNDRangeKernel(queue, copy, 0, nullptr, &eight, nullptr, 0, nullptr, nullptr),
            CL_INVALID_WORK_DIMENSION);
  EXPECT_EQ(clEnqueueNDRangeKernel(queue, copy, 4, nullptr, &eight, nullptr, 0, nullptr, nullptr),
            CL_INVALID_WORK_DIMENSION);
  EXPECT_EQ(clEnqueueNDRangeKernel(queue, copy, 1, nullptr, &eight, local.data(), 0, nullptr, nullptr),
            CL_INVALID_WORK_GROUP_SIZE);
  EXPECT_EQ(clEnqueueNDRangeKernel(queue, copy, 1, nullptr, &many, &many, 0, nullptr, nullptr),
            CL_INVALID_WORK_ITEM_SIZE);
  EXPECT_EQ(clEnqueueNDRangeKernel(queue, copy, 1, nullptr, &items, nullptr, 0, nullptr, nullptr), CL_SUCCESS);

  cl_kernel local_memory = kernel("__kernel void use(__local int* t) { t[0] = 1; }", "use");
  EXPECT_EQ(clSetKernelArg(local_memory, 0, 64, &n), CL_INVALID_ARG_VALUE);
  EXPECT_EQ(clSetKernelArg(local_memory, 0, 0, nullptr), CL_INVALID_ARG_SIZE);
  ASSERT_EQ(clSetKernelArg(local_memory, 0, many, nullptr), CL_SUCCESS);
  EXPECT_EQ(clEnqueueTask(queue, local_memory, 0, nullptr, nullptr), CL_OUT_OF_RESOURCES);
}

TEST_F(BadInput, what_does_not_exist_here_says_so) {
  EXPECT_EQ(clEnqueueNativeKernel(queue, nullptr, nullptr, 0, 0, nullptr, nullptr, 0, nullptr, nullptr),
            CL_INVALID_OPERATION);
}

}  // namespace
}  // namespace isthmus::test

// NOLINTEND(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression)
