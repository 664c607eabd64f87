// SPDX-License-Identifier: Apache-2.0
// What kernels print, and what they assert, among what the program prints itself.
#include <cassert>

#include "programs.hpp"

extern "C" __global__ void say_lines(int first, int count) {
  for (int i = first; i < first + count; ++i) {
    printf("kernel: line %d, %s\n", i, "0123456789012345678901234567890123456789");
  }
}

extern "C" __global__ void assert_below(int value, int most) { assert(value < most); }

// The program writes to a buffer of the C library: only what goes through the same buffer keeps its place in it.
int run_printing() {
  const char* given = std::getenv("CUDA_PROGRAMS_LINES");
  const int many = given != nullptr ? std::atoi(given) : 20;
  int* device = device_memory<int>(1);
  std::printf("before\n");
  say_lines<<<1, 1>>>(0, 2);
  CHECK(cudaDeviceSynchronize());
  std::printf("between\n");
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  say_lines<<<1, 1, 0, stream>>>(2, 1);
  CHECK(cudaStreamSynchronize(stream));
  std::printf("a copy that is waited for\n");
  say_lines<<<1, 1>>>(3, 1);
  int got = 0;
  CHECK(cudaMemcpy(&got, device, sizeof got, cudaMemcpyDeviceToHost));
  std::printf("an event, and many lines\n");
  cudaEvent_t event = nullptr;
  CHECK(cudaEventCreate(&event));
  say_lines<<<1, 1, 0, stream>>>(4, many);
  CHECK(cudaEventRecord(event, stream));
  CHECK(cudaEventSynchronize(event));
  std::printf("the device is reset\n");
  say_lines<<<1, 1>>>(4 + many, 1);
  CHECK(cudaDeviceReset());
  std::printf("after\n");
  return 0;
}

int run_assertion() {
  assert_below<<<1, 1>>>(1, 2);
  CHECK(cudaDeviceSynchronize());
  assert_below<<<1, 1>>>(2, 2);
  const cudaError_t code = cudaDeviceSynchronize();
  std::printf("assertion: %s\n", cudaGetErrorName(code));
  return 0;
}
