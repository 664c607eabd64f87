// SPDX-License-Identifier: Apache-2.0

// What came after OpenCL 1.2. PoCL's device is one of OpenCL 3.0.

// NOLINTBEGIN(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression): the API takes
// addresses and sizes of its handles, which are pointers.
#include <array>
#include <future>
#include <string>
#include <vector>

#include "test/opencl/device.hpp"

namespace isthmus::test {
namespace {

class Newer : public OpenCl {
 public:
  void SetUp() override {
    OpenCl::SetUp();
    cl_version version = 0;
    ASSERT_EQ(clGetDeviceInfo(device, CL_DEVICE_NUMERIC_VERSION, sizeof version, &version, nullptr), CL_SUCCESS);
    ASSERT_EQ(version, CL_MAKE_VERSION(3U, 0U, 0U));
  }
};

TEST_F(Newer, what_cannot_be_kept_is_not_promised) {
  for (const cl_device_info parameter :
       std::array<cl_device_info, 2>{CL_DEVICE_QUEUE_ON_DEVICE_PROPERTIES, CL_DEVICE_DEVICE_ENQUEUE_CAPABILITIES}) {
    cl_bitfield bits = 1;
    EXPECT_EQ(clGetDeviceInfo(device, parameter, sizeof bits, &bits, nullptr), CL_SUCCESS);
    EXPECT_EQ(bits, 0U) << parameter;
  }
  cl_int code = CL_SUCCESS;
  EXPECT_EQ(clCreatePipe(context, 0, 4, 4, nullptr, &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_OPERATION);
  cl_ulong time = 0;
  EXPECT_EQ(clGetHostTimer(device, &time), CL_INVALID_OPERATION);
  EXPECT_EQ(clGetHostTimer(nullptr, &time), CL_INVALID_DEVICE);
  std::array<cl_name_version, 64> extensions{};
  std::size_t size = 0;
  ASSERT_EQ(clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS_WITH_VERSION, sizeof extensions, extensions.data(), &size),
            CL_SUCCESS);
  std::string names;
  for (std::size_t i = 0; i < size / sizeof(cl_name_version); ++i) {
    names += std::string(names.empty() ? "" : " ") + static_cast<const char*>(extensions.at(i).name);
  }
  std::string listed(4096, '\0');
  ASSERT_EQ(clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS, listed.size(), listed.data(), &size), CL_SUCCESS);
  listed.resize(size - 1);
  EXPECT_EQ(names, listed) << "two lists of the same extensions";
}

TEST_F(Newer, a_language_that_the_device_does_not_take_is_refused) {
  std::array<char, 64> languages{};
  ASSERT_EQ(clGetDeviceInfo(device, CL_DEVICE_IL_VERSION, languages.size(), languages.data(), nullptr), CL_SUCCESS);
  std::size_t size = 1;
  ASSERT_EQ(clGetDeviceInfo(device, CL_DEVICE_ILS_WITH_VERSION, 0, nullptr, &size), CL_SUCCESS);
  const bool is_none = languages.front() == '\0';
  EXPECT_EQ(size == 0, is_none);
  const cl_uint garbage = 0xdeadbeef;
  cl_int code = CL_SUCCESS;
  EXPECT_EQ(clCreateProgramWithIL(context, &garbage, sizeof garbage, &code), nullptr);
  EXPECT_EQ(code, is_none ? CL_INVALID_OPERATION : CL_INVALID_VALUE);
  EXPECT_EQ(clCreateProgramWithIL(nullptr, &garbage, sizeof garbage, &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_CONTEXT);
  EXPECT_EQ(clSetProgramSpecializationConstant(program("__kernel void k() {}"), 0, sizeof garbage, &garbage),
            is_none ? CL_INVALID_OPERATION : CL_INVALID_PROGRAM);
}

TEST_F(Newer, objects_tell_the_properties_that_they_were_made_with) {
  cl_int code = CL_SUCCESS;
  const std::array<cl_queue_properties, 3> list{CL_QUEUE_PROPERTIES, CL_QUEUE_PROFILING_ENABLE, 0};
  cl_command_queue made = clCreateCommandQueueWithProperties(context, device, list.data(), &code);
  ASSERT_EQ(code, CL_SUCCESS);
  std::array<cl_queue_properties, 3> told{};
  std::size_t size = 0;
  EXPECT_EQ(clGetCommandQueueInfo(made, CL_QUEUE_PROPERTIES_ARRAY, sizeof told, told.data(), &size), CL_SUCCESS);
  EXPECT_EQ(size, sizeof told);
  EXPECT_EQ(told, list);
  EXPECT_EQ(clReleaseCommandQueue(made), CL_SUCCESS);

  const std::array<cl_mem_properties, 3> unknown{1, 2, 0};
  EXPECT_EQ(clCreateBufferWithProperties(context, unknown.data(), CL_MEM_READ_WRITE, 64, nullptr, &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_PROPERTY);
  const cl_mem_properties none = 0;
  cl_mem memory = clCreateBufferWithProperties(context, &none, CL_MEM_READ_WRITE, 64, nullptr, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  EXPECT_EQ(clGetMemObjectInfo(memory, CL_MEM_PROPERTIES, 0, nullptr, &size), CL_SUCCESS);
  EXPECT_EQ(size, sizeof none);
  EXPECT_EQ(clReleaseMemObject(memory), CL_SUCCESS);

  const std::array<cl_sampler_properties, 3> linear{CL_SAMPLER_FILTER_MODE, CL_FILTER_LINEAR, 0};
  cl_sampler sampler = clCreateSamplerWithProperties(context, linear.data(), &code);
  ASSERT_EQ(code, CL_SUCCESS);
  cl_filter_mode filter = 0;
  EXPECT_EQ(clGetSamplerInfo(sampler, CL_SAMPLER_FILTER_MODE, sizeof filter, &filter, nullptr), CL_SUCCESS);
  EXPECT_EQ(filter, static_cast<cl_filter_mode>(CL_FILTER_LINEAR));
  EXPECT_EQ(clReleaseSampler(sampler), CL_SUCCESS);
}

TEST_F(Newer, a_cloned_kernel_has_arguments_of_its_own) {
  cl_kernel set = kernel("__kernel void set(__global int* v, int x) { *v = x; }", "set");
  cl_mem memory = buffer(sizeof(cl_int));
  cl_int x = 5;
  ASSERT_EQ(clSetKernelArg(set, 0, sizeof memory, &memory), CL_SUCCESS);
  ASSERT_EQ(clSetKernelArg(set, 1, sizeof x, &x), CL_SUCCESS);
  cl_int code = CL_SUCCESS;
  cl_kernel clone = clCloneKernel(set, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  x = 6;
  ASSERT_EQ(clSetKernelArg(set, 1, sizeof x, &x), CL_SUCCESS);
  run(clone, 1);
  EXPECT_EQ(read<cl_int>(memory, 1).front(), 5);
  run(set, 1);
  EXPECT_EQ(read<cl_int>(memory, 1).front(), 6);
  EXPECT_EQ(clReleaseKernel(clone), CL_SUCCESS);
}

TEST_F(Newer, a_launch_of_nothing_is_a_command_that_does_nothing) {
  cl_kernel set = kernel("__kernel void set(__global int* v) { *v = 1; }", "set");
  cl_mem memory = buffer(sizeof(cl_int));
  write(memory, std::vector<cl_int>{7});
  ASSERT_EQ(clSetKernelArg(set, 0, sizeof memory, &memory), CL_SUCCESS);
  cl_event event = nullptr;
  run(set, 0, &event);
  ASSERT_EQ(clWaitForEvents(1, &event), CL_SUCCESS);
  EXPECT_EQ(clReleaseEvent(event), CL_SUCCESS);
  EXPECT_EQ(clEnqueueNDRangeKernel(queue, set, 3, nullptr, nullptr, nullptr, 0, nullptr, nullptr), CL_SUCCESS)
      << "no sizes are sizes of 0";
  EXPECT_EQ(read<cl_int>(memory, 1).front(), 7);
}

TEST_F(Newer, a_contexts_end_is_told) {
  cl_int code = CL_SUCCESS;
  cl_context made = clCreateContext(nullptr, 1, &device, nullptr, nullptr, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  std::promise<void> told;
  const auto tell = [](cl_context, void* data) { static_cast<std::promise<void>*>(data)->set_value(); };
  ASSERT_EQ(clSetContextDestructorCallback(made, tell, &told), CL_SUCCESS);
  EXPECT_EQ(clSetContextDestructorCallback(made, nullptr, nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clReleaseContext(made), CL_SUCCESS);
  told.get_future().wait();
}

}  // namespace
}  // namespace isthmus::test

// NOLINTEND(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression)
