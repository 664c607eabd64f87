// SPDX-License-Identifier: Apache-2.0

// Pools of memory in the order of streams that the program makes.

#include <cstddef>
#include <cstdint>
#include <utility>

#include "test/cuda/calls/device.hpp"

namespace isthmus::test {
namespace {

constexpr CUmemLocation first_device{.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0};

class Pools : public Cuda {
 public:
  static CUmemPoolProps properties() {
    CUmemPoolProps about{};
    about.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    about.handleTypes = CU_MEM_HANDLE_TYPE_NONE;
    about.location = first_device;
    return about;
  }
  static CUmemoryPool pool() {
    CUmemoryPool made = nullptr;
    const CUmemPoolProps about = properties();
    EXPECT_EQ(cuMemPoolCreate(&made, &about), CUDA_SUCCESS);
    return made;
  }
  static std::uint64_t attribute(CUmemoryPool of, CUmemPool_attribute which) {
    cuuint64_t value = 0;
    EXPECT_EQ(cuMemPoolGetAttribute(of, which, &value), CUDA_SUCCESS);
    return value;
  }
  static CUmemoryPool in_use() {
    CUmemoryPool pool = nullptr;
    EXPECT_EQ(cuDeviceGetMemPool(&pool, 0), CUDA_SUCCESS);
    return pool;
  }
  static CUmemoryPool own() {
    CUmemoryPool pool = nullptr;
    EXPECT_EQ(cuDeviceGetDefaultMemPool(&pool, 0), CUDA_SUCCESS);
    return pool;
  }
  static CUmemoryPool pool_of(CUdeviceptr address) {
    CUmemoryPool pool = nullptr;
    EXPECT_EQ(cuPointerGetAttribute(static_cast<void*>(&pool), CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, address),
              CUDA_SUCCESS);
    return pool;
  }
};

TEST_F(Pools, of_the_program_give_what_is_asked_of_them) {
  CUstream in = stream();
  CUmemoryPool mine = pool();
  EXPECT_NE(mine, own());
  CUdeviceptr there = 0;
  const std::uint64_t before = attribute(own(), CU_MEMPOOL_ATTR_USED_MEM_CURRENT);
  ASSERT_EQ(cuMemAllocFromPoolAsync(&there, 4096, mine, in), CUDA_SUCCESS);
  EXPECT_EQ(attribute(mine, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), 4096U);
  EXPECT_EQ(attribute(own(), CU_MEMPOOL_ATTR_USED_MEM_CURRENT), before) << "it came from the other";
  EXPECT_EQ(pool_of(there), mine);
  cuuint64_t threshold = 1 << 21;
  ASSERT_EQ(cuMemPoolSetAttribute(mine, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold), CUDA_SUCCESS);
  EXPECT_EQ(attribute(mine, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD), threshold);
  EXPECT_NE(attribute(own(), CU_MEMPOOL_ATTR_RELEASE_THRESHOLD), threshold);
  const auto values = numbers(1024);
  ASSERT_EQ(cuMemcpyHtoDAsync(there, values.data(), 4096, in), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(there, 1024), values);
  // What is there outlives its pool.
  ASSERT_EQ(cuMemPoolDestroy(mine), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(there, 1024), values);
  EXPECT_EQ(cuMemFreeAsync(there, in), CUDA_SUCCESS);
  EXPECT_EQ(cuMemPoolTrimTo(mine, 0), CUDA_ERROR_INVALID_VALUE);
  // As a driver on an H100 does with no bytes.
  EXPECT_EQ(cuMemAllocFromPoolAsync(&there, 0, own(), in), CUDA_SUCCESS);
  EXPECT_EQ(there, 0U);
  EXPECT_EQ(cuMemFreeAsync(there, in), CUDA_SUCCESS);
  EXPECT_EQ(cuMemAllocFromPoolAsync(&there, 4096, mine, in), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Pools, can_be_a_devices_until_they_are_destroyed) {
  CUmemoryPool mine = pool();
  EXPECT_EQ(in_use(), own());
  ASSERT_EQ(cuDeviceSetMemPool(0, mine), CUDA_SUCCESS);
  EXPECT_EQ(in_use(), mine);
  CUmemoryPool asked = nullptr;
  CUmemLocation where = first_device;
  ASSERT_EQ(cuMemGetMemPool(&asked, &where, CU_MEM_ALLOCATION_TYPE_PINNED), CUDA_SUCCESS);
  EXPECT_EQ(asked, mine);
  CUdeviceptr there = 0;
  ASSERT_EQ(cuMemAllocAsync(&there, 512, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(pool_of(there), mine);
  EXPECT_EQ(attribute(mine, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), 512U);
  ASSERT_EQ(cuMemFreeAsync(there, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(nullptr), CUDA_SUCCESS);
  EXPECT_EQ(attribute(mine, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), 0U);
  ASSERT_EQ(cuMemPoolDestroy(mine), CUDA_SUCCESS);
  EXPECT_EQ(in_use(), own());
  ASSERT_EQ(cuMemAllocAsync(&there, 512, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(pool_of(there), own());
  EXPECT_EQ(cuMemFree(there), CUDA_SUCCESS);
}

TEST_F(Pools, tell_who_has_access) {
  CUmemoryPool mine = pool();
  CUmemLocation where = first_device;
  CUmemAccess_flags flags = CU_MEM_ACCESS_FLAGS_PROT_NONE;
  ASSERT_EQ(cuMemPoolGetAccess(&flags, mine, &where), CUDA_SUCCESS);
  EXPECT_EQ(flags, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  CUmemAccessDesc access{.location = where, .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  EXPECT_EQ(cuMemPoolSetAccess(mine, &access, 1), CUDA_SUCCESS);
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_NONE;
  EXPECT_EQ(cuMemPoolSetAccess(mine, &access, 1), CUDA_ERROR_INVALID_DEVICE);
  access.flags = static_cast<CUmemAccess_flags>(2);
  EXPECT_EQ(cuMemPoolSetAccess(mine, &access, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPoolSetAccess(mine, nullptr, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPoolSetAccess(mine, &access, 0), CUDA_SUCCESS);
  where.id = 64;
  EXPECT_EQ(cuMemPoolGetAccess(&flags, mine, &where), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPoolDestroy(mine), CUDA_SUCCESS);
}

TEST_F(Pools, that_cannot_be_are_refused) {
  CUmemoryPool made = nullptr;
  auto about = properties();
  EXPECT_EQ(cuMemPoolCreate(nullptr, &about), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPoolCreate(&made, nullptr), CUDA_ERROR_INVALID_VALUE);
  about.handleTypes = CU_MEM_HANDLE_TYPE_FABRIC;
  EXPECT_EQ(cuMemPoolCreate(&made, &about), CUDA_ERROR_NOT_SUPPORTED);
  about = properties();
  about.location.type = CU_MEM_LOCATION_TYPE_HOST;
  EXPECT_EQ(cuMemPoolCreate(&made, &about), CUDA_ERROR_NOT_SUPPORTED);
  about = properties();
  about.location.id = 64;
  EXPECT_EQ(cuMemPoolCreate(&made, &about), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPoolDestroy(own()), CUDA_ERROR_INVALID_VALUE) << "it is the device's";
  CUmemoryPool mine = pool();
  EXPECT_EQ(cuDeviceSetMemPool(64, mine), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPoolDestroy(mine), CUDA_SUCCESS);
  EXPECT_EQ(cuMemPoolDestroy(mine), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceSetMemPool(0, mine), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPoolDestroy(nullptr), CUDA_ERROR_INVALID_VALUE);
}

}  // namespace
}  // namespace isthmus::test
