// SPDX-License-Identifier: Apache-2.0
// Entry points that describe devices. The stand-in's have an H100's numbers where programs compute with them, and a
// name that says what they are.
#include <cuda.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <map>
#include <string_view>

#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/settings.hpp"

namespace isthmus::standin {
namespace {

constexpr std::string_view device_name = "Isthmus stand-in (test double, no GPU)";
constexpr int first_bus = 0x10;

int device_attribute(CUdevice_attribute attribute, CUdevice device) {
  static const std::map<CUdevice_attribute, int> values{
      {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024},
      {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024},
      {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024},
      {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64},
      {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 2147483647},
      {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535},
      {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535},
      {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 49152},
      {CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY, 65536},
      {CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32},
      {CU_DEVICE_ATTRIBUTE_MAX_PITCH, 2147483647},
      {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 65536},
      {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 1980000},
      {CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT, 512},
      {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 132},
      {CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 1},
      {CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, 1},
      {CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 2619000},
      {CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 5120},
      {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 52428800},
      {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 2048},
      {CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, 3},
      {CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1},
      {CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT, 32},
      {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 9},
      {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0},
      {CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_GLOBAL_L1_CACHE_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_LOCAL_L1_CACHE_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, 233472},
      {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR, 65536},
      {CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 1},
      {CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, 1},
      {CU_DEVICE_ATTRIBUTE_COMPUTE_PREEMPTION_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 1},
      {CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 1},
      {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 232448},
      {CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR, 32},
      {CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK, 1024},
      {CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES,
       CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR | CU_MEM_HANDLE_TYPE_FABRIC},
      {CU_DEVICE_ATTRIBUTE_IPC_EVENT_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_UNIFIED_FUNCTION_POINTERS, 1},
      {CU_DEVICE_ATTRIBUTE_SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO, 2},
      {CU_DEVICE_ATTRIBUTE_MULTI_GPU_BOARD_GROUP_ID, 0},
      {CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID, -1},
      {CU_DEVICE_ATTRIBUTE_NUMA_ID, -1},
  };
  if (attribute == CU_DEVICE_ATTRIBUTE_PCI_BUS_ID) {
    return first_bus + device;
  }
  const auto found = values.find(attribute);
  if (found != values.end()) {
    return found->second;
  }
  require(attribute > 0 && attribute < CU_DEVICE_ATTRIBUTE_MAX, CUDA_ERROR_INVALID_VALUE, "an attribute of devices");
  return 0;  // textures, surfaces, and all else that it cannot do
}

std::string pci_name(CUdevice device) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "0000:%02x:00.0", static_cast<unsigned>(first_bus + device));
  return text.data();
}

}  // namespace
}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return initialised(__func__, [&] {
    require_device(ordinal);
    out(device) = ordinal;
  });
}

CUresult cuDeviceGetCount(int* count) {
  return initialised(__func__, [&] { out(count) = settings().devices; });
}

CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  return initialised(__func__, [&] {
    require_device(device);
    require(name != nullptr && length > 0, CUDA_ERROR_INVALID_VALUE);
    name[device_name.copy(name, static_cast<std::size_t>(length) - 1)] = '\0';
  });
}

CUresult cuDeviceGetUuid(CUuuid* uuid, CUdevice device) {
  return initialised(__func__, [&] {
    require_device(device);
    auto& to = out(uuid);
    std::memcpy(to.bytes, "isthmus-standin", sizeof to.bytes);
    to.bytes[15] = static_cast<char>('0' + device);
  });
}

CUresult cuDeviceTotalMem(size_t* bytes, CUdevice device) {
  return initialised(__func__, [&] {
    require_device(device);
    out(bytes) = settings().memory;
  });
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  return initialised(__func__, [&] {
    require_device(device);
    out(value) = device_attribute(attribute, device);
  });
}

CUresult cuDeviceComputeCapability(int* major, int* minor, CUdevice device) {
  return initialised(__func__, [&] {
    require_device(device);
    out(major) = 9;
    out(minor) = 0;
  });
}

CUresult cuDeviceGetPCIBusId(char* text, int length, CUdevice device) {
  return initialised(__func__, [&] {
    require_device(device);
    const std::string name = pci_name(device);
    require(text != nullptr && static_cast<std::size_t>(length) > name.size(), CUDA_ERROR_INVALID_VALUE);
    std::memcpy(text, name.c_str(), name.size() + 1);
  });
}

CUresult cuDeviceGetByPCIBusId(CUdevice* device, const char* text) {
  return initialised(__func__, [&] {
    auto& to = out(device);
    require(text != nullptr, CUDA_ERROR_INVALID_VALUE);
    for (CUdevice each = 0; each < settings().devices; ++each) {
      if (pci_name(each) == text) {
        to = each;
        return;
      }
    }
    fail(CUDA_ERROR_INVALID_DEVICE, text);
  });
}

CUresult cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer) {
  return initialised(__func__, [&] {
    require_device(device);
    require_device(peer);
    out(can) = device == peer ? 0 : 1;
  });
}

CUresult cuDeviceGetP2PAttribute(int* value, CUdevice_P2PAttribute attribute, CUdevice device, CUdevice peer) {
  return initialised(__func__, [&] {
    require_device(device);
    require_device(peer);
    require(device != peer, CUDA_ERROR_INVALID_DEVICE);
    out(value) = attribute == CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED ? 1 : 0;
  });
}
