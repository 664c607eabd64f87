// SPDX-License-Identifier: Apache-2.0
// Errors, devices, launches, modules, symbols.
#include <cuda.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <thread>

#include "test/cudart/registered.hpp"

namespace isthmus::test {
namespace {

TEST_F(Cudart, remembers_the_last_error_of_each_thread_alone) {
  int* value = nullptr;
  EXPECT_EQ(cudaGetDevice(value), cudaErrorInvalidValue);
  std::thread([] { EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess); }).join();
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess) << "a success does not clear it";
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(Cudart, names_every_error_and_says_what_it_means) {
  EXPECT_STREQ(cudaGetErrorName(cudaSuccess), "cudaSuccess");
  EXPECT_STREQ(cudaGetErrorName(cudaErrorInvalidConfiguration), "cudaErrorInvalidConfiguration");
  EXPECT_STREQ(cudaGetErrorName(cudaErrorUnknown), "cudaErrorUnknown");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorInvalidDeviceFunction), "invalid device function");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorInvalidValue), "invalid argument") << "the driver's";
  EXPECT_STREQ(cudaGetErrorString(static_cast<cudaError_t>(12345)), "unrecognized error code");
}

TEST_F(Cudart, answers_about_devices_before_there_is_a_context) {
  int count = 0;
  int version = 0;
  cudaDeviceProp properties{};
  int warp = 0;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(cudaRuntimeGetVersion(&version), cudaSuccess);
  EXPECT_EQ(version, 13000);
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_EQ(properties.major, 9);
  EXPECT_EQ(properties.warpSize, 32);
  EXPECT_EQ(properties.maxThreadsDim[2], 64);
  EXPECT_EQ(properties.sharedMemPerBlock, 48U * 1024);
  EXPECT_GT(properties.totalGlobalMem, 1U << 20U);
  EXPECT_NE(std::strstr(properties.name, "stand-in"), nullptr) << properties.name;
  EXPECT_EQ(cudaDeviceGetAttribute(&warp, cudaDevAttrWarpSize, 0), cudaSuccess);
  EXPECT_EQ(warp, 32);
  expect_error(cudaGetDeviceProperties(&properties, 1), cudaErrorInvalidDevice);
  expect_error(cudaSetDevice(7), cudaErrorInvalidDevice);
  expect_error(cudaDeviceGetAttribute(&warp, cudaDevAttrWarpSize, -1), cudaErrorInvalidDevice);
  int chosen = -1;
  EXPECT_EQ(cudaChooseDevice(&chosen, &properties), cudaSuccess);
  EXPECT_EQ(chosen, 0);
}

TEST_F(Cudart, launches_through_the_handle_that_generated_code_keeps) {
  auto* memory = device_memory<int>(1);
  cudaKernel_t handle = nullptr;
  ASSERT_EQ(__cudaGetKernel(&handle, &program().write_to), cudaSuccess);
  EXPECT_EQ(__cudaPushCallConfiguration(dim3(2), dim3(3), 0, nullptr), 0U);
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 1;
  cudaStream_t stream = cudaStreamPerThread;
  ASSERT_EQ(__cudaPopCallConfiguration(&grid, &block, &shared_bytes, static_cast<void*>(&stream)), cudaSuccess);
  EXPECT_EQ(grid.x, 2U);
  EXPECT_EQ(block.x, 3U);
  EXPECT_EQ(shared_bytes, 0U);
  EXPECT_EQ(stream, nullptr);
  int value = 41;
  std::array<void*, 2> arguments{static_cast<void*>(&memory), &value};
  EXPECT_EQ(__cudaLaunchKernel(handle, grid, block, arguments.data(), shared_bytes, stream), cudaSuccess);
  EXPECT_EQ(fetch(memory, 1).front(), 41);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

TEST_F(Cudart, refuses_a_configuration_that_nobody_pushed_and_too_deep_a_stack) {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;
  cudaStream_t stream = nullptr;
  const auto pop = [&] {
    return __cudaPopCallConfiguration(&grid, &block, &shared_bytes, static_cast<void*>(&stream));
  };
  expect_error(pop(), cudaErrorMissingConfiguration);
  unsigned depth = 0;
  while (__cudaPushCallConfiguration(dim3(depth + 1), dim3(1), 0, nullptr) == 0) {
    ASSERT_LT(++depth, 1000U);
  }
  expect_error(cudaPeekAtLastError(), cudaErrorInvalidConfiguration);
  for (; depth > 0; --depth) {
    ASSERT_EQ(pop(), cudaSuccess);
    ASSERT_EQ(grid.x, depth) << "the last one first";
  }
  expect_error(pop(), cudaErrorMissingConfiguration);
}

TEST_F(Cudart, tells_what_is_wrong_with_a_launch) {
  const Program& with = program();
  auto* memory = device_memory<int>(1);
  int value = 0;
  std::array<void*, 2> arguments{static_cast<void*>(&memory), &value};
  const auto launch_with = [&](const void* kernel, dim3 grid, dim3 block, std::size_t shared_bytes) {
    return cudaLaunchKernel(kernel, grid, block, arguments.data(), shared_bytes, nullptr);
  };
  expect_error(launch_with(&with.not_registered, dim3(1), dim3(1), 0), cudaErrorInvalidDeviceFunction);
  expect_error(launch_with(&with.no_such_kernel, dim3(1), dim3(1), 0), cudaErrorInvalidDeviceFunction);
  expect_error(launch_with(nullptr, dim3(1), dim3(1), 0), cudaErrorInvalidDeviceFunction);
  expect_error(launch_with(&with.write_to, dim3(0), dim3(1), 0), cudaErrorInvalidValue);
  expect_error(launch_with(&with.write_to, dim3(1), dim3(1024, 2), 0), cudaErrorInvalidValue);
  expect_error(launch_with(&with.write_to, dim3(1), dim3(1, 1, 65), 0), cudaErrorInvalidValue);
  expect_error(launch_with(&with.write_to, dim3(1, 65536), dim3(1), 0), cudaErrorInvalidValue);
  expect_error(launch_with(&with.write_to, dim3(1), dim3(1), 200U << 10U), cudaErrorInvalidValue);
  expect_error(launch_with(&with.write_to, dim3(1), dim3(1), std::size_t{1} << 33U), cudaErrorInvalidValue);
  cudaKernel_t none = nullptr;
  expect_error(__cudaGetKernel(&none, &with.not_registered), cudaErrorInvalidDeviceFunction);
  expect_error(__cudaLaunchKernel(none, dim3(1), dim3(1), nullptr, 0, nullptr), cudaErrorInvalidDeviceFunction);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

TEST_F(Cudart, launches_with_a_configuration_structure_and_cooperatively) {
  auto* memory = device_memory<int>(1);
  int value = 5;
  std::array<void*, 2> arguments{static_cast<void*>(&memory), &value};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(1);
  config.blockDim = dim3(32);
  EXPECT_EQ(cudaLaunchKernelExC(&config, &program().write_to, arguments.data()), cudaSuccess);
  EXPECT_EQ(fetch(memory, 1).front(), 5);
  value = 6;
  EXPECT_EQ(cudaLaunchCooperativeKernel(&program().write_to, dim3(1), dim3(32), arguments.data(), 0, nullptr),
            cudaSuccess);
  EXPECT_EQ(fetch(memory, 1).front(), 6);
  config.blockDim = dim3(0);
  expect_error(cudaLaunchKernelExC(&config, &program().write_to, arguments.data()), cudaErrorInvalidValue);
  expect_error(cudaLaunchKernelExC(nullptr, &program().write_to, arguments.data()), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

TEST_F(Cudart, describes_kernels_and_takes_their_handles_as_functions) {
  cudaFuncAttributes attributes{};
  EXPECT_EQ(cudaFuncGetAttributes(&attributes, &program().write_to), cudaSuccess);
  EXPECT_EQ(attributes.maxThreadsPerBlock, 1024);
  expect_error(cudaFuncGetAttributes(&attributes, &program().not_registered), cudaErrorInvalidDeviceFunction);
  const char* name = nullptr;
  EXPECT_EQ(cudaFuncGetName(&name, &program().write_to), cudaSuccess);
  EXPECT_STREQ(name, "write_to");
  std::size_t at = 0;
  std::size_t size = 0;
  EXPECT_EQ(cudaFuncGetParamInfo(&program().write_to, 1, &at, &size), cudaSuccess);
  EXPECT_EQ(at, 8U);
  EXPECT_EQ(size, 4U);
  int blocks = 0;
  EXPECT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, &program().write_to, 1024, 0), cudaSuccess);
  EXPECT_EQ(blocks, 2);

  cudaKernel_t kernel = nullptr;
  cudaFunction_t function = nullptr;
  auto* memory = device_memory<int>(1);
  EXPECT_EQ(cudaGetKernel(&kernel, &program().write_to), cudaSuccess);
  EXPECT_EQ(launch(kernel, nullptr, memory, 8), cudaSuccess);
  EXPECT_EQ(fetch(memory, 1).front(), 8);
  EXPECT_EQ(cudaGetFuncBySymbol(&function, &program().write_to), cudaSuccess);
  EXPECT_EQ(launch(function, nullptr, memory, 9), cudaSuccess);
  EXPECT_EQ(fetch(memory, 1).front(), 9);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

TEST_F(Cudart, copies_to_and_from_symbols_within_their_bounds) {
  const std::array<int, 8> wanted{1, 2, 3, 4, 5, 6, 7, 8};
  std::array<int, 8> got{};
  Program& with = program();
  EXPECT_EQ(cudaMemcpyToSymbol(&with.table, wanted.data(), sizeof(wanted), 0, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemcpyFromSymbol(got.data(), &with.table, sizeof(got), 0, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(got, wanted);
  EXPECT_EQ(cudaMemcpyFromSymbol(got.data(), &with.table, 8, 24, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(got[0], 7);
  EXPECT_EQ(got[1], 8);
  void* address = nullptr;
  std::size_t size = 0;
  EXPECT_EQ(cudaGetSymbolSize(&size, &with.table), cudaSuccess);
  EXPECT_EQ(size, 32U);
  EXPECT_EQ(cudaGetSymbolAddress(&address, &with.offset), cudaSuccess);
  EXPECT_EQ(launch(&with.write_to, nullptr, static_cast<int*>(address), 77), cudaSuccess);
  EXPECT_EQ(cudaMemcpyFromSymbol(got.data(), &with.offset, 4, 0, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(got[0], 77);
  expect_error(cudaMemcpyToSymbol(&with.table, wanted.data(), 32, 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  expect_error(cudaMemcpyToSymbol(&with.table, wanted.data(), 4, SIZE_MAX, cudaMemcpyHostToDevice),
               cudaErrorInvalidValue);
  expect_error(cudaMemcpyToSymbol(&with.table, wanted.data(), 4, 0, cudaMemcpyDeviceToHost),
               cudaErrorInvalidMemcpyDirection);
  expect_error(cudaGetSymbolAddress(&address, &with.not_registered), cudaErrorInvalidSymbol);
  expect_error(cudaGetSymbolAddress(&address, &with.no_such_variable), cudaErrorInvalidSymbol);
}

TEST_F(Cudart, gives_the_program_the_address_of_a_managed_variable) {
  Program& with = program();
  ASSERT_EQ(__cudaInitModule(with.managed_handle), 1);
  ASSERT_NE(with.counter, nullptr);
  *with.counter = 3;
  EXPECT_EQ(launch(&with.scale_and_add, nullptr, with.counter, 10, 1, 1), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(*with.counter, 31);
  void* address = nullptr;
  EXPECT_EQ(cudaGetSymbolAddress(&address, with.counter), cudaSuccess) << "&variable is its address in host code";
  EXPECT_EQ(address, with.counter);
}

TEST_F(Cudart, loads_and_forgets_a_module_of_its_own) {
  static const char* const ptx = ".version 8.0\n.target sm_90\n.address_size 64\n.visible .entry nothing() { ret; }\n";
  FatBinaryWrapper wrapper{.version = 2, .data = ptx};
  const char host = 0;
  void** handle = __cudaRegisterFatBinary(&wrapper);
  __cudaRegisterFunction(handle, &host, nullptr, "nothing", -1, nullptr, nullptr, nullptr, nullptr, nullptr);
  __cudaRegisterFatBinaryEnd(handle);
  EXPECT_EQ(launch(&host, nullptr), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  __cudaUnregisterFatBinary(handle);
  expect_error(launch(&host, nullptr), cudaErrorInvalidDeviceFunction);
}

TEST_F(Cudart, loads_a_module_once_where_many_threads_use_it_first) {
  static const char* const ptx =
      ".version 8.0\n.target sm_90\n.address_size 64\n.global .align 4 .u32 here;\n"
      ".visible .entry write_to(.param .u64 where, .param .u32 value) { ret; }\n";
  constexpr int rounds = 20;
  constexpr int thread_count = 8;
  for (int round = 0; round < rounds; ++round) {
    FatBinaryWrapper wrapper{.data = ptx};
    std::array<char, 2> host{};
    void** handle = __cudaRegisterFatBinary(&wrapper);
    __cudaRegisterFunction(handle, &host[0], nullptr, "write_to", -1, nullptr, nullptr, nullptr, nullptr, nullptr);
    __cudaRegisterVar(handle, &host[1], nullptr, "here", 0, 4, 0, 0);
    std::array<void*, thread_count> places{};
    std::vector<std::jthread> threads;
    for (int i = 0; i < thread_count; ++i) {
      threads.emplace_back([&, i] {
        auto* memory = device_memory<int>(1);
        EXPECT_EQ(launch(&host[0], cudaStreamPerThread, memory, i), cudaSuccess);
        EXPECT_EQ(cudaStreamSynchronize(cudaStreamPerThread), cudaSuccess);
        EXPECT_EQ(fetch(memory, 1).front(), i);
        EXPECT_EQ(cudaFree(memory), cudaSuccess);
        EXPECT_EQ(cudaGetSymbolAddress(&places[static_cast<std::size_t>(i)], &host[1]), cudaSuccess);
      });
    }
    threads.clear();
    EXPECT_EQ(std::ranges::count(places, places.front()), thread_count) << "one module, one variable";
    __cudaUnregisterFatBinary(handle);
  }
}

TEST_F(Cudart, refuses_what_is_no_image_at_its_first_use) {
  FatBinaryWrapper strange{.version = 3, .data = "x"};
  FatBinaryWrapper text{.data = "this is no image"};
  const char host = 0;
  for (FatBinaryWrapper* wrapper : {&strange, &text}) {
    void** handle = __cudaRegisterFatBinary(wrapper);
    __cudaRegisterFunction(handle, &host, nullptr, "nothing", -1, nullptr, nullptr, nullptr, nullptr, nullptr);
    const cudaError_t error = launch(&host, nullptr);
    EXPECT_EQ(error, wrapper == &strange ? cudaErrorInvalidKernelImage : error);
    EXPECT_NE(error, cudaSuccess);
    EXPECT_EQ(cudaGetLastError(), error);
    __cudaUnregisterFatBinary(handle);
  }
}

TEST_F(Cudart, answers_not_supported_for_what_neither_it_nor_the_driver_has) {
  int device = 0;
  const void* table = nullptr;
  cudaUUID_t id{};
  expect_error(cudaSetValidDevices(&device, 1), cudaErrorNotSupported);
  expect_error(cudaGetExportTable(&table, &id), cudaErrorNotSupported);
  expect_error(cudaDestroyExternalMemory(reinterpret_cast<cudaExternalMemory_t>(&device)), cudaErrorNotSupported);
}

TEST_F(Cudart, finds_the_drivers_entry_points_by_name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult status{};
  EXPECT_EQ(cudaGetDriverEntryPointByVersion("cuMemAlloc", &found, 13000, cudaEnableDefault, &status), cudaSuccess);
  EXPECT_EQ(status, cudaDriverEntryPointSuccess);
  ASSERT_NE(found, nullptr);
  unsigned long long address = 0;
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess) << "which makes a context";
  EXPECT_EQ(reinterpret_cast<int (*)(unsigned long long*, std::size_t)>(found)(&address, 64), 0);
  EXPECT_EQ(cudaFree(reinterpret_cast<void*>(address)), cudaSuccess);  // NOLINT(performance-no-int-to-ptr): so it is
  EXPECT_EQ(cudaGetDriverEntryPointByVersion("cuNoSuchThing", &found, 13000, cudaEnableDefault, &status), cudaSuccess);
  EXPECT_EQ(status, cudaDriverEntryPointSymbolNotFound);
  EXPECT_EQ(found, nullptr);
  found = &status;
  EXPECT_EQ(cudaGetDriverEntryPointByVersion("cuNoSuchThing", &found, 13000, cudaEnableDefault, nullptr), cudaSuccess);
  EXPECT_EQ(found, nullptr);
}

TEST_F(Cudart, gives_every_thread_a_fresh_context_after_a_reset) {
  auto* before = device_memory<int>(1);
  Program& with = program();
  const int value = 5;
  EXPECT_EQ(cudaMemcpyToSymbol(&with.offset, &value, 4, 0, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(cudaDeviceReset(), cudaSuccess);
  expect_error(cudaFree(before), cudaErrorInvalidValue);
  int now = -1;
  EXPECT_EQ(cudaMemcpyFromSymbol(&now, &with.offset, 4, 0, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(now, 0) << "the module was loaded anew";
  std::thread other([&] {
    auto* memory = device_memory<int>(1);
    EXPECT_EQ(launch(&with.write_to, nullptr, memory, 1), cudaSuccess);
    EXPECT_EQ(fetch(memory, 1).front(), 1);
    EXPECT_EQ(cudaDeviceReset(), cudaSuccess);
  });
  other.join();
  auto* memory = device_memory<int>(1);
  EXPECT_EQ(launch(&with.write_to, nullptr, memory, 2), cudaSuccess);
  EXPECT_EQ(fetch(memory, 1).front(), 2);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

TEST_F(Cudart, uses_a_context_that_the_program_made_current_and_leaves_it_alone) {
  CUcontext own = nullptr;
  CUcontext found = nullptr;
  ASSERT_EQ(cudaFree(nullptr), cudaSuccess);
  auto* in_primary = device_memory<int>(1);
  ASSERT_EQ(cuCtxCreate(&own, nullptr, CU_CTX_SCHED_BLOCKING_SYNC, 0), CUDA_SUCCESS);
  auto* in_own = device_memory<int>(1);
  EXPECT_EQ(launch(&program().write_to, nullptr, in_own, 3), cudaSuccess);
  EXPECT_EQ(fetch(in_own, 1).front(), 3);
  unsigned flags = 0;
  EXPECT_EQ(cudaGetDeviceFlags(&flags), cudaSuccess);
  EXPECT_NE(flags & cudaDeviceScheduleBlockingSync, 0U);
  EXPECT_EQ(cudaDeviceReset(), cudaSuccess);
  EXPECT_EQ(cuCtxGetCurrent(&found), CUDA_SUCCESS);
  EXPECT_EQ(found, own);
  EXPECT_EQ(fetch(in_own, 1).front(), 3) << "a reset is for primary contexts";
  EXPECT_EQ(cuCtxDestroy(own), CUDA_SUCCESS);
  EXPECT_EQ(cudaFree(in_primary), cudaSuccess) << "which was not reset either";
  EXPECT_EQ(cudaSetDeviceFlags(cudaDeviceScheduleSpin | cudaDeviceMapHost), cudaSuccess);
  EXPECT_EQ(cudaGetDeviceFlags(&flags), cudaSuccess);
  EXPECT_EQ(flags & cudaDeviceScheduleMask, unsigned{cudaDeviceScheduleSpin});
  EXPECT_EQ(cudaSetDeviceFlags(cudaDeviceScheduleAuto), cudaSuccess);
  expect_error(cudaSetDeviceFlags(0x1000), cudaErrorInvalidValue);
}

TEST_F(Cudart, keeps_a_device_fault_until_the_device_is_reset) {
  EXPECT_EQ(launch(&program().write_to, nullptr, reinterpret_cast<int*>(0x1234), 1), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress) << "reading it does not repair the context";
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaDeviceReset(), cudaSuccess);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

}  // namespace
}  // namespace isthmus::test
