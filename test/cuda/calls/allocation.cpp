// SPDX-License-Identifier: Apache-2.0

// Device memory from the pool. The stand-in has 256 MiB.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <utility>
#include <vector>

#include "test/cuda/calls/device.hpp"

namespace isthmus::test {
namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;

class Allocation : public Cuda {
 public:
  static std::size_t free_memory() {
    std::size_t free = 0;
    std::size_t total = 0;
    EXPECT_EQ(cuMemGetInfo(&free, &total), CUDA_SUCCESS);
    EXPECT_LE(free, total);
    return free;
  }
};

TEST_F(Allocation, is_told_apart_from_its_neighbours) {
  const CUdeviceptr first = memory(1000);
  const CUdeviceptr second = memory(1);
  for (const CUdeviceptr at : {first, second}) {
    EXPECT_EQ(at % 512, 0U);
  }
  CUdeviceptr base = 0;
  std::size_t bytes = 0;
  ASSERT_EQ(cuMemGetAddressRange(&base, &bytes, first + 999), CUDA_SUCCESS);
  EXPECT_EQ(base, first);
  EXPECT_EQ(bytes, 1000U);
  EXPECT_EQ(cuMemGetAddressRange(&base, &bytes, first + 1000), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(cuMemsetD8(first, 1, 1000), CUDA_SUCCESS);
  EXPECT_EQ(cuMemsetD8(first, 1, 1001), CUDA_ERROR_INVALID_VALUE);
  // The host knows nothing of the border between them: what is only the driver's to check otherwise is checked here.
  CUgraph graph = nullptr;
  CUgraphNode node = nullptr;
  CUarray array = nullptr;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  const CUDA_ARRAY_DESCRIPTOR about{.Width = 2048, .Height = 0, .Format = CU_AD_FORMAT_UNSIGNED_INT8, .NumChannels = 1};
  ASSERT_EQ(cuArrayCreate(&array, &about), CUDA_SUCCESS);
  for (const auto& [count, expected] :
       {std::pair(std::size_t{1000}, CUDA_SUCCESS), std::pair(std::size_t{1001}, CUDA_ERROR_INVALID_VALUE)}) {
    CUDA_MEMCPY3D copy{};
    copy.srcMemoryType = copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = copy.dstDevice = first;
    copy.WidthInBytes = count;
    copy.Height = copy.Depth = 1;
    EXPECT_EQ(cuGraphAddMemcpyNode(&node, graph, nullptr, 0, &copy, context), expected) << count;
    const CUDA_MEMSET_NODE_PARAMS set{
        .dst = first, .pitch = 0, .value = 1, .elementSize = 1, .width = count, .height = 1};
    EXPECT_EQ(cuGraphAddMemsetNode(&node, graph, nullptr, 0, &set, context), expected) << count;
    CUDA_MEMCPY2D to_array{};
    to_array.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    to_array.srcDevice = first;
    to_array.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    to_array.dstArray = array;
    to_array.WidthInBytes = count;
    to_array.Height = 1;
    EXPECT_EQ(cuMemcpy2D(&to_array), expected) << count;
  }
  EXPECT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFree(first), CUDA_SUCCESS);
  EXPECT_EQ(cuMemGetAddressRange(&base, &bytes, first), CUDA_ERROR_NOT_FOUND);
  unsigned type = 0;
  EXPECT_EQ(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, first), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemsetD8(first, 1, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyDtoD(second, first, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemFree(first), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemFreeAsync(first, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemFree(second), CUDA_SUCCESS);
}

TEST_F(Allocation, waits_for_work_that_may_use_it_and_for_no_other) {
  CUstream in = stream();
  const CUdeviceptr done = memory(4);
  const CUdeviceptr used = memory(mebibyte);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  Gate gate;
  hold(in, gate);
  ASSERT_EQ(launch(kernel("spin"), in, 100'000LL, done), CUDA_SUCCESS);
  const CUdeviceptr unused = memory(mebibyte);
  ASSERT_EQ(cuMemFree(unused), CUDA_SUCCESS);
  EXPECT_EQ(memory(mebibyte), unused) << "nothing can have used it";
  EXPECT_EQ(cuStreamQuery(in), CUDA_ERROR_NOT_READY) << "nobody has waited";
  ASSERT_EQ(cuMemsetD8Async(used, 7, mebibyte, in), CUDA_SUCCESS);
  gate.open();
  ASSERT_EQ(cuMemFree(used), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(in), CUDA_SUCCESS) << "what is freed is in use no more";
}

TEST_F(Allocation, leaves_as_much_as_there_is) {
  const std::size_t before = free_memory();
  std::vector<CUdeviceptr> all;
  for (int i = 0; i < 100; ++i) {
    all.push_back(memory(mebibyte));
  }
  EXPECT_EQ(free_memory(), before - 100 * mebibyte);
  CUdeviceptr large = 0;
  EXPECT_EQ(cuMemAlloc(&large, before - 90 * mebibyte), CUDA_ERROR_OUT_OF_MEMORY);
  for (const CUdeviceptr one : all) {
    ASSERT_EQ(cuMemFree(one), CUDA_SUCCESS);
  }
  EXPECT_EQ(free_memory(), before);
  // Chunks that are not in use go back to the driver before it is said that there is no memory.
  ASSERT_EQ(cuMemAlloc(&large, before), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), 0U);
  CUdeviceptr none = 0;
  EXPECT_EQ(cuMemAlloc(&none, 1), CUDA_ERROR_OUT_OF_MEMORY);
  ASSERT_EQ(cuMemFree(large), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), before);
}

TEST_F(Allocation, in_a_context_stays_there_and_goes_with_it) {
  const std::size_t before = free_memory();
  CUcontext other = nullptr;
  ASSERT_EQ(cuCtxCreate(&other, nullptr, 0, 0), CUDA_SUCCESS);
  const CUdeviceptr there = memory(mebibyte);
  ASSERT_EQ(cuMemFree(there), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
  const CUdeviceptr here = memory(mebibyte);
  EXPECT_NE(here, there);
  ASSERT_EQ(cuCtxSetCurrent(other), CUDA_SUCCESS);
  EXPECT_EQ(memory(mebibyte), there);
  ASSERT_EQ(cuCtxDestroy(other), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(there), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuMemFree(here), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), before);
  ASSERT_EQ(cuDevicePrimaryCtxReset(0), CUDA_SUCCESS);
  CUcontext again = nullptr;
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&again, 0), CUDA_SUCCESS);
  EXPECT_GE(free_memory(), before);
  EXPECT_EQ(cuMemsetD8(memory(mebibyte), 1, mebibyte), CUDA_SUCCESS) << "of the new context";
}

TEST_F(Allocation, that_is_freed_during_a_capture_is_not_given_out_before_it_is_quiet) {
  CUstream in = stream();
  CUstream captured = stream();
  CUdeviceptr used = memory(mebibyte);
  const CUdeviceptr done = memory(4);
  ASSERT_EQ(cuStreamBeginCapture(captured, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  ASSERT_EQ(launch(kernel("spin"), in, 20'000LL, done), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD8Async(used, 7, mebibyte, in), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFree(used), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(used), CUDA_ERROR_INVALID_VALUE);
  EXPECT_NE(memory(mebibyte), used);
  CUgraph graph = nullptr;
  ASSERT_EQ(cuStreamEndCapture(captured, &graph), CUDA_SUCCESS);
  EXPECT_NE(memory(mebibyte), used) << "nobody has waited for the stream yet";
  const CUdeviceptr next = memory(64);
  ASSERT_EQ(cuMemsetD8Async(next, 1, 64, in), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFree(next), CUDA_SUCCESS);  // waits
  EXPECT_EQ(cuStreamQuery(in), CUDA_SUCCESS);
  used = memory(mebibyte);
  EXPECT_EQ(cuMemFree(used), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  // Where a capture forbids it, it is the driver that says so, and the memory stays.
  const CUdeviceptr stays = memory(64);
  ASSERT_EQ(cuStreamBeginCapture(captured, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(stays), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_NE(cuStreamEndCapture(captured, &graph), CUDA_SUCCESS) << "as with the driver, that has spoilt it";
  EXPECT_EQ(cuMemsetD8(stays, 1, 64), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(stays), CUDA_SUCCESS);
}

TEST_F(Allocation, never_has_the_address_of_something_else) {
  constexpr std::size_t large = 65 * mebibyte;  // the driver's own
  constexpr std::size_t mapped = 32 * mebibyte;
  const CUdeviceptr first = memory(large);
  // The stand-in would put the next one behind this.
  void* const wanted = reinterpret_cast<void*>(first + large + mebibyte);  // NOLINT(performance-no-int-to-ptr)
  void* const ours = mmap(wanted, mapped, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  ASSERT_EQ(ours, wanted) << "the address is taken here already";
  const CUdeviceptr second = memory(large);
  const auto begin = reinterpret_cast<std::uintptr_t>(ours);
  EXPECT_TRUE(second + large <= begin || second >= begin + mapped) << std::hex << second;
  *static_cast<int*>(ours) = 4711;
  ASSERT_EQ(cuMemcpyHtoD(second, ours, 4), CUDA_SUCCESS) << "a host pointer is one";
  EXPECT_EQ(read<int>(second, 1), std::vector<int>(1, 4711));
  EXPECT_EQ(mmap(reinterpret_cast<void*>(second), 4096, PROT_READ,  // NOLINT(performance-no-int-to-ptr)
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
            MAP_FAILED)
      << "nobody else gets the device's addresses";
  EXPECT_EQ(cuMemFree(first), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(second), CUDA_SUCCESS);
  munmap(ours, mapped);
}

TEST_F(Allocation, of_several_threads_is_each_ones_own) {
  std::vector<std::thread> threads;
  for (int number = 1; number <= 4; ++number) {
    threads.emplace_back([this, number] {
      ASSERT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
      CUstream in = stream();
      for (int i = 0; i < 50; ++i) {
        const std::size_t bytes = 4 * static_cast<std::size_t>(1 + i * number % 37 * 1000);
        const CUdeviceptr mine = memory(bytes);
        ASSERT_EQ(cuMemsetD32Async(mine, static_cast<unsigned>(number), bytes / 4, in), CUDA_SUCCESS);
        if (i % 3 == 0) {
          ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
          ASSERT_EQ(read<int>(mine, bytes / 4), std::vector<int>(bytes / 4, number));
        }
        ASSERT_EQ(cuMemFree(mine), CUDA_SUCCESS);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

// Where the endpoint has 72 MiB, 8 for each context, and the stand-in 256 MiB.
class Quota : public Allocation {
 public:
  static CUresult array_of(CUarray* array, std::size_t bytes) {
    const CUDA_ARRAY_DESCRIPTOR about{
        .Width = 1024, .Height = bytes / 4096, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};
    return cuArrayCreate(array, &about);
  }
};

TEST_F(Quota, is_all_that_a_program_can_have) {
  std::size_t free = 0;
  std::size_t total = 0;
  ASSERT_EQ(cuMemGetInfo(&free, &total), CUDA_SUCCESS);
  EXPECT_EQ(total, 72 * mebibyte);
  EXPECT_EQ(free, 64 * mebibyte) << "its context counts";
  ASSERT_EQ(cuDeviceTotalMem(&total, 0), CUDA_SUCCESS);
  EXPECT_EQ(total, 72 * mebibyte);
  const CUdeviceptr first = memory(40 * mebibyte);
  EXPECT_EQ(free_memory(), 24 * mebibyte);
  CUdeviceptr none = 0;
  CUarray array = nullptr;
  std::size_t pitch = 0;
  EXPECT_EQ(cuMemAlloc(&none, 25 * mebibyte), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cuMemAllocPitch(&none, &pitch, 1000, 25 * 1024, 4), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cuMemAllocAsync(&none, 25 * mebibyte, nullptr), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(array_of(&array, 25 * mebibyte), CUDA_ERROR_OUT_OF_MEMORY);
  ASSERT_EQ(array_of(&array, 10 * mebibyte), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAllocAsync(&none, 10 * mebibyte, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), 4 * mebibyte);
  ASSERT_EQ(cuMemFreeAsync(none, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, 25 * mebibyte), CUDA_ERROR_OUT_OF_MEMORY);
  ASSERT_EQ(cuMemFree(first), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), 64 * mebibyte);
  CUcontext other = nullptr;
  ASSERT_EQ(cuCtxCreate(&other, nullptr, 0, 0), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), 56 * mebibyte);
  (void)memory(30 * mebibyte);
  ASSERT_EQ(array_of(&array, 10 * mebibyte), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxDestroy(other), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), 64 * mebibyte) << "it went with its context";
}

TEST_F(Quota, counts_contexts_until_they_are_destroyed_or_reset) {
  std::vector<CUcontext> made(10);
  const auto refused = std::ranges::find_if(
      made, [](CUcontext& other) { return cuCtxCreate(&other, nullptr, 0, 0) == CUDA_ERROR_OUT_OF_MEMORY; });
  EXPECT_EQ(refused - made.begin(), 8) << "beside the primary one";
  for (auto one = made.begin(); one != refused; ++one) {
    EXPECT_EQ(cuCtxDestroy(*one), CUDA_SUCCESS);
  }
  ASSERT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), 64 * mebibyte);
  (void)memory(30 * mebibyte);
  ASSERT_EQ(cuDevicePrimaryCtxReset(0), CUDA_SUCCESS);
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxRelease(0), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), 64 * mebibyte) << "the one after the reset";
}

TEST_F(Quota, is_all_also_behind_a_stream_that_stands) {
  CUstream in = stream();
  std::atomic<bool> goes_on{false};
  ASSERT_EQ(cuLaunchHostFunc(
                in, [](void* flag) { static_cast<std::atomic<bool>*>(flag)->wait(false); }, &goes_on),
            CUDA_SUCCESS);
  CUresult code = CUDA_SUCCESS;
  int times = 0;
  for (; code == CUDA_SUCCESS && times < 10; ++times) {
    CUdeviceptr there = 0;
    code = cuMemAllocAsync(&there, 20 * mebibyte, in);
    if (code == CUDA_SUCCESS) {
      EXPECT_EQ(cuMemFreeAsync(there, in), CUDA_SUCCESS);
    }
  }
  EXPECT_EQ(code, CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(times, 4) << "three of them fit";
  goes_on = true;
  goes_on.notify_all();
  ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), 64 * mebibyte);
}

TEST_F(Quota, counts_what_a_pool_of_the_programs_has_also_when_the_pool_is_destroyed) {
  CUmemPoolProps about{};
  about.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  about.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0};
  CUmemoryPool pool = nullptr;
  CUdeviceptr there = 0;
  CUstream in = stream();
  ASSERT_EQ(cuMemPoolCreate(&pool, &about), CUDA_SUCCESS);
  EXPECT_EQ(cuMemAllocFromPoolAsync(&there, 65 * mebibyte, pool, in), CUDA_ERROR_OUT_OF_MEMORY);
  ASSERT_EQ(cuMemAllocFromPoolAsync(&there, 40 * mebibyte, pool, in), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), 24 * mebibyte);
  ASSERT_EQ(cuMemPoolDestroy(pool), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), 24 * mebibyte) << "the memory is still there";
  ASSERT_EQ(cuMemFreeAsync(there, in), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), 64 * mebibyte);
}

TEST_F(Quota, counts_memory_that_is_mapped_from_its_making_to_its_end) {
  CUmemAllocationProp about{};
  about.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  about.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0};
  CUmemGenericAllocationHandle made = 0;
  CUdeviceptr there = 0;
  EXPECT_EQ(cuMemCreate(&made, 66 * mebibyte, &about, 0), CUDA_ERROR_OUT_OF_MEMORY);
  ASSERT_EQ(cuMemCreate(&made, 40 * mebibyte, &about, 0), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), 24 * mebibyte);
  ASSERT_EQ(cuMemAddressReserve(&there, 80 * mebibyte, 0, 0, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemMap(there, 40 * mebibyte, 0, made, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemMap(there + 40 * mebibyte, 40 * mebibyte, 0, made, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemRelease(made), CUDA_SUCCESS);
  ASSERT_EQ(cuMemUnmap(there, 40 * mebibyte), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), 24 * mebibyte) << "it is mapped once more";
  ASSERT_EQ(cuMemUnmap(there + 40 * mebibyte, 40 * mebibyte), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), 64 * mebibyte);
  EXPECT_EQ(cuMemAddressFree(there, 80 * mebibyte), CUDA_SUCCESS);
}

TEST_F(Quota, that_is_used_up_does_not_keep_memory_from_being_freed_during_a_capture) {
  CUstream in = stream();
  const CUdeviceptr all = memory(64 * mebibyte);
  ASSERT_EQ(cuStreamBeginCapture(in, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(all), CUDA_SUCCESS);
  CUgraph graph = nullptr;
  ASSERT_EQ(cuStreamEndCapture(in, &graph), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(memory(64 * mebibyte)), CUDA_SUCCESS) << "it is there again";
}

TEST_F(Quota, is_shared_with_others) {
  EXPECT_EQ(free_memory(), 16 * mebibyte) << "40 MiB are another's, and its context";
  CUdeviceptr none = 0;
  EXPECT_EQ(cuMemAlloc(&none, 17 * mebibyte), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cuMemFree(memory(16 * mebibyte)), CUDA_SUCCESS);
}

// Run by test_warm.py, which kills the first one: 100 MiB, 40 for each context.
class QuotaOfWarmWorkers : public Allocation {};

TEST_F(QuotaOfWarmWorkers, counts_the_context_of_the_one_that_waits) {
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(100);
  while (free_memory() != 20 * mebibyte && std::chrono::steady_clock::now() < patience) {
    std::this_thread::yield();
  }
  ASSERT_EQ(free_memory(), 20 * mebibyte);
  CUdeviceptr none = 0;
  ASSERT_EQ(cuMemAlloc(&none, 21 * mebibyte), CUDA_ERROR_OUT_OF_MEMORY);
  std::puts("running");
  std::fflush(stdout);
  pause();
}

TEST(QuotaThatIsUsedUp, has_no_room_for_a_context) {
  ASSERT_EQ(cuInit(0), CUDA_SUCCESS);
  CUcontext none = nullptr;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(cuDevicePrimaryCtxRetain(&none, 0), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQ(cuCtxCreate(&none, nullptr, 0, 0), CUDA_ERROR_OUT_OF_MEMORY);
  }
  std::size_t total = 0;
  EXPECT_EQ(cuDeviceTotalMem(&total, 0), CUDA_SUCCESS);
  EXPECT_EQ(total, 100 * mebibyte);
}

}  // namespace
}  // namespace isthmus::test
