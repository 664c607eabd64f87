// SPDX-License-Identifier: Apache-2.0
// The test double itself: that it does what a driver does, and refuses what a driver refuses.
#include <cuda.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

// As much of PTX as names a kernel.
constexpr const char* ptx = R"(
// kernels of test/cuda/programs/bodies.cpp
.version 8.0
.target sm_90
.address_size 64
.global .align 4 .b8 room[64];
.visible .entry vector_add(
  .param .u64 vector_add_param_0,
  .param .u64 vector_add_param_1,
  .param .u64 vector_add_param_2,
  .param .u32 vector_add_param_3
) { .reg .b32 %r<2>; { ret; } }
.visible .entry scale_and_add(.param .u64 p0, .param .u32 p1, .param .u32 p2, .param .u32 p3) { ret; }
.visible .entry spin(.param .u64 us, .param .u64 done) { ret; }
.visible .entry write_to(.param .u64 .ptr .align 1 where, .param .u32 value) { ret; }
.visible .entry nothing() { ret; }
.visible .entry nobody_wrote_it(.param .align 8 .b8 big[24], .param .u8 small) { ret; }
)";

/// Holds a stream up until it is opened.
struct Gate {
  void close(CUstream stream) {
    ASSERT_EQ(cuLaunchHostFunc(
                  stream, [](void* data) { static_cast<std::atomic<bool>*>(data)->wait(false); }, &opened),
              CUDA_SUCCESS);
  }
  void open() {
    opened = true;
    opened.notify_all();
  }
  std::atomic<bool> opened{false};
};

struct StandIn : testing::Test {
  void SetUp() override {
    ASSERT_EQ(cuInit(0), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxCreate(&context, nullptr, 0, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuModuleLoadData(&module, ptx), CUDA_SUCCESS);
  }
  void TearDown() override { EXPECT_EQ(cuCtxDestroy(context), CUDA_SUCCESS); }

  CUfunction kernel(const char* name) {
    CUfunction found = nullptr;
    EXPECT_EQ(cuModuleGetFunction(&found, module, name), CUDA_SUCCESS) << name;
    return found;
  }
  CUdeviceptr memory(std::size_t bytes) {
    CUdeviceptr made = 0;
    EXPECT_EQ(cuMemAlloc(&made, bytes), CUDA_SUCCESS);
    return made;
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
  template <class T>
  static T value_at(CUdeviceptr address) {
    T value{};
    EXPECT_EQ(cuMemcpyDtoH(&value, address, sizeof value), CUDA_SUCCESS);
    return value;
  }

  CUcontext context = nullptr;
  CUmodule module = nullptr;
};

TEST_F(StandIn, SaysWhatItIs) {
  std::array<char, 80> name{};
  ASSERT_EQ(cuDeviceGetName(name.data(), name.size(), 0), CUDA_SUCCESS);
  EXPECT_NE(std::string(name.data()).find("test double"), std::string::npos);
}

TEST_F(StandIn, RunsAKernel) {
  constexpr int count = 100;
  std::vector<float> a(count);
  std::vector<float> b(count, 1);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a[i] = static_cast<float>(i);
  }
  const auto bytes = count * sizeof(float);
  const CUdeviceptr da = memory(bytes);
  const CUdeviceptr db = memory(bytes);
  const CUdeviceptr dc = memory(bytes);
  ASSERT_EQ(cuMemcpyHtoD(da, a.data(), bytes), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoD(db, b.data(), bytes), CUDA_SUCCESS);
  int n = count;
  CUdeviceptr pa = da;
  CUdeviceptr pb = db;
  CUdeviceptr pc = dc;
  std::array<void*, 4> parameters{&pa, &pb, &pc, &n};
  ASSERT_EQ(cuLaunchKernel(kernel("vector_add"), 4, 1, 1, 32, 1, 1, 0, nullptr, parameters.data(), nullptr),
            CUDA_SUCCESS);
  std::vector<float> c(count);
  ASSERT_EQ(cuMemcpyDtoH(c.data(), dc, bytes), CUDA_SUCCESS);
  for (int i = 0; i < count; ++i) {
    EXPECT_EQ(c[static_cast<std::size_t>(i)], static_cast<float>(i + 1));
  }
}

TEST_F(StandIn, TellsAKernelsLayout) {
  std::size_t offset = 0;
  std::size_t size = 0;
  ASSERT_EQ(cuFuncGetParamInfo(kernel("nobody_wrote_it"), 1, &offset, &size), CUDA_SUCCESS);
  EXPECT_EQ(offset, 24U);
  EXPECT_EQ(size, 1U);
  EXPECT_EQ(cuFuncGetParamInfo(kernel("nobody_wrote_it"), 2, &offset, &size), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(StandIn, KeepsTheOrderOfAStreamAndOfEvents) {
  CUstream first = stream();
  CUstream second = stream();
  const CUdeviceptr cell = memory(4);
  CUevent event = nullptr;
  Gate gate;
  ASSERT_EQ(cuEventCreate(&event, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(cell, 1, 1, first), CUDA_SUCCESS);
  gate.close(first);
  ASSERT_EQ(launch(kernel("scale_and_add"), first, cell, 10, 2, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(event, first), CUDA_SUCCESS);
  EXPECT_EQ(cuEventQuery(event), CUDA_ERROR_NOT_READY);
  EXPECT_EQ(cuStreamQuery(first), CUDA_ERROR_NOT_READY);
  ASSERT_EQ(cuStreamWaitEvent(second, event, 0), CUDA_SUCCESS);
  ASSERT_EQ(launch(kernel("scale_and_add"), second, cell, 10, 3, 1), CUDA_SUCCESS);
  gate.open();
  ASSERT_EQ(cuStreamSynchronize(second), CUDA_SUCCESS);
  EXPECT_EQ(value_at<int>(cell), 123);
  EXPECT_EQ(cuEventQuery(event), CUDA_SUCCESS);
}

TEST_F(StandIn, TheLegacyStreamWaitsForBlockingOnesAndTheyForIt) {
  CUstream blocking = stream(CU_STREAM_DEFAULT);
  const CUdeviceptr cell = memory(4);
  Gate gate;
  ASSERT_EQ(cuMemsetD32(cell, 1, 1), CUDA_SUCCESS);
  gate.close(blocking);
  ASSERT_EQ(launch(kernel("scale_and_add"), blocking, cell, 10, 2, 1), CUDA_SUCCESS);
  ASSERT_EQ(launch(kernel("scale_and_add"), CU_STREAM_LEGACY, cell, 10, 3, 1), CUDA_SUCCESS);
  ASSERT_EQ(launch(kernel("scale_and_add"), blocking, cell, 10, 4, 1), CUDA_SUCCESS);
  ASSERT_EQ(launch(kernel("scale_and_add"), CU_STREAM_LEGACY, cell, 10, 5, 1), CUDA_SUCCESS);
  gate.open();
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(value_at<int>(cell), 12345);
}

TEST_F(StandIn, OrdinaryMemoryIsReadAtOnceAndPinnedMemoryLater) {
  CUstream in = stream();
  const CUdeviceptr cells = memory(8);
  int ordinary = 1;
  void* pinned = nullptr;
  Gate gate;
  ASSERT_EQ(cuMemHostAlloc(&pinned, 4, 0), CUDA_SUCCESS);
  int& shared = *static_cast<int*>(pinned);
  shared = 1;
  gate.close(in);
  ASSERT_EQ(cuMemcpyHtoDAsync(cells, &ordinary, 4, in), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoDAsync(cells + 4, pinned, 4, in), CUDA_SUCCESS);
  ordinary = 2;
  shared = 2;
  gate.open();
  ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
  EXPECT_EQ(value_at<int>(cells), 1);
  EXPECT_EQ(value_at<int>(cells + 4), 2);
}

TEST_F(StandIn, CapturesStreamsThatForkAndJoin) {
  CUstream first = stream();
  CUstream second = stream();
  const CUdeviceptr cells = memory(8);
  CUevent fork = nullptr;
  CUevent join = nullptr;
  ASSERT_EQ(cuEventCreate(&fork, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuEventCreate(&join, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32(cells, 1, 2), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamBeginCapture(first, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(fork, first), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(second, fork, 0), CUDA_SUCCESS);
  ASSERT_EQ(launch(kernel("scale_and_add"), first, cells, 10, 1, 1), CUDA_SUCCESS);
  ASSERT_EQ(launch(kernel("scale_and_add"), second, cells + 4, 10, 2, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(join, second), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(first, join, 0), CUDA_SUCCESS);
  ASSERT_EQ(launch(kernel("scale_and_add"), first, cells, 10, 3, 2), CUDA_SUCCESS);
  CUgraph graph = nullptr;
  ASSERT_EQ(cuStreamEndCapture(first, &graph), CUDA_SUCCESS);
  EXPECT_EQ(value_at<int>(cells), 1);  // nothing has run
  std::size_t nodes = 0;
  ASSERT_EQ(cuGraphGetNodes(graph, nullptr, &nodes), CUDA_SUCCESS);
  EXPECT_EQ(nodes, 3U);
  CUgraphExec exec = nullptr;
  ASSERT_EQ(cuGraphInstantiate(&exec, graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(exec, first), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(first), CUDA_SUCCESS);
  EXPECT_EQ(value_at<int>(cells), 113);
  EXPECT_EQ(value_at<int>(cells + 4), 123);
  ASSERT_EQ(cuStreamBeginCapture(first, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(first), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(cuStreamEndCapture(first, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(StandIn, MapsMemoryIntoReservedAddresses) {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0};
  std::size_t unit = 0;
  std::size_t before = 0;
  std::size_t free = 0;
  std::size_t total = 0;
  ASSERT_EQ(cuMemGetInfo(&before, &total), CUDA_SUCCESS);
  ASSERT_EQ(cuMemGetAllocationGranularity(&unit, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM), CUDA_SUCCESS);
  CUdeviceptr range = 0;
  ASSERT_EQ(cuMemAddressReserve(&range, 2 * unit, 0, 0, 0), CUDA_SUCCESS);
  std::array<CUmemGenericAllocationHandle, 2> pieces{};
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    ASSERT_EQ(cuMemCreate(&pieces.at(i), unit, &properties, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuMemMap(range + i * unit, unit, 0, pieces.at(i), 0), CUDA_SUCCESS);
  }
  EXPECT_EQ(cuMemsetD8(range, 1, 1), CUDA_ERROR_INVALID_VALUE);  // nobody may use it yet
  const CUmemAccessDesc access{.location = properties.location, .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  ASSERT_EQ(cuMemSetAccess(range, 2 * unit, &access, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD8(range, 5, 2 * unit), CUDA_SUCCESS);  // over both
  EXPECT_EQ(value_at<char>(range + 2 * unit - 1), 5);
  for (const auto piece : pieces) {
    EXPECT_EQ(cuMemRelease(piece), CUDA_SUCCESS);
  }
  ASSERT_EQ(cuMemGetInfo(&free, &total), CUDA_SUCCESS);
  EXPECT_EQ(free, before - 2 * unit);  // as long as it is mapped
  EXPECT_EQ(cuMemAddressFree(range, 2 * unit), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuMemUnmap(range, 2 * unit), CUDA_SUCCESS);
  ASSERT_EQ(cuMemGetInfo(&free, &total), CUDA_SUCCESS);
  EXPECT_EQ(free, before);
  EXPECT_EQ(cuMemAddressFree(range, 2 * unit), CUDA_SUCCESS);
}

TEST_F(StandIn, MemoryOfAPoolGoesInItsStreamsOrder) {
  CUstream in = stream();
  CUdeviceptr cell = 0;
  Gate gate;
  ASSERT_EQ(cuMemAllocAsync(&cell, 4, in), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(cell, 1, 1, in), CUDA_SUCCESS);
  gate.close(in);
  ASSERT_EQ(launch(kernel("scale_and_add"), in, cell, 10, 2, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeAsync(cell, in), CUDA_SUCCESS);
  EXPECT_EQ(cuMemsetD32Async(cell, 1, 1, in), CUDA_ERROR_INVALID_VALUE);  // freed, if not yet gone
  EXPECT_EQ(cuMemFreeAsync(cell, in), CUDA_ERROR_INVALID_VALUE);
  gate.open();
  EXPECT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
}

TEST_F(StandIn, CallbacksRunElsewhereAndMustNotCall) {
  struct Seen {
    std::thread::id thread;
    CUresult code = CUDA_SUCCESS;
  } seen;
  ASSERT_EQ(cuLaunchHostFunc(
                nullptr,
                [](void* data) {
                  auto& to = *static_cast<Seen*>(data);
                  to.thread = std::this_thread::get_id();
                  to.code = cuCtxSynchronize();
                },
                &seen),
            CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_NE(seen.thread, std::this_thread::get_id());
  EXPECT_EQ(seen.code, CUDA_ERROR_NOT_PERMITTED);
}

TEST_F(StandIn, RefusesWrongPointersAndHandles) {
  int host = 0;
  const CUdeviceptr cell = memory(4);
  EXPECT_EQ(cuMemcpyHtoD(reinterpret_cast<CUdeviceptr>(&host), &host, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyHtoD(cell, &host, 8), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyDtoH(reinterpret_cast<void*>(cell), cell, 4), CUDA_ERROR_INVALID_VALUE);  // NOLINT
  EXPECT_EQ(cuMemsetD8(reinterpret_cast<CUdeviceptr>(&host), 1, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemFree(cell + 1), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuMemFree(cell), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(cell), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyHtoD(cell, &host, 4), CUDA_ERROR_INVALID_VALUE);
  CUstream gone = stream();
  ASSERT_EQ(cuStreamDestroy(gone), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(gone), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuMemsetD8Async(memory(4), 1, 4, gone), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuLaunchKernel(kernel("nothing"), 0, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLaunchKernel(kernel("nothing"), 1, 1, 1, 1025, 1, 1, 0, nullptr, nullptr, nullptr),
            CUDA_ERROR_INVALID_VALUE);
}

TEST_F(StandIn, ACopyOverTwoRegistrationsIsRefused) {
  alignas(4096) static std::array<std::byte, 8192> host{};
  ASSERT_EQ(cuMemHostRegister(host.data(), 4096, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemHostRegister(host.data() + 4096, 4096, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuMemHostRegister(host.data(), 4096, 0), CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  const CUdeviceptr to = memory(8192);
  EXPECT_EQ(cuMemcpyHtoD(to, host.data(), 8192), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyHtoD(to, host.data(), 4096), CUDA_SUCCESS);
  EXPECT_EQ(cuMemHostUnregister(host.data()), CUDA_SUCCESS);
  EXPECT_EQ(cuMemHostUnregister(host.data()), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
}

TEST_F(StandIn, AKernelThatWritesElsewhereEndsTheContextAndNoOther) {
  int host = 0;
  ASSERT_EQ(launch(kernel("write_to"), nullptr, &host, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
  CUdeviceptr more = 0;
  EXPECT_EQ(cuMemAlloc(&more, 4), CUDA_ERROR_ILLEGAL_ADDRESS);
  CUcontext other = nullptr;
  ASSERT_EQ(cuCtxCreate(&other, nullptr, 0, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuMemAlloc(&more, 4), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxDestroy(other), CUDA_SUCCESS);
}

TEST_F(StandIn, AKernelWithoutABodyIsLoud) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a forked child has no driver
  std::array<char, 24> big{};
  EXPECT_DEATH(launch(kernel("nobody_wrote_it"), nullptr, big, 'x'), "nobody_wrote_it was launched and has no body");
}

TEST_F(StandIn, GivesNoMoreMemoryThanItHas) {
  std::size_t free = 0;
  std::size_t total = 0;
  ASSERT_EQ(cuMemGetInfo(&free, &total), CUDA_SUCCESS);
  CUdeviceptr all = 0;
  EXPECT_EQ(cuMemAlloc(&all, free + 1), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cuMemAlloc(&all, free), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(all), CUDA_SUCCESS);
}

}  // namespace
