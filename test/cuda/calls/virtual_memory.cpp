// SPDX-License-Identifier: Apache-2.0

// Addresses and memory that are had apart. The stand-in maps in units of 2 MiB.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "test/cuda/calls/device.hpp"

namespace isthmus::test {
namespace {

constexpr CUmemLocation on_first{.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0};

class VirtualMemory : public Cuda {
 public:
  static CUmemAllocationProp properties() {
    CUmemAllocationProp about{};
    about.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    about.location = on_first;
    return about;
  }
  void SetUp() override {
    Cuda::SetUp();
    const auto about = properties();
    ASSERT_EQ(cuMemGetAllocationGranularity(&unit, &about, CU_MEM_ALLOC_GRANULARITY_MINIMUM), CUDA_SUCCESS);
    ASSERT_GT(unit, 0U);
  }
  [[nodiscard]] CUdeviceptr reserved(std::size_t units) const {
    CUdeviceptr at = 0;
    EXPECT_EQ(cuMemAddressReserve(&at, units * unit, 0, 0, 0), CUDA_SUCCESS);
    return at;
  }
  [[nodiscard]] CUmemGenericAllocationHandle made(std::size_t units) const {
    CUmemGenericAllocationHandle handle = 0;
    const auto about = properties();
    EXPECT_EQ(cuMemCreate(&handle, units * unit, &about, 0), CUDA_SUCCESS);
    return handle;
  }
  [[nodiscard]] CUresult allow(CUdeviceptr at, std::size_t units,
                               CUmemAccess_flags flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE) const {
    const CUmemAccessDesc access{.location = on_first, .flags = flags};
    return cuMemSetAccess(at, units * unit, &access, 1);
  }
  template <class T>
  static T attribute(CUpointer_attribute which, CUdeviceptr at) {
    T value{};
    EXPECT_EQ(cuPointerGetAttribute(&value, which, at), CUDA_SUCCESS) << which;
    return value;
  }

  std::size_t unit = 0;
};

TEST_F(VirtualMemory, is_used_like_any_across_its_mappings) {
  const CUdeviceptr at = reserved(3);
  const auto first = made(1);
  const auto second = made(1);
  ASSERT_EQ(cuMemMap(at, unit, 0, first, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemMap(at + unit, unit, 0, second, 0), CUDA_SUCCESS);
  ASSERT_EQ(allow(at, 2), CUDA_SUCCESS);
  const auto values = numbers(unit / 4, 5);
  const CUdeviceptr across = at + unit / 2;
  write(across, values);
  EXPECT_EQ(read<int>(across, values.size()), values);
  std::vector<int> back(values.size());
  ASSERT_EQ(cuMemcpy(reinterpret_cast<CUdeviceptr>(back.data()), across, unit), CUDA_SUCCESS) << "by address";
  EXPECT_EQ(back, values);
  int* const page_locked = pinned<int>(values.size());
  ASSERT_EQ(cuMemcpyDtoHAsync(page_locked, across, unit, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(nullptr), CUDA_SUCCESS);
  EXPECT_EQ(std::vector<int>(page_locked, page_locked + values.size()), values);
  ASSERT_EQ(launch(kernel("write_to"), nullptr, at + 2 * unit - 4, 77), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(at + 2 * unit - 4, 1), std::vector<int>{77});
  EXPECT_EQ(cuMemsetD8(at, 1, 2 * unit), CUDA_SUCCESS);
  EXPECT_EQ(cuMemsetD8(at, 1, 2 * unit + 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(attribute<unsigned>(CU_POINTER_ATTRIBUTE_MEMORY_TYPE, across), CU_MEMORYTYPE_DEVICE);
  EXPECT_EQ(attribute<int>(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, across), 0);
  EXPECT_EQ(attribute<CUdeviceptr>(CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, at + unit), at);
  EXPECT_EQ(attribute<std::size_t>(CU_POINTER_ATTRIBUTE_RANGE_SIZE, at + unit), 3 * unit);
  EXPECT_EQ(attribute<CUdeviceptr>(CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR, at + unit + 1), at + unit);
  EXPECT_EQ(attribute<std::size_t>(CU_POINTER_ATTRIBUTE_MAPPING_SIZE, at), unit);
  unsigned long long flags = 0;
  ASSERT_EQ(cuMemGetAccess(&flags, &on_first, at), CUDA_SUCCESS);
  EXPECT_EQ(flags, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  EXPECT_EQ(cuMemFree(at), CUDA_ERROR_INVALID_VALUE) << "it is mapped, not allocated";
  EXPECT_EQ(cuMemFreeAsync(at, nullptr), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuMemUnmap(at, 2 * unit), CUDA_SUCCESS);
  // What was written is in the memory, wherever that is mapped.
  ASSERT_EQ(cuMemMap(at + 2 * unit, unit, 0, second, 0), CUDA_SUCCESS);
  ASSERT_EQ(allow(at + 2 * unit, 1), CUDA_SUCCESS);
  EXPECT_EQ(read<unsigned char>(at + 3 * unit - 1, 1), std::vector<unsigned char>{1});
  ASSERT_EQ(cuMemUnmap(at + 2 * unit, unit), CUDA_SUCCESS);
  EXPECT_EQ(cuMemRelease(first), CUDA_SUCCESS);
  EXPECT_EQ(cuMemRelease(second), CUDA_SUCCESS);
  EXPECT_EQ(cuMemAddressFree(at, 3 * unit), CUDA_SUCCESS);
}

TEST_F(VirtualMemory, that_nobody_may_use_is_refused_and_nothing_worse) {
  const CUdeviceptr at = reserved(2);
  const auto memory = made(1);
  int value = 1;
  const auto host = reinterpret_cast<CUdeviceptr>(&value);
  const auto refuses = [&](CUdeviceptr there) {
    EXPECT_EQ(cuMemcpyHtoD(there, &value, 4), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(cuMemcpyDtoH(&value, there, 4), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(cuMemcpy(there, host, 4), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(cuMemcpy(host, there, 4), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(cuMemsetD32(there, 1, 1), CUDA_ERROR_INVALID_VALUE);
  };
  refuses(at);
  ASSERT_EQ(cuMemMap(at, unit, 0, memory, 0), CUDA_SUCCESS);
  refuses(at);
  ASSERT_EQ(allow(at, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyHtoD(at, &value, 4), CUDA_SUCCESS);
  refuses(at + unit - 2);
  refuses(at + unit);
  EXPECT_EQ(cuMemAddressFree(at, 2 * unit), CUDA_ERROR_INVALID_VALUE) << "still mapped";
  ASSERT_EQ(cuMemUnmap(at, unit), CUDA_SUCCESS);
  refuses(at);
  EXPECT_EQ(cuMemRelease(memory), CUDA_SUCCESS);
  EXPECT_EQ(cuMemAddressFree(at, unit), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemAddressFree(at, 2 * unit), CUDA_SUCCESS);
  EXPECT_EQ(cuMemAddressFree(at, 2 * unit), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(VirtualMemory, is_there_as_long_as_it_has_a_handle_or_is_mapped) {
  const CUdeviceptr at = reserved(1);
  const auto memory = made(1);
  CUmemAllocationProp about{};
  ASSERT_EQ(cuMemGetAllocationPropertiesFromHandle(&about, memory), CUDA_SUCCESS);
  EXPECT_EQ(about.location.type, CU_MEM_LOCATION_TYPE_DEVICE);
  EXPECT_EQ(about.location.id, 0);
  ASSERT_EQ(cuMemMap(at, unit, 0, memory, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemRelease(memory), CUDA_SUCCESS);
  EXPECT_EQ(cuMemRelease(memory), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemMap(at, unit, 0, memory, 0), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(allow(at, 1), CUDA_SUCCESS);
  write(at, numbers(100));
  CUmemGenericAllocationHandle again = 0;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the interface wants a pointer
  ASSERT_EQ(cuMemRetainAllocationHandle(&again, reinterpret_cast<void*>(at + 100)), CUDA_SUCCESS);
  EXPECT_EQ(cuMemRetainAllocationHandle(&again, &again), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuMemUnmap(at, unit), CUDA_SUCCESS);
  ASSERT_EQ(cuMemMap(at, unit, 0, again, 0), CUDA_SUCCESS);
  ASSERT_EQ(allow(at, 1), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(at, 100), numbers(100));
  ASSERT_EQ(cuMemRelease(again), CUDA_SUCCESS);
  ASSERT_EQ(cuMemUnmap(at, unit), CUDA_SUCCESS);
  EXPECT_EQ(cuMemGetAllocationPropertiesFromHandle(&about, again), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemAddressFree(at, unit), CUDA_SUCCESS);
}

TEST_F(VirtualMemory, that_cannot_be_is_refused) {
  const CUdeviceptr at = reserved(2);
  const auto memory = made(1);
  CUdeviceptr none = 0;
  CUmemGenericAllocationHandle handle = 0;
  EXPECT_EQ(cuMemAddressReserve(nullptr, unit, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemAddressReserve(&none, 0, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemAddressReserve(&none, unit + 1, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
  auto about = properties();
  EXPECT_EQ(cuMemCreate(&handle, unit / 2, &about, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemCreate(&handle, std::size_t{1} << 50, &about, 0), CUDA_ERROR_OUT_OF_MEMORY);
  about.location.id = 64;
  EXPECT_EQ(cuMemCreate(&handle, unit, &about, 0), CUDA_ERROR_INVALID_DEVICE);
  about = properties();
  about.requestedHandleTypes = CU_MEM_HANDLE_TYPE_FABRIC;
  EXPECT_EQ(cuMemCreate(&handle, unit, &about, 0), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuMemMap(at, 2 * unit, 0, memory, 0), CUDA_ERROR_NOT_SUPPORTED) << "there is not so much of it";
  EXPECT_EQ(cuMemMap(at, unit, unit, memory, 0), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuMemMap(at + 2 * unit, unit, 0, memory, 0), CUDA_ERROR_INVALID_VALUE) << "not reserved";
  EXPECT_EQ(cuMemMap(at, unit, 0, memory + 1, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(allow(at, 1), CUDA_ERROR_INVALID_VALUE) << "nothing is mapped";
  ASSERT_EQ(cuMemMap(at, unit, 0, memory, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuMemMap(at, unit, 0, memory, 0), CUDA_ERROR_INVALID_VALUE) << "mapped already";
  EXPECT_EQ(allow(at, 2), CUDA_ERROR_INVALID_VALUE) << "half of it is mapped";
  EXPECT_EQ(cuMemUnmap(at, unit / 2), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemUnmap(at + unit / 2, unit), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemUnmap(memory, unit), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemUnmap(at, 2 * unit), CUDA_SUCCESS) << "as the driver does where not all of it is mapped";
  EXPECT_EQ(cuMemUnmap(at, unit), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyHtoD(at, &about, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemRelease(memory), CUDA_SUCCESS);
  EXPECT_EQ(cuMemRelease(0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemAddressFree(at, 2 * unit), CUDA_SUCCESS);
}

}  // namespace
}  // namespace isthmus::test
