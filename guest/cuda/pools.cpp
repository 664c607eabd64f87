// SPDX-License-Identifier: Apache-2.0

// Pools of memory in the order of streams: the one that each device has, and those of the program's own.

#include "guest/cuda/pools.hpp"

#include <cstring>
#include <span>
#include <tuple>

#include "guest/cuda/device_memory.hpp"
#include "guest/cuda/graph.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

// Handles of the devices' own pools: this, and the device's number. Those of Frontend::pools have a generation.
constexpr std::uint64_t first_pool = std::uint64_t{9} << 52;

// Runs `function(Frontend&, Pool)`.
template <class F>
CUresult with_pool(CUmemoryPool handle, F function) {
  return entry([&](Frontend& cuda) -> CUresult {
    const auto pool = find_pool(cuda, handle);
    return pool ? function(cuda, *pool) : CUDA_ERROR_INVALID_VALUE;
  });
}

Question about(const Pool& pool, Subject subject, std::uint32_t parameter = 0, std::uint64_t peer = 0) {
  return {.subject = subject, .parameter = parameter, .object = pool.id, .detail = {pool.device, peer, 0}};
}

Pool pool_of(const Frontend& cuda, std::uint32_t device, Id id) {
  const PoolRecord* const record = cuda.pools.find(id);
  return record != nullptr ? Pool{.device = device, .id = id, .handle = handle_of<CUmemoryPool>(id)}
                           : Pool{.device = device, .id = 0, .handle = handle_of<CUmemoryPool>(first_pool + device)};
}

// The device that a location means, if pools can be there.
Expected<CUdevice> device_at(Frontend& cuda, const CUmemLocation* location, CUmemAllocationType type) {
  if (location == nullptr || location->type == CU_MEM_LOCATION_TYPE_INVALID) {
    return std::unexpected(CUDA_ERROR_INVALID_VALUE);
  }
  if (location->type != CU_MEM_LOCATION_TYPE_DEVICE || type != CU_MEM_ALLOCATION_TYPE_PINNED) {
    return std::unexpected(CUDA_ERROR_NOT_SUPPORTED);
  }
  return cuda.device(location->id) == nullptr ? Expected<CUdevice>(std::unexpected(CUDA_ERROR_INVALID_VALUE))
                                              : location->id;
}

// Bytes of an attribute's value, as cuda.h has them; 0 for one that is not known.
std::size_t size_of(CUmemPool_attribute attribute) {
  switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
      return sizeof(int);
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      return sizeof(cuuint64_t);
    default:
      return 0;
  }
}

}  // namespace

namespace isthmus::cuda {

std::optional<Pool> find_pool(const Frontend& cuda, CUmemoryPool handle) noexcept {
  const std::uint64_t number = reinterpret_cast<std::uintptr_t>(handle) - first_pool;
  if (number < cuda.devices.size()) {
    return Pool{.device = static_cast<std::uint32_t>(number), .id = 0, .handle = handle};
  }
  const PoolRecord* const record = cuda.pools.find(handle);
  return record == nullptr
             ? std::nullopt
             : std::optional(
                   Pool{.device = record->device, .id = reinterpret_cast<std::uintptr_t>(handle), .handle = handle});
}

Pool pool_in_use(const Frontend& cuda, std::uint32_t device) noexcept {
  return pool_of(cuda, device, cuda.devices.at(device)->pool.load(std::memory_order_acquire));
}

CUresult allocate_in_order(const Here& here, const Place& place, std::uint64_t bytes, const Pool& pool,
                           CUdeviceptr* address) {
  if (bytes == 0) {
    return give(address, 0);  // as the driver does
  }
  const auto made = call_for_address<AllocateInOrder>(
      here.cuda, here.context, {.place = place, .size = bytes, .pool = pool.id}, Effort::all,
      [&](const AllocateInOrder::Reply&) { return bytes; },
      [&](const AllocateInOrder::Reply& other) {
        std::ignore = here.lane().post<FreeInOrder>({.place = place, .address = other.address});
      });
  if (!made) {
    return made.error();
  }
  MemoryInfo info = info_of(here, MemoryKind::device);
  info.context = place.context;
  info.device = pool.device;
  info.of_graph = is_captured(here, place);
  info.from = pool.handle;
  here.cuda.memory.add(made->address, bytes, info);
  return give(address, made->address);
}

}  // namespace isthmus::cuda

CUresult CUDAAPI cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device) {
  return entry([&](Frontend& cuda) -> CUresult {
    return cuda.device(device) == nullptr ? CUDA_ERROR_INVALID_DEVICE
                                          : give(pool, pool_of(cuda, static_cast<std::uint32_t>(device), 0).handle);
  });
}

CUresult CUDAAPI cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice device) {
  return entry([&](Frontend& cuda) -> CUresult {
    return cuda.device(device) == nullptr ? CUDA_ERROR_INVALID_DEVICE
                                          : give(pool, pool_in_use(cuda, static_cast<std::uint32_t>(device)).handle);
  });
}

CUresult CUDAAPI cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool) {
  return with_pool(pool, [&](Frontend& cuda, const Pool& wanted) -> CUresult {
    Device* const on = cuda.device(device);
    if (on == nullptr || wanted.device != static_cast<std::uint32_t>(device)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    on->pool.store(wanted.id, std::memory_order_release);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemGetDefaultMemPool(CUmemoryPool* pool, CUmemLocation* location, CUmemAllocationType type) {
  return entry([&](Frontend& cuda) -> CUresult {
    const auto device = device_at(cuda, location, type);
    return device ? cuDeviceGetDefaultMemPool(pool, *device) : device.error();
  });
}

CUresult CUDAAPI cuMemGetMemPool(CUmemoryPool* pool, CUmemLocation* location, CUmemAllocationType type) {
  return entry([&](Frontend& cuda) -> CUresult {
    const auto device = device_at(cuda, location, type);
    return device ? cuDeviceGetMemPool(pool, *device) : device.error();
  });
}

CUresult CUDAAPI cuMemSetMemPool(CUmemLocation* location, CUmemAllocationType type, CUmemoryPool pool) {
  return entry([&](Frontend& cuda) -> CUresult {
    const auto device = device_at(cuda, location, type);
    return device ? cuDeviceSetMemPool(*device, pool) : device.error();
  });
}

CUresult CUDAAPI cuMemPoolCreate(CUmemoryPool* pool, const CUmemPoolProps* properties) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (pool == nullptr || properties == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto device = device_at(cuda, &properties->location, properties->allocType);
    if (!device) {
      return device.error();
    }
    if (!is_shareable_by(properties->handleTypes)) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    const auto number = static_cast<std::uint32_t>(*device);
    const auto id = cuda.pools.reserve();
    if (!id) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const CUresult code = cuda.lane->tell<CreatePool>({.id = *id,
                                                       .device = number,
                                                       .usage = properties->usage,
                                                       .handles = static_cast<std::uint16_t>(properties->handleTypes),
                                                       .largest = properties->maxSize});
    if (code != CUDA_SUCCESS) {
      cuda.pools.cancel(*id);
      return code;
    }
    cuda.pools.publish(*id, {.device = number});
    return give(pool, handle_of<CUmemoryPool>(*id));
  });
}

CUresult CUDAAPI cuMemPoolDestroy(CUmemoryPool pool) {
  return with_pool(pool, [](Frontend& cuda, const Pool& gone) -> CUresult {
    // Its name goes first: whoever finds none afterwards takes the device's own pool.
    if (gone.id == 0 || !cuda.pools.remove(gone.id)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    cuda.unshare_object(gone.id);
    Id used = gone.id;
    cuda.devices.at(gone.device)->pool.compare_exchange_strong(used, 0, std::memory_order_acq_rel);
    return cuda.lane->tell<Release>({.kind = ObjectKind::pool, .id = gone.id});
  });
}

CUresult CUDAAPI cuMemPoolTrimTo(CUmemoryPool pool, std::size_t bytes) {
  return with_pool(pool, [&](Frontend& cuda, const Pool& known) {
    return cuda.lane->tell<Configure>({.question = about(known, Subject::pool_trim), .value = bytes});
  });
}

CUresult CUDAAPI cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  return with_pool(pool, [&](Frontend& cuda, const Pool& known) -> CUresult {
    if (value == nullptr || size_of(attribute) == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto asked = cuda.lane->call<Query>(
        {.question = about(known, Subject::pool_attribute, static_cast<std::uint32_t>(attribute))});
    if (!asked) {
      return asked.error();
    }
    std::memcpy(value, asked->reply.values.data(), size_of(attribute));  // little endian
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  return with_pool(pool, [&](Frontend& cuda, const Pool& known) -> CUresult {
    if (value == nullptr || size_of(attribute) == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::uint64_t number = 0;
    std::memcpy(&number, value, size_of(attribute));
    return cuda.lane->tell<Configure>(
        {.question = about(known, Subject::pool_attribute, static_cast<std::uint32_t>(attribute)), .value = number});
  });
}

CUresult CUDAAPI cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc* map, std::size_t count) {
  return with_pool(pool, [&](Frontend& cuda, const Pool& known) -> CUresult {
    if (map == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const std::span all(map, count);
    for (const CUmemAccessDesc& access : all) {
      const auto device = device_at(cuda, &access.location, CU_MEM_ALLOCATION_TYPE_PINNED);
      if (!device) {
        return device.error();
      }
    }
    CUresult code = CUDA_SUCCESS;
    for (std::size_t i = 0; i < all.size() && code == CUDA_SUCCESS; ++i) {
      const auto peer = static_cast<std::uint32_t>(all[i].location.id);
      code = cuda.lane->tell<Configure>(
          {.question = about(known, Subject::pool_access, 0, peer), .value = static_cast<std::uint32_t>(all[i].flags)});
    }
    return code;
  });
}

CUresult CUDAAPI cuMemPoolGetAccess(CUmemAccess_flags* flags, CUmemoryPool pool, CUmemLocation* location) {
  return with_pool(pool, [&](Frontend& cuda, const Pool& known) -> CUresult {
    const auto device = device_at(cuda, location, CU_MEM_ALLOCATION_TYPE_PINNED);
    if (flags == nullptr || !device) {
      return flags == nullptr ? CUDA_ERROR_INVALID_VALUE : device.error();
    }
    const auto asked = cuda.lane->call<Query>(
        {.question = about(known, Subject::pool_access, 0, static_cast<std::uint32_t>(*device))});
    return asked ? give(flags, asked->reply.values[0]) : asked.error();
  });
}
