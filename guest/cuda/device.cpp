// SPDX-License-Identifier: Apache-2.0

// Devices: all answered in the guest.

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "guest/cuda/frontend.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

// Runs `function(Frontend&, Device&)`.
template <class F>
CUresult with_device(CUdevice number, F function) {
  return entry([&](Frontend& cuda) -> CUresult {
    Device* const device = cuda.device(number);
    return device == nullptr ? CUDA_ERROR_INVALID_DEVICE : function(cuda, *device);
  });
}

int number_or_zero(const Device& device, CUdevice_attribute which) { return device.attribute(which).value_or(0); }

}  // namespace

CUresult CUDAAPI cuInit(unsigned int flags) {
  try {
    return flags != 0 ? CUDA_ERROR_INVALID_VALUE : Frontend::init();
  } catch (...) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
}

CUresult CUDAAPI cuDriverGetVersion(int* version) {
  // What this library implements, if the host's driver is not older; asked before cuInit, too.
  const Frontend* const cuda = Frontend::get();
  const int mine = CUDA_VERSION;
  return give(version, cuda == nullptr ? mine : std::min(mine, static_cast<int>(cuda->lane->host().driver_version)));
}

CUresult CUDAAPI cuDeviceGetCount(int* count) {
  return entry([&](const Frontend& cuda) { return give(count, cuda.devices.size()); });
}

CUresult CUDAAPI cuDeviceGet(CUdevice* device, int ordinal) {
  return with_device(ordinal, [&](const Frontend&, const Device&) { return give(device, ordinal); });
}

CUresult CUDAAPI cuDeviceGetName(char* name, int length, CUdevice number) {
  return with_device(number, [&](const Frontend&, const Device& device) -> CUresult {
    if (name == nullptr || length <= 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::snprintf(name, static_cast<std::size_t>(length), "%s", device.about.name.data());
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDeviceGetUuid(CUuuid* uuid, CUdevice number) {
  return with_device(number, [&](const Frontend&, const Device& device) -> CUresult {
    if (uuid == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    static_assert(sizeof uuid->bytes == sizeof device.about.uuid);
    std::memcpy(static_cast<char*>(uuid->bytes), device.about.uuid.data(), sizeof uuid->bytes);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDeviceTotalMem(std::size_t* bytes, CUdevice number) {
  return with_device(number, [&](const Frontend&, const Device& device) { return give(bytes, device.about.memory); });
}

CUresult CUDAAPI cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice number) {
  return with_device(number, [&](const Frontend&, const Device& device) -> CUresult {
    const auto found = device.attribute(attribute);
    return found ? give(value, *found) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult CUDAAPI cuDeviceComputeCapability(int* major, int* minor, CUdevice number) {
  return with_device(number, [&](const Frontend&, const Device& device) -> CUresult {
    const CUresult code = give(major, number_or_zero(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR));
    return code != CUDA_SUCCESS ? code
                                : give(minor, number_or_zero(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR));
  });
}

CUresult CUDAAPI cuDeviceGetProperties(CUdevprop* properties, CUdevice number) {
  return with_device(number, [&](const Frontend&, const Device& device) -> CUresult {
    if (properties == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto value = [&](CUdevice_attribute which) { return number_or_zero(device, which); };
    *properties = {
        .maxThreadsPerBlock = value(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK),
        .maxThreadsDim = {value(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X), value(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y),
                          value(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z)},
        .maxGridSize = {value(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X), value(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y),
                        value(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z)},
        .sharedMemPerBlock = value(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK),
        .totalConstantMemory = value(CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY),
        .SIMDWidth = value(CU_DEVICE_ATTRIBUTE_WARP_SIZE),
        .memPitch = value(CU_DEVICE_ATTRIBUTE_MAX_PITCH),
        .regsPerBlock = value(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK),
        .clockRate = value(CU_DEVICE_ATTRIBUTE_CLOCK_RATE),
        .textureAlign = value(CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT)};
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDeviceGetPCIBusId(char* text, int length, CUdevice number) {
  return with_device(number, [&](const Frontend&, const Device& device) -> CUresult {
    if (text == nullptr || length <= 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::snprintf(text, static_cast<std::size_t>(length), "%04X:%02X:%02X.0",
                  static_cast<unsigned>(number_or_zero(device, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID)),
                  static_cast<unsigned>(number_or_zero(device, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID)),
                  static_cast<unsigned>(number_or_zero(device, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID)));
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDeviceGetByPCIBusId(CUdevice* number, const char* text) {
  return entry([&](Frontend& cuda) -> CUresult {
    unsigned domain = 0;
    unsigned bus = 0;
    unsigned slot = 0;
    if (number == nullptr || text == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // NOLINTBEGIN(cert-err34-c): the counts tell whether all were there
    bool is_whole = std::sscanf(text, "%x:%x:%x", &domain, &bus, &slot) == 3;
    if (!is_whole) {
      domain = 0;
      is_whole = std::sscanf(text, "%x:%x", &bus, &slot) == 2;
    }
    // NOLINTEND(cert-err34-c)
    if (!is_whole) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    for (std::size_t i = 0; i < cuda.devices.size(); ++i) {
      const Device& device = *cuda.devices[i];
      if (static_cast<unsigned>(number_or_zero(device, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID)) == domain &&
          static_cast<unsigned>(number_or_zero(device, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID)) == bus &&
          static_cast<unsigned>(number_or_zero(device, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID)) == slot) {
        return give(number, i);
      }
    }
    return CUDA_ERROR_INVALID_DEVICE;
  });
}

namespace {

CUresult ask_peers(int* value, Subject subject, std::uint32_t parameter, CUdevice from, CUdevice to) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (value == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (cuda.device(from) == nullptr || cuda.device(to) == nullptr) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    const auto asked = cuda.lane->call<Query>(
        {.question = {.subject = subject,
                      .parameter = parameter,
                      .detail = {static_cast<std::uint64_t>(from), static_cast<std::uint64_t>(to), 0}}});
    return asked ? give(value, asked->reply.values[0]) : asked.error();
  });
}

}  // namespace

CUresult CUDAAPI cuDeviceCanAccessPeer(int* possible, CUdevice from, CUdevice to) {
  return ask_peers(possible, Subject::peer_possible, 0, from, to);
}

CUresult CUDAAPI cuDeviceGetP2PAttribute(int* value, CUdevice_P2PAttribute attribute, CUdevice from, CUdevice to) {
  return ask_peers(value, Subject::peer_attribute, attribute, from, to);
}

CUresult CUDAAPI cuDeviceGetExecAffinitySupport(int* supported, CUexecAffinityType /*type*/, CUdevice number) {
  return with_device(number, [&](const Frontend&, const Device&) { return give(supported, 0); });
}
