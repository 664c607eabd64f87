// SPDX-License-Identifier: Apache-2.0
#pragma once

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

namespace isthmus::test {

/// `from`, `from` + 1 and so on.
inline std::vector<cl_int> counted(std::size_t count, cl_int from = 0) {
  std::vector<cl_int> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = from + static_cast<cl_int>(i);
  }
  return values;
}

/// A test with the first device, a context and a queue in order. Objects made by the helpers are released at the end.
class OpenCl : public testing::Test {
 public:
  void SetUp() override {
    cl_uint platforms = 0;
    ASSERT_EQ(clGetPlatformIDs(1, &platform, &platforms), CL_SUCCESS);
    ASSERT_EQ(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, nullptr), CL_SUCCESS);
    cl_int code = CL_SUCCESS;
    context = clCreateContext(nullptr, 1, &device, nullptr, nullptr, &code);
    ASSERT_EQ(code, CL_SUCCESS);
    queue = clCreateCommandQueue(context, device, CL_QUEUE_PROFILING_ENABLE, &code);
    ASSERT_EQ(code, CL_SUCCESS);
  }
  void TearDown() override {
    EXPECT_EQ(clFinish(queue), CL_SUCCESS);
    for (cl_kernel kernel : kernels_) {
      EXPECT_EQ(clReleaseKernel(kernel), CL_SUCCESS);
    }
    for (cl_program program : programs_) {
      EXPECT_EQ(clReleaseProgram(program), CL_SUCCESS);
    }
    for (cl_mem buffer : buffers_) {
      EXPECT_EQ(clReleaseMemObject(buffer), CL_SUCCESS);
    }
    EXPECT_EQ(clReleaseCommandQueue(queue), CL_SUCCESS);
    EXPECT_EQ(clReleaseContext(context), CL_SUCCESS);
  }

  cl_mem buffer(std::size_t bytes, cl_mem_flags flags = CL_MEM_READ_WRITE, void* host = nullptr) {
    cl_int code = CL_SUCCESS;
    cl_mem made = clCreateBuffer(context, flags, bytes, host, &code);
    EXPECT_EQ(code, CL_SUCCESS);
    buffers_.push_back(made);
    return made;
  }
  cl_program program(const std::string& source) {
    const char* text = source.c_str();
    cl_int code = CL_SUCCESS;
    cl_program made = clCreateProgramWithSource(context, 1, &text, nullptr, &code);
    EXPECT_EQ(code, CL_SUCCESS);
    return keep(made);
  }
  /// A program that a test has made, if it has.
  cl_program keep(cl_program made) {
    if (made != nullptr) {
      programs_.push_back(made);
    }
    return made;
  }
  cl_kernel kernel(cl_program from, const char* name) {
    cl_int code = CL_SUCCESS;
    cl_kernel made = clCreateKernel(from, name, &code);
    EXPECT_EQ(code, CL_SUCCESS);
    kernels_.push_back(made);
    return made;
  }
  cl_kernel kernel(const std::string& source, const char* name) {
    cl_program built = program(source);
    EXPECT_EQ(clBuildProgram(built, 1, &device, "", nullptr, nullptr), CL_SUCCESS) << log(built);
    return kernel(built, name);
  }
  std::string log(cl_program of) {
    std::size_t size = 0;
    EXPECT_EQ(clGetProgramBuildInfo(of, device, CL_PROGRAM_BUILD_LOG, 0, nullptr, &size), CL_SUCCESS);
    std::string text(size, '\0');
    EXPECT_EQ(clGetProgramBuildInfo(of, device, CL_PROGRAM_BUILD_LOG, size, text.data(), nullptr), CL_SUCCESS);
    return text;
  }
  template <class T>
  std::vector<T> read(cl_mem from, std::size_t count, std::size_t offset = 0) {
    std::vector<T> values(count);
    EXPECT_EQ(clEnqueueReadBuffer(queue, from, CL_TRUE, offset, count * sizeof(T), values.data(), 0, nullptr, nullptr),
              CL_SUCCESS);
    return values;
  }
  template <class T>
  void write(cl_mem to, const std::vector<T>& values, std::size_t offset = 0) {
    EXPECT_EQ(
        clEnqueueWriteBuffer(queue, to, CL_TRUE, offset, values.size() * sizeof(T), values.data(), 0, nullptr, nullptr),
        CL_SUCCESS);
  }
  void run(cl_kernel what, std::size_t items, cl_event* event = nullptr) {
    EXPECT_EQ(clEnqueueNDRangeKernel(queue, what, 1, nullptr, &items, nullptr, 0, nullptr, event), CL_SUCCESS);
  }

  cl_platform_id platform = nullptr;
  cl_device_id device = nullptr;
  cl_context context = nullptr;
  cl_command_queue queue = nullptr;

 private:
  std::vector<cl_mem> buffers_;
  std::vector<cl_program> programs_;
  std::vector<cl_kernel> kernels_;
};

}  // namespace isthmus::test
