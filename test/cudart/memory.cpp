// SPDX-License-Identifier: Apache-2.0
// Memory, copies, fills, streams and events.
#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include "test/cudart/registered.hpp"
#include "test/support/gate.hpp"

namespace isthmus::test {
namespace {

struct CudartMemory : Cudart {};

std::vector<int> counted(std::size_t count) {
  std::vector<int> values(count);
  std::ranges::generate(values, [next = 0]() mutable { return ++next; });
  return values;
}

TEST_F(CudartMemory, allocates_nothing_as_null_and_refuses_too_much) {
  int local = 0;
  void* memory = &local;
  std::size_t pitch = 0;
  EXPECT_EQ(cudaMalloc(&memory, 0), cudaSuccess);
  EXPECT_EQ(memory, nullptr);
  EXPECT_EQ(cudaMallocHost(&memory, 0), cudaSuccess);
  EXPECT_EQ(cudaMallocPitch(&memory, &pitch, 0, 5), cudaSuccess);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(nullptr), cudaSuccess);
  expect_error(cudaMalloc(nullptr, 8), cudaErrorInvalidValue);
  expect_error(cudaMalloc(&memory, std::size_t{1} << 50U), cudaErrorMemoryAllocation);
  expect_error(cudaMallocManaged(&memory, 0, cudaMemAttachGlobal), cudaErrorInvalidValue);
  expect_error(cudaFree(&local), cudaErrorInvalidValue);
}

TEST_F(CudartMemory, copies_in_every_direction) {
  const auto wanted = counted(100);
  constexpr std::size_t size = 400;
  auto* first = device_memory<int>(100);
  auto* second = device_memory<int>(100);
  std::vector<int> got(100);
  EXPECT_EQ(cudaMemcpy(first, wanted.data(), size, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(second, first, size, cudaMemcpyDeviceToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(got.data(), second, size, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(got, wanted);
  std::vector<int> host(100);
  EXPECT_EQ(cudaMemcpy(host.data(), wanted.data(), size, cudaMemcpyHostToHost), cudaSuccess);
  EXPECT_EQ(host, wanted);
  EXPECT_EQ(cudaMemset(first, 0, size), cudaSuccess);
  EXPECT_EQ(cudaMemcpy_ptds(second, first, size, cudaMemcpyDeviceToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync_ptsz(got.data(), second, size, cudaMemcpyDeviceToHost, nullptr), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize_ptsz(nullptr), cudaSuccess);
  EXPECT_EQ(got, std::vector<int>(100));
  EXPECT_EQ(cudaMemcpyPeer(second, 0, first, 0, size), cudaSuccess);
  expect_error(cudaMemcpy(first, wanted.data(), size, static_cast<cudaMemcpyKind>(7)), cudaErrorInvalidMemcpyDirection);
  expect_error(cudaMemcpy(nullptr, wanted.data(), size, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  expect_error(cudaMemcpy(first, nullptr, size, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  expect_error(cudaMemcpyPeer(second, 0, first, 3, size), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaMemcpy(nullptr, nullptr, 0, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(cudaFree(first), cudaSuccess);
  EXPECT_EQ(cudaFree(second), cudaSuccess);
}

TEST_F(CudartMemory, copies_and_fills_rectangles) {
  constexpr std::size_t width = 10 * sizeof(int);
  constexpr std::size_t height = 6;
  void* memory = nullptr;
  std::size_t pitch = 0;
  ASSERT_EQ(cudaMallocPitch(&memory, &pitch, width, height), cudaSuccess);
  EXPECT_GE(pitch, width);
  const auto wanted = counted(60);
  std::vector<int> got(60);
  EXPECT_EQ(cudaMemcpy2D(memory, pitch, wanted.data(), width, width, height, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemset2D(static_cast<std::byte*>(memory) + pitch, pitch, 0, 2 * sizeof(int), 1), cudaSuccess);
  EXPECT_EQ(cudaMemcpy2DAsync(got.data(), width, memory, pitch, width, height, cudaMemcpyDefault, cudaStreamPerThread),
            cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(cudaStreamPerThread), cudaSuccess);
  EXPECT_EQ(got[9], 10);
  EXPECT_EQ(got[10], 0);
  EXPECT_EQ(got[11], 0);
  EXPECT_EQ(got[12], 13);
  EXPECT_EQ(got[59], 60);
  expect_error(cudaMemcpy2D(memory, width - 1, wanted.data(), width, width, height, cudaMemcpyHostToDevice),
               cudaErrorInvalidPitchValue);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

TEST_F(CudartMemory, copies_and_fills_boxes) {
  constexpr cudaExtent extent{.width = 4 * sizeof(int), .height = 3, .depth = 2};
  cudaPitchedPtr box{};
  ASSERT_EQ(cudaMalloc3D(&box, extent), cudaSuccess);
  EXPECT_EQ(box.xsize, extent.width);
  EXPECT_EQ(box.ysize, extent.height);
  auto wanted = counted(24);
  std::vector<int> got(24);
  cudaMemcpy3DParms copy{};
  copy.srcPtr = {.ptr = wanted.data(), .pitch = extent.width, .xsize = extent.width, .ysize = 3};
  copy.dstPtr = box;
  copy.extent = extent;
  copy.kind = cudaMemcpyHostToDevice;
  EXPECT_EQ(cudaMemcpy3D(&copy), cudaSuccess);
  // One line of the second slice is cleared, which leaves a gap between the slices' parts.
  EXPECT_EQ(cudaMemset3D({.ptr = box.ptr, .pitch = box.pitch, .xsize = box.xsize, .ysize = 3}, 0,
                         {.width = sizeof(int), .height = 1, .depth = 2}),
            cudaSuccess);
  copy.srcPtr = box;
  copy.dstPtr = {.ptr = got.data(), .pitch = extent.width, .xsize = extent.width, .ysize = 3};
  copy.kind = cudaMemcpyDeviceToHost;
  EXPECT_EQ(cudaMemcpy3DAsync(&copy, nullptr), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  wanted[0] = 0;
  wanted[12] = 0;
  EXPECT_EQ(got, wanted);
  copy.dstPtr.ptr = nullptr;
  expect_error(cudaMemcpy3D(&copy), cudaErrorInvalidValue);
  expect_error(cudaMemcpy3D(nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(box.ptr), cudaSuccess);
}

TEST_F(CudartMemory, knows_what_a_pointer_is) {
  void* device = nullptr;
  void* host = nullptr;
  void* managed = nullptr;
  int local = 0;
  ASSERT_EQ(cudaMalloc(&device, 64), cudaSuccess);
  ASSERT_EQ(cudaHostAlloc(&host, 64, cudaHostAllocMapped), cudaSuccess);
  ASSERT_EQ(cudaMallocManaged(&managed, 64, cudaMemAttachGlobal), cudaSuccess);
  cudaPointerAttributes attributes{};
  EXPECT_EQ(cudaPointerGetAttributes(&attributes, static_cast<std::byte*>(device) + 5), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
  EXPECT_EQ(attributes.device, 0);
  EXPECT_EQ(attributes.devicePointer, static_cast<std::byte*>(device) + 5);
  EXPECT_EQ(cudaPointerGetAttributes(&attributes, host), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
  EXPECT_EQ(attributes.hostPointer, host);
  EXPECT_EQ(cudaPointerGetAttributes(&attributes, managed), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeManaged);
  EXPECT_EQ(cudaPointerGetAttributes(&attributes, &local), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
  EXPECT_EQ(attributes.device, cudaInvalidDeviceId);
  EXPECT_EQ(attributes.hostPointer, &local);
  void* mapped = nullptr;
  EXPECT_EQ(cudaHostGetDevicePointer(&mapped, host, 0), cudaSuccess);
  EXPECT_NE(mapped, nullptr);
  EXPECT_EQ(cudaFree(device), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(host), cudaSuccess);
  EXPECT_EQ(cudaFree(managed), cudaSuccess);
}

TEST_F(CudartMemory, orders_streams_by_events) {
  cudaStream_t slow = nullptr;
  cudaStream_t next = nullptr;
  cudaEvent_t done = nullptr;
  cudaEvent_t end = nullptr;
  ASSERT_EQ(cudaStreamCreate(&slow), cudaSuccess);
  ASSERT_EQ(cudaStreamCreateWithFlags(&next, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&done), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&end), cudaSuccess);
  auto* memory = device_memory<int>(2);
  const Program& with = program();
  EXPECT_EQ(cudaMemset(memory, 0, 8), cudaSuccess);
  Gate gate;
  EXPECT_EQ(cudaLaunchHostFunc(slow, Gate::pass, gate.ticket()), cudaSuccess);
  EXPECT_EQ(launch(&with.spin, slow, 20000LL, memory + 1), cudaSuccess);
  EXPECT_EQ(launch(&with.write_to, slow, memory, 3), cudaSuccess);
  EXPECT_EQ(cudaStreamQuery(slow), cudaErrorNotReady);
  EXPECT_EQ(cudaGetLastError(), cudaErrorNotReady);
  EXPECT_EQ(cudaEventRecord(done, slow), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(next, done, 0), cudaSuccess);
  EXPECT_EQ(launch(&with.scale_and_add, next, memory, 10, 1, 1), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(end, next), cudaSuccess);
  gate.open();
  EXPECT_EQ(cudaEventSynchronize(end), cudaSuccess);
  EXPECT_EQ(fetch(memory, 1).front(), 31);
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, done, end), cudaSuccess);
  EXPECT_GE(milliseconds, 0);
  EXPECT_EQ(cudaEventDestroy(done), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(end), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(slow), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(next), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

struct Called {
  std::atomic<int> functions{0};
  std::atomic<cudaStream_t> stream{nullptr};
  std::atomic<cudaError_t> status{cudaErrorUnknown};
};

TEST_F(CudartMemory, calls_the_program_back_in_a_streams_order) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  Called called;
  EXPECT_EQ(
      cudaLaunchHostFunc(stream, [](void* data) { ++static_cast<Called*>(data)->functions; }, &called), cudaSuccess);
  EXPECT_EQ(cudaStreamAddCallback(
                stream,
                [](cudaStream_t in, cudaError_t status, void* data) {
                  auto& to = *static_cast<Called*>(data);
                  to.stream = in;
                  to.status = status;
                },
                &called, 0),
            cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(called.functions, 1);
  EXPECT_EQ(called.stream, stream);
  EXPECT_EQ(called.status, cudaSuccess);
  expect_error(cudaStreamAddCallback(stream, nullptr, nullptr, 0), cudaErrorInvalidValue);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST_F(CudartMemory, keeps_launches_of_per_thread_streams_apart_from_the_legacy_stream) {
  auto* memory = device_memory<int>(1);
  int value = 12;
  std::array<void*, 2> arguments{static_cast<void*>(&memory), &value};
  EXPECT_EQ(cudaLaunchKernel_ptsz(&program().write_to, dim3(1), dim3(1), arguments.data(), 0, nullptr), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(cudaStreamPerThread), cudaSuccess);
  EXPECT_EQ(fetch(memory, 1).front(), 12);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

}  // namespace
}  // namespace isthmus::test
