// SPDX-License-Identifier: Apache-2.0

// Times calls of OpenCL's, of whatever platform the loader finds first: the same program natively and through Isthmus.
// It reads commands from stdin, one a line, and answers each with one line:
//     platform             the platform's name and version
//     NAME SIZE COUNT      nanoseconds of one call, the mean of COUNT calls; SIZE in bytes, where the call has any
// perf/opencl/bench_opencl drives two of these in turn.

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

void must(cl_int code, const char* what) {
  if (code != CL_SUCCESS) {
    std::fprintf(stderr, "opencl_timings: %s: OpenCL error %d\n", what, code);
    std::exit(1);
  }
}

class Bench {
 public:
  Bench() {
    must(clGetPlatformIDs(1, &platform_, nullptr), "clGetPlatformIDs");
    must(clGetDeviceIDs(platform_, CL_DEVICE_TYPE_ALL, 1, &device_, nullptr), "clGetDeviceIDs");
    cl_int code = CL_SUCCESS;
    context_ = clCreateContext(nullptr, 1, &device_, nullptr, nullptr, &code);
    must(code, "clCreateContext");
    queue_ = clCreateCommandQueue(context_, device_, 0, &code);
    must(code, "clCreateCommandQueue");
    const char* source =
        "__kernel void empty() {}\n"
        "__kernel void taking(__global int* to, int value) { *to = value; }\n";
    program_ = clCreateProgramWithSource(context_, 1, &source, nullptr, &code);
    must(code, "clCreateProgramWithSource");
    must(clBuildProgram(program_, 1, &device_, "", nullptr, nullptr), "clBuildProgram");
    empty_ = clCreateKernel(program_, "empty", &code);
    must(code, "clCreateKernel");
    taking_ = clCreateKernel(program_, "taking", &code);
    must(code, "clCreateKernel");
  }

  std::string platform_name() const {
    return platform_text(CL_PLATFORM_NAME) + ", " + platform_text(CL_PLATFORM_VERSION);
  }

  /// Mean nanoseconds of a call.
  double run(std::string_view name, std::size_t size, std::size_t count) {
    if (size != 0) {
      use_size(size);
    }
    if (name == "set_arg") {
      return time(count, [&](std::size_t i) {
        const auto value = static_cast<cl_int>(i);
        return clSetKernelArg(taking_, 1, sizeof value, &value);
      });
    }
    if (name == "enqueue") {
      const std::size_t one = 1;
      const double each = time(count, [&](std::size_t) {
        return clEnqueueNDRangeKernel(queue_, empty_, 1, nullptr, &one, nullptr, 0, nullptr, nullptr);
      });
      must(clFinish(queue_), "clFinish");
      return each;
    }
    if (name == "query") {
      return time(count, [&](std::size_t) {
        cl_ulong bytes = 0;
        return clGetKernelWorkGroupInfo(empty_, device_, CL_KERNEL_PRIVATE_MEM_SIZE, sizeof bytes, &bytes, nullptr);
      });
    }
    if (name == "write") {
      return time(count, [&](std::size_t) { return write(); });
    }
    if (name == "read") {
      return time(count, [&](std::size_t) { return read(); });
    }
    if (name == "map") {
      const double each = time(count, [&](std::size_t) {
        cl_int code = CL_SUCCESS;
        void* at = clEnqueueMapBuffer(queue_, buffer_, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0, data_.size(), 0, nullptr,
                                      nullptr, &code);
        return code != CL_SUCCESS ? code : clEnqueueUnmapMemObject(queue_, buffer_, at, 0, nullptr, nullptr);
      });
      must(clFinish(queue_), "clFinish");
      return each;
    }
    std::fprintf(stderr, "opencl_timings: %s: no such measurement\n", std::string(name).c_str());
    std::exit(2);
  }

 private:
  std::string platform_text(cl_platform_info parameter) const {
    std::string text(256, '\0');
    std::size_t size = 0;
    must(clGetPlatformInfo(platform_, parameter, text.size(), text.data(), &size), "clGetPlatformInfo");
    text.resize(size - 1);
    return text;
  }

  template <class F>
  static double time(std::size_t count, F call) {
    const auto begin = Clock::now();
    for (std::size_t i = 0; i < count; ++i) {
      must(call(i), "a measured call");
    }
    return std::chrono::duration<double, std::nano>(Clock::now() - begin).count() / static_cast<double>(count);
  }

  // A buffer of that size, whose bytes have been to the device and back.
  void use_size(std::size_t size) {
    if (data_.size() == size) {
      return;
    }
    if (buffer_ != nullptr) {
      must(clReleaseMemObject(std::exchange(buffer_, nullptr)), "clReleaseMemObject");
    }
    data_.assign(size, 0);
    for (std::size_t i = 0; i < size; ++i) {
      data_[i] = static_cast<std::uint8_t>(i * 131 + i / 251);
    }
    cl_int code = CL_SUCCESS;
    buffer_ = clCreateBuffer(context_, CL_MEM_READ_WRITE, size, nullptr, &code);
    must(code, "clCreateBuffer");
    const std::vector<std::uint8_t> expected = data_;
    must(write(), "clEnqueueWriteBuffer");
    data_.assign(size, 0);
    must(read(), "clEnqueueReadBuffer");
    if (data_ != expected) {
      std::fprintf(stderr, "opencl_timings: %zu bytes came back changed\n", size);
      std::exit(1);
    }
  }

  cl_int write() {
    return clEnqueueWriteBuffer(queue_, buffer_, CL_TRUE, 0, data_.size(), data_.data(), 0, nullptr, nullptr);
  }
  cl_int read() {
    return clEnqueueReadBuffer(queue_, buffer_, CL_TRUE, 0, data_.size(), data_.data(), 0, nullptr, nullptr);
  }

  cl_platform_id platform_ = nullptr;
  cl_device_id device_ = nullptr;
  cl_context context_ = nullptr;
  cl_command_queue queue_ = nullptr;
  cl_program program_ = nullptr;
  cl_kernel empty_ = nullptr;
  cl_kernel taking_ = nullptr;
  cl_mem buffer_ = nullptr;
  std::vector<std::uint8_t> data_;
};

}  // namespace

int main() {
  Bench bench;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string name;
    std::size_t size = 0;
    std::size_t count = 0;
    words >> name >> size >> count;
    if (name == "platform") {
      std::cout << bench.platform_name() << std::endl;
    } else {
      std::cout << bench.run(name, size, count) << std::endl;
    }
  }
}
