// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>

#include <algorithm>
#include <span>

#include "test/cuda/calls/device.hpp"

namespace isthmus::test {
namespace {

class Memory : public Cuda {};

TEST_F(Memory, of_any_size_comes_back_as_it_went) {
  // Around the borders of what travels in the message, and of the chunks of a staged copy.
  for (const std::size_t count : {1UL, 1024UL, 4096UL, 4097UL, 262144UL, 262145UL, 3 * 1024 * 1024UL + 7}) {
    const CUdeviceptr there = memory(count * 4);
    const auto values = numbers(count, 3);
    write(there, values);
    EXPECT_EQ(read<int>(there, count), values) << count;
    EXPECT_EQ(cuMemFree(there), CUDA_SUCCESS);
  }
}

TEST_F(Memory, at_an_odd_offset_is_copied_too) {
  const CUdeviceptr there = memory(1 << 20);
  ASSERT_EQ(cuMemsetD8(there, 7, 1 << 20), CUDA_SUCCESS);
  const std::vector<unsigned char> values(100'001, 9);
  ASSERT_EQ(cuMemcpyHtoD(there + 13, values.data(), values.size()), CUDA_SUCCESS);
  const auto all = read<unsigned char>(there, 1 << 20);
  EXPECT_EQ(std::ranges::count(all, 9), 100'001);
  EXPECT_EQ(all[12], 7);
  EXPECT_EQ(all[13], 9);
  EXPECT_EQ(all[13 + 100'000], 9);
  EXPECT_EQ(all[13 + 100'001], 7);
}

TEST_F(Memory, that_is_pinned_is_copied_when_its_turn_comes) {
  constexpr std::size_t count = 1000;
  int* const here = pinned<int>(count);
  const CUdeviceptr there = memory(count * 4);
  CUstream in = stream();
  std::ranges::fill(std::span(here, count), 1);
  Gate gate;
  hold(in, gate);
  ASSERT_EQ(cuMemcpyHtoDAsync(there, here, count * 4, in), CUDA_SUCCESS);
  std::ranges::fill(std::span(here, count), 2);  // before the copy reads it, if nothing has copied it ahead
  ASSERT_EQ(cuStreamQuery(in), CUDA_ERROR_NOT_READY);
  gate.open();
  ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(there, count), std::vector<int>(count, 2));
  ASSERT_EQ(cuMemsetD32Async(there, 5, count, in), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync(here, there, count * 4, in), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
  EXPECT_EQ(std::vector<int>(here, here + count), std::vector<int>(count, 5));
  EXPECT_EQ(cuMemFreeHost(here), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeHost(here), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Memory, that_is_managed_is_set_and_copied_over_the_borders_of_registrations) {
  // The driver refuses each of these in one piece: registrations are of 64 MiB.
  constexpr std::size_t bytes = std::size_t{128} << 20;
  CUdeviceptr managed = 0;
  ASSERT_EQ(cuMemAllocManaged(&managed, bytes, CU_MEM_ATTACH_GLOBAL), CUDA_SUCCESS);
  const CUdeviceptr there = memory(bytes);
  const std::span all(reinterpret_cast<unsigned*>(managed), bytes / 4);  // NOLINT(performance-no-int-to-ptr)
  ASSERT_EQ(cuMemsetD8(managed, 7, bytes), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(std::ranges::count(all, 0x07070707U), bytes / 4);
  ASSERT_EQ(cuMemsetD2D32(managed, 1 << 20, 9, (1 << 18) - 1, 128), CUDA_SUCCESS);  // all but the last of each row
  ASSERT_EQ(cuMemcpyDtoD(there, managed, bytes), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32(managed, 1, bytes / 4), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(std::ranges::count(all, 1U), bytes / 4);
  ASSERT_EQ(cuMemcpyDtoD(managed, there, bytes), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(std::ranges::count(all, 9U), bytes / 4 - 128);
  EXPECT_EQ(std::ranges::count(all, 0x07070707U), 128);
  EXPECT_EQ(cuMemsetD8(managed, 1, bytes + 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemFree(there), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(managed), CUDA_SUCCESS);
}

TEST_F(Memory, that_is_pinned_may_cross_the_borders_of_registrations) {
  // Registered in pieces of 64 MiB: one of these buffers crosses a border, wherever they lie.
  constexpr std::size_t bytes = 65 << 20;
  char* const here = pinned<char>(bytes);
  const CUdeviceptr there = memory(bytes);
  for (std::size_t i = 0; i < bytes; i += 4096) {
    here[i] = static_cast<char>(i / 4096 % 100);
  }
  ASSERT_EQ(cuMemcpyHtoD(there, here, bytes), CUDA_SUCCESS);
  std::memset(here, 0, bytes);
  ASSERT_EQ(cuMemcpyDtoH(here, there, bytes), CUDA_SUCCESS);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < bytes; i += 4096) {
    wrong += here[i] == static_cast<char>(i / 4096 % 100) ? 0 : 1;
  }
  EXPECT_EQ(wrong, 0U);
  EXPECT_EQ(cuMemFreeHost(here), CUDA_SUCCESS);
}

TEST_F(Memory, that_is_ordinary_is_read_before_an_asynchronous_copy_returns) {
  std::vector<int> values(50'000, 1);
  const CUdeviceptr there = memory(values.size() * 4);
  CUstream in = stream();
  ASSERT_EQ(cuMemcpyHtoDAsync(there, values.data(), values.size() * 4, in), CUDA_SUCCESS);
  std::ranges::fill(values, 2);
  ASSERT_EQ(cuMemcpyDtoHAsync(values.data(), there, values.size() * 4, in), CUDA_SUCCESS);
  EXPECT_EQ(values, std::vector<int>(50'000, 1));
}

TEST_F(Memory, is_set_in_bytes_halves_words_and_rows) {
  const CUdeviceptr there = memory(64);
  ASSERT_EQ(cuMemsetD8(there, 1, 64), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD16(there, 0x0202, 2), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32(there + 8, 0x03030303, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD2D8(there + 32, 16, 4, 2, 2), CUDA_SUCCESS);
  const auto all = read<unsigned char>(there, 64);
  std::vector<unsigned char> expected(64, 1);
  std::fill_n(expected.begin(), 4, 2);
  std::fill_n(expected.begin() + 8, 4, 3);
  std::fill_n(expected.begin() + 32, 2, 4);
  std::fill_n(expected.begin() + 48, 2, 4);
  EXPECT_EQ(all, expected);
  EXPECT_EQ(cuMemsetD32(there + 1, 0, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemsetD8(there, 0, 65), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Memory, is_copied_in_boxes_from_and_to_ordinary_and_pinned_memory) {
  constexpr std::size_t width = 20;
  constexpr std::size_t height = 9;
  constexpr std::size_t pitch = 64;
  CUdeviceptr there = 0;
  std::size_t device_pitch = 0;
  ASSERT_EQ(cuMemAllocPitch(&there, &device_pitch, width, height, 4), CUDA_SUCCESS);
  auto* const pinned_rows = pinned<unsigned char>(pitch * height);
  std::vector<unsigned char> ordinary_rows(pitch * height);
  for (unsigned char* const rows : {pinned_rows, ordinary_rows.data()}) {
    for (std::size_t i = 0; i < pitch * height; ++i) {
      rows[i] = static_cast<unsigned char>(i % 251);
    }
    CUDA_MEMCPY2D in{};
    in.srcMemoryType = CU_MEMORYTYPE_HOST;
    in.srcHost = rows;
    in.srcPitch = pitch;
    in.srcXInBytes = 5;
    in.srcY = 1;
    in.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    in.dstDevice = there;
    in.dstPitch = device_pitch;
    in.dstY = 1;
    in.WidthInBytes = width;
    in.Height = height - 1;
    ASSERT_EQ(cuMemsetD2D8(there, device_pitch, 0, width, height), CUDA_SUCCESS);
    ASSERT_EQ(cuMemcpy2D(&in), CUDA_SUCCESS);
    std::memset(rows, 0xee, pitch * height);
    CUDA_MEMCPY2D out{};
    out.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    out.srcDevice = there;
    out.srcPitch = device_pitch;
    out.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
    out.dstDevice = reinterpret_cast<CUdeviceptr>(rows);
    out.dstPitch = pitch;
    out.WidthInBytes = width;
    out.Height = height;
    ASSERT_EQ(cuMemcpy2DAsync(&out, nullptr), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    for (std::size_t y = 0; y < height; ++y) {
      for (std::size_t x = 0; x < pitch; ++x) {
        const unsigned expected = x >= width ? 0xeeU : y == 0 ? 0U : static_cast<unsigned>((y * pitch + x + 5) % 251);
        ASSERT_EQ(unsigned{rows[y * pitch + x]}, expected) << x << ' ' << y;
      }
    }
  }
}

TEST_F(Memory, is_copied_in_three_dimensions) {
  constexpr std::size_t side = 6;
  std::vector<unsigned char> cube(side * side * side);
  for (std::size_t i = 0; i < cube.size(); ++i) {
    cube[i] = static_cast<unsigned char>(i);
  }
  const CUdeviceptr there = memory(cube.size());
  CUDA_MEMCPY3D box{};
  box.srcMemoryType = CU_MEMORYTYPE_HOST;
  box.srcHost = cube.data();
  box.srcPitch = side;
  box.srcHeight = side;
  box.srcXInBytes = box.srcY = box.srcZ = 1;
  box.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  box.dstDevice = there;
  box.dstPitch = 3;
  box.dstHeight = 3;
  box.WidthInBytes = box.Height = box.Depth = 3;
  ASSERT_EQ(cuMemcpy3D(&box), CUDA_SUCCESS);
  const auto corner = read<unsigned char>(there, 27);
  for (std::size_t i = 0; i < 27; ++i) {
    EXPECT_EQ(corner[i], cube[(i / 9 + 1) * side * side + (i / 3 % 3 + 1) * side + i % 3 + 1]) << i;
  }
  box.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  EXPECT_EQ(cuMemcpy3D(&box), CUDA_ERROR_INVALID_HANDLE);
  box.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  box.dstPitch = 2;
  EXPECT_EQ(cuMemcpy3D(&box), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Memory, is_copied_by_address_alone) {
  constexpr std::size_t count = 5000;
  std::vector<int> ordinary = numbers(count);
  int* const fixed = pinned<int>(count);
  const CUdeviceptr a = memory(count * 4);
  const CUdeviceptr b = memory(count * 4);
  const auto at = [](const void* pointer) { return reinterpret_cast<CUdeviceptr>(pointer); };
  ASSERT_EQ(cuMemcpy(a, at(ordinary.data()), count * 4), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpy(b, a, count * 4), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpy(at(fixed), b, count * 4), CUDA_SUCCESS);
  std::ranges::fill(ordinary, 0);
  ASSERT_EQ(cuMemcpy(at(ordinary.data()), at(fixed), count * 4), CUDA_SUCCESS);
  EXPECT_EQ(ordinary, numbers(count));
}

TEST_F(Memory, tells_what_it_is) {
  const CUdeviceptr there = memory(1000);
  int* const here = pinned<int>(100);
  unsigned type = 0;
  ASSERT_EQ(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, there + 999), CUDA_SUCCESS);
  EXPECT_EQ(type, static_cast<unsigned>(CU_MEMORYTYPE_DEVICE));
  ASSERT_EQ(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, reinterpret_cast<CUdeviceptr>(here)),
            CUDA_SUCCESS);
  EXPECT_EQ(type, static_cast<unsigned>(CU_MEMORYTYPE_HOST));
  EXPECT_EQ(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, reinterpret_cast<CUdeviceptr>(&type)),
            CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr base = 0;
  std::size_t size = 0;
  ASSERT_EQ(cuMemGetAddressRange(&base, &size, there + 500), CUDA_SUCCESS);
  EXPECT_EQ(base, there);
  EXPECT_EQ(size, 1000U);
  std::array<CUpointer_attribute, 2> wanted{CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
  int ordinal = 7;
  std::array<void*, 2> to{&type, &ordinal};
  ASSERT_EQ(cuPointerGetAttributes(2, wanted.data(), to.data(), reinterpret_cast<CUdeviceptr>(&type)), CUDA_SUCCESS);
  EXPECT_EQ(type, 0U);
  EXPECT_EQ(ordinal, CU_DEVICE_INVALID);
  unsigned flags = 9;
  EXPECT_EQ(cuMemHostGetFlags(&flags, here), CUDA_SUCCESS);
  EXPECT_EQ(flags, 0U);
}

TEST_F(Memory, that_is_pinned_is_seen_by_kernels_where_the_program_sees_it) {
  int* const here = pinned<int>(1);
  CUdeviceptr there = 0;
  ASSERT_EQ(cuMemHostGetDevicePointer(&there, here, 0), CUDA_SUCCESS);
  EXPECT_EQ(there, reinterpret_cast<CUdeviceptr>(here));
  ASSERT_EQ(launch(kernel("write_to"), nullptr, there, 77), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(*here, 77);
}

TEST_F(Memory, that_is_registered_is_the_programs_and_the_gpus) {
  constexpr std::size_t count = 100'000;
  std::vector<int> values = numbers(count);
  const CUdeviceptr there = memory(count * 4);
  ASSERT_EQ(cuMemHostRegister(values.data(), count * 4, CU_MEMHOSTREGISTER_DEVICEMAP), CUDA_SUCCESS);
  EXPECT_EQ(values, numbers(count)) << "it is what it was";
  EXPECT_EQ(cuMemHostRegister(&values[500], 4, 0), CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  CUstream in = stream();
  Gate gate;
  hold(in, gate);
  ASSERT_EQ(cuMemcpyHtoDAsync(there, &values[3000], 40'000, in), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(in), CUDA_ERROR_NOT_READY);
  values[3001] = -1;  // before the copy reads it
  gate.open();
  ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(there, 3), (std::vector<int>{3000, -1, 3002}));
  ASSERT_EQ(cuMemsetD32(there, 8, count), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoH(values.data(), there, count * 4), CUDA_SUCCESS);  // first and last page are not the slab's
  EXPECT_EQ(values, std::vector<int>(count, 8));
  CUdeviceptr seen = 0;
  ASSERT_EQ(cuMemHostGetDevicePointer(&seen, &values[5000], 0), CUDA_SUCCESS);
  ASSERT_EQ(launch(kernel("write_to"), nullptr, seen, 66), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(values[5000], 66);
  ASSERT_EQ(cuMemHostUnregister(values.data()), CUDA_SUCCESS);
  EXPECT_EQ(cuMemHostUnregister(values.data()), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
  EXPECT_EQ(values[5000], 66);
  EXPECT_EQ(std::ranges::count(values, 8), std::ptrdiff_t{count} - 1);
}

TEST_F(Memory, of_a_file_is_not_registered) {
  const std::size_t bytes = 1 << 16;
  void* const shared = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  EXPECT_EQ(cuMemHostRegister(shared, bytes, 0), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuMemHostRegister(nullptr, 64, 0), CUDA_ERROR_INVALID_VALUE);
  munmap(shared, bytes);
}

TEST_F(Memory, that_is_managed_has_one_address) {
  CUdeviceptr both = 0;
  ASSERT_EQ(cuMemAllocManaged(&both, 4096, CU_MEM_ATTACH_GLOBAL), CUDA_SUCCESS);
  int* const here = reinterpret_cast<int*>(both);  // NOLINT(performance-no-int-to-ptr): that is what it is for
  here[0] = 5;
  const CUdeviceptr there = memory(4096);
  ASSERT_EQ(cuMemcpyDtoD(there, both, 4), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(there, 1)[0], 5);
  ASSERT_EQ(launch(kernel("scale_and_add"), nullptr, both, 10, 3, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(here[0], 53);
  const int value = 9;
  ASSERT_EQ(cuMemcpyHtoD(both + 4, &value, 4), CUDA_SUCCESS);
  EXPECT_EQ(here[1], 9);
  ASSERT_EQ(cuMemsetD32(both + 8, 7, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(here[2], 7);
  CUmemLocation location{};
  location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  EXPECT_EQ(cuMemPrefetchAsync(both, 4096, location, 0, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuMemPrefetchAsync(there, 4096, location, 0, nullptr), CUDA_ERROR_INVALID_VALUE);
  unsigned managed = 0;
  EXPECT_EQ(cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, both), CUDA_SUCCESS);
  EXPECT_EQ(managed, 1U);
  EXPECT_EQ(cuMemFree(both), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(both), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Memory, of_a_pool_comes_and_goes_in_the_order_of_its_stream) {
  CUstream in = stream();
  CUdeviceptr there = 0;
  const auto values = numbers(1000);
  ASSERT_EQ(cuMemAllocAsync(&there, 4000, in), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoDAsync(there, values.data(), 4000, in), CUDA_SUCCESS);
  std::vector<int> back(1000);
  ASSERT_EQ(cuMemcpyDtoHAsync(back.data(), there, 4000, in), CUDA_SUCCESS);
  EXPECT_EQ(back, values);
  EXPECT_EQ(cuMemFreeAsync(there + 4, in), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuMemFreeAsync(there, in), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeAsync(there, in), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyHtoDAsync(there, values.data(), 4000, in), CUDA_ERROR_INVALID_VALUE);
  CUmemoryPool pool = nullptr;
  cuuint64_t threshold = 1 << 20;
  ASSERT_EQ(cuDeviceGetDefaultMemPool(&pool, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold), CUDA_SUCCESS);
  threshold = 0;
  ASSERT_EQ(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold), CUDA_SUCCESS);
  EXPECT_EQ(threshold, 1U << 20);
  ASSERT_EQ(cuMemAllocFromPoolAsync(&there, 64, pool, in), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(there), CUDA_SUCCESS);
  EXPECT_EQ(cuMemPoolTrimTo(pool, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuMemPoolTrimTo(nullptr, 0), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Memory, that_is_not_there_is_an_error_at_once) {
  int host = 0;
  const CUdeviceptr there = memory(64);
  std::vector<char> large(1 << 20);
  EXPECT_EQ(cuMemcpyHtoD(reinterpret_cast<CUdeviceptr>(&host), &host, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyHtoD(there, large.data(), large.size()), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyHtoDAsync(there + 60, &host, 8, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyDtoH(&host, 0x1234'5678, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyDtoH(nullptr, there, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyDtoD(there, there + 32, 64), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemFree(there + 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemFree(there), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(there), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyHtoD(there, &host, 4), CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr none = 0;
  EXPECT_EQ(cuMemAlloc(&none, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemAlloc(&none, std::size_t{1} << 60), CUDA_ERROR_OUT_OF_MEMORY);
  void* nowhere = nullptr;
  EXPECT_EQ(cuMemHostAlloc(&nowhere, std::size_t{1} << 40, 0), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cuMemHostAlloc(&nowhere, 64, 1U << 30), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemFreeHost(&host), CUDA_ERROR_INVALID_VALUE);
}

}  // namespace
}  // namespace isthmus::test
