// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <vector>

#include "test/support/gate.hpp"

namespace isthmus::test {

/// As much of PTX as names kernels and a variable of test/cuda/programs/bodies.cpp. With a GPU's driver these kernels
/// do nothing: the tests need the stand-in.
inline constexpr const char* kernels = R"(
.version 8.0
.target sm_90
.address_size 64
.global .align 4 .b8 room[64];
.visible .entry vector_add(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n) { ret; }
.visible .entry scale_and_add(.param .u64 p0, .param .u32 p1, .param .u32 p2, .param .u32 p3) { ret; }
.visible .entry spin(.param .u64 us, .param .u64 done) { ret; }
.visible .entry write_to(.param .u64 where, .param .u32 value) { ret; }
.visible .entry nothing() { ret; }
)";

/// A test with the first device's primary context, current, and the kernels.
class Cuda : public testing::Test {
 public:
  void SetUp() override {
    ASSERT_EQ(cuInit(0), CUDA_SUCCESS);
    ASSERT_EQ(cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
    ASSERT_EQ(cuModuleLoadData(&module, kernels), CUDA_SUCCESS);
  }
  void TearDown() override { EXPECT_EQ(cuDevicePrimaryCtxRelease(0), CUDA_SUCCESS); }

  CUfunction kernel(const char* name) const {
    CUfunction found = nullptr;
    EXPECT_EQ(cuModuleGetFunction(&found, module, name), CUDA_SUCCESS) << name;
    return found;
  }
  static CUdeviceptr memory(std::size_t bytes) {
    CUdeviceptr made = 0;
    EXPECT_EQ(cuMemAlloc(&made, bytes), CUDA_SUCCESS);
    return made;
  }
  template <class T>
  static T* pinned(std::size_t count) {
    void* made = nullptr;
    EXPECT_EQ(cuMemHostAlloc(&made, count * sizeof(T), 0), CUDA_SUCCESS);
    return static_cast<T*>(made);
  }
  static CUstream stream(unsigned flags = CU_STREAM_NON_BLOCKING) {
    CUstream made = nullptr;
    EXPECT_EQ(cuStreamCreate(&made, flags), CUDA_SUCCESS);
    return made;
  }
  template <class... P>
  static CUresult launch(CUfunction function, CUstream in, P... values) {
    std::array<void*, sizeof...(P) + 1> parameters{static_cast<void*>(&values)...};
    return cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, in, parameters.data(), nullptr);
  }
  /// Keeps a stream busy until the gate is open.
  static void hold(CUstream in, const Gate& gate) {
    EXPECT_EQ(cuLaunchHostFunc(in, Gate::pass, gate.ticket()), CUDA_SUCCESS);
  }
  /// Keeps a stream busy for a while.
  void dawdle(CUstream in, long long milliseconds) const {
    EXPECT_EQ(launch(kernel("spin"), in, milliseconds * 1000, memory(4)), CUDA_SUCCESS);
  }
  template <class T>
  static std::vector<T> read(CUdeviceptr from, std::size_t count) {
    std::vector<T> values(count);
    EXPECT_EQ(cuMemcpyDtoH(values.data(), from, count * sizeof(T)), CUDA_SUCCESS);
    return values;
  }
  template <class T>
  static void write(CUdeviceptr to, const std::vector<T>& values) {
    EXPECT_EQ(cuMemcpyHtoD(to, values.data(), values.size() * sizeof(T)), CUDA_SUCCESS);
  }
  static std::vector<int> numbers(std::size_t count, int first = 0) {
    std::vector<int> values(count);
    for (int& value : values) {
      value = first++;
    }
    return values;
  }

  CUcontext context = nullptr;
  CUmodule module = nullptr;
};

}  // namespace isthmus::test
