// SPDX-License-Identifier: Apache-2.0

// Addresses and device memory that the program has apart and maps as it wants. What may be mapped where the host
// checks; here it is remembered what was, so that copies know it.

#include <span>
#include <tuple>
#include <vector>

#include "guest/cuda/device_memory.hpp"
#include "guest/cuda/frontend.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

// CUDA_SUCCESS, or why there is no such memory. What can be had is a device's.
CUresult check_properties(Frontend& cuda, const CUmemAllocationProp* properties) {
  if (properties == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (properties->type != CU_MEM_ALLOCATION_TYPE_PINNED || properties->location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
      !is_shareable_by(properties->requestedHandleTypes) || properties->allocFlags.usage != 0 ||
      properties->allocFlags.gpuDirectRDMACapable != 0) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  return cuda.device(properties->location.id) == nullptr ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS;
}

// Runs `function(Frontend&)` while nobody else maps or unmaps.
template <class F>
CUresult in_turn(F function) {
  return entry([&](Frontend& cuda) -> CUresult {
    const std::scoped_lock lock(cuda.virtual_mutex);
    return function(cuda);
  });
}

// The same for memory that the program has a handle of: `function(Frontend&, PhysicalRecord&)`.
template <class F>
CUresult with_memory(CUmemGenericAllocationHandle handle, F function) {
  return in_turn([&](Frontend& cuda) -> CUresult {
    PhysicalRecord* const record = cuda.physicals.find(handle);
    return record == nullptr || record->handles == 0 ? CUDA_ERROR_INVALID_VALUE : function(cuda, *record);
  });
}

// Lets memory go that the program has no handle of and that is mapped nowhere.
CUresult let_go(Frontend& cuda, Id id) {
  const PhysicalRecord* const record = cuda.physicals.find(id);
  if (record == nullptr || record->handles != 0 || record->mappings != 0) {
    return CUDA_SUCCESS;
  }
  cuda.unshare_object(id);
  cuda.physicals.remove(id);
  return cuda.lane->tell<Release>({.kind = ObjectKind::memory, .id = id});
}

// Runs `function(Memory::Range)` on each mapping in these addresses.
template <class F>
void each_mapping(const Frontend& cuda, CUdeviceptr address, std::size_t bytes, F function) {
  for (const Memory::Range& range : cuda.memory.in(address, bytes)) {
    if (range.value.physical != 0) {
      function(range);
    }
  }
}

}  // namespace

CUresult CUDAAPI cuMemAddressReserve(CUdeviceptr* address, std::size_t bytes, std::size_t alignment, CUdeviceptr wanted,
                                     unsigned long long flags) {
  return in_turn([&](Frontend& cuda) -> CUresult {
    if (address == nullptr || bytes == 0 || flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto made = call_for_address<ReserveAddresses>(
        cuda, 0, {.size = bytes, .alignment = alignment, .wanted = wanted}, Effort::little,
        [&](const ReserveAddresses::Reply&) { return bytes; },
        [&](const ReserveAddresses::Reply& other) {
          std::ignore = cuda.lane->tell<FreeAddresses>({.address = other.address, .size = bytes});
        });
    if (!made) {
      return made.error();
    }
    cuda.reserved.add(made->address, bytes, 0);
    return give(address, made->address);
  });
}

CUresult CUDAAPI cuMemAddressFree(CUdeviceptr address, std::size_t bytes) {
  return in_turn([&](Frontend& cuda) -> CUresult {
    const CUresult code = cuda.lane->tell<FreeAddresses>({.address = address, .size = bytes});
    if (code == CUDA_SUCCESS) {
      cuda.reserved.remove(address);
    }
    return code;
  });
}

CUresult CUDAAPI cuMemGetAllocationGranularity(std::size_t* granularity, const CUmemAllocationProp* properties,
                                               CUmemAllocationGranularity_flags option) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (const CUresult code = check_properties(cuda, properties); code != CUDA_SUCCESS) {
      return code;
    }
    const auto asked =
        cuda.lane->call<Query>({.question = {.subject = Subject::memory_granularity,
                                             .parameter = static_cast<std::uint32_t>(option),
                                             .detail = {static_cast<std::uint64_t>(properties->location.id), 0, 0}}});
    return asked ? give(granularity, asked->reply.values[0]) : asked.error();
  });
}

CUresult CUDAAPI cuMemCreate(CUmemGenericAllocationHandle* handle, std::size_t bytes,
                             const CUmemAllocationProp* properties, unsigned long long flags) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (handle == nullptr || bytes == 0 || flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (const CUresult code = check_properties(cuda, properties); code != CUDA_SUCCESS) {
      return code;
    }
    const auto id = cuda.physicals.reserve();
    if (!id) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const auto made =
        call_for_memory<CreateMemory>(cuda, ContextStack::mine().top(),
                                      {.id = *id,
                                       .size = bytes,
                                       .device = static_cast<std::uint32_t>(properties->location.id),
                                       .compression = properties->allocFlags.compressionType,
                                       .handles = static_cast<std::uint16_t>(properties->requestedHandleTypes)});
    if (!made) {
      cuda.physicals.cancel(*id);
      return made.error();
    }
    PhysicalRecord record{.properties = *properties, .size = bytes};
    record.properties.allocFlags.compressionType = static_cast<unsigned char>(made->reply.compression);
    cuda.physicals.publish(*id, record);
    return give(handle, *id);
  });
}

CUresult CUDAAPI cuMemRelease(CUmemGenericAllocationHandle handle) {
  return with_memory(handle, [&](Frontend& cuda, PhysicalRecord& record) {
    --record.handles;
    return let_go(cuda, handle);
  });
}

CUresult CUDAAPI cuMemRetainAllocationHandle(CUmemGenericAllocationHandle* handle, void* address) {
  return in_turn([&](const Frontend& cuda) -> CUresult {
    const auto range = cuda.memory.find(reinterpret_cast<std::uintptr_t>(address));
    PhysicalRecord* const record = range ? cuda.physicals.find(range->value.physical) : nullptr;
    if (handle == nullptr || record == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    ++record->handles;
    return give(handle, range->value.physical);
  });
}

CUresult CUDAAPI cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp* properties,
                                                        CUmemGenericAllocationHandle handle) {
  return with_memory(
      handle, [&](const Frontend&, const PhysicalRecord& record) { return give(properties, record.properties); });
}

CUresult CUDAAPI cuMemMap(CUdeviceptr address, std::size_t bytes, std::size_t offset,
                          CUmemGenericAllocationHandle handle, unsigned long long flags) {
  return with_memory(handle, [&](Frontend& cuda, PhysicalRecord& record) -> CUresult {
    if (flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const CUresult code =
        cuda.lane->tell<MapMemory>({.address = address, .size = bytes, .offset = offset, .memory = handle});
    if (code == CUDA_SUCCESS) {
      ++record.mappings;
      cuda.memory.add(address, bytes,
                      {.kind = MemoryKind::device,
                       .device = static_cast<std::uint32_t>(record.properties.location.id),
                       .number = cuda.last_buffer.fetch_add(1, std::memory_order_relaxed) + 1,
                       .physical = handle,
                       .access = Access::none});
    }
    return code;
  });
}

CUresult CUDAAPI cuMemUnmap(CUdeviceptr address, std::size_t bytes) {
  return in_turn([&](Frontend& cuda) -> CUresult {
    let_work_end(cuda, 0);
    CUresult code = cuda.lane->tell<UnmapMemory>({.address = address, .size = bytes});
    if (code != CUDA_SUCCESS) {
      return code;
    }
    each_mapping(cuda, address, bytes, [&](const Memory::Range& gone) {
      cuda.memory.remove(gone.base);
      --cuda.physicals.find(gone.value.physical)->mappings;
      const CUresult released = let_go(cuda, gone.value.physical);
      code = code == CUDA_SUCCESS ? released : code;
    });
    return code;
  });
}

CUresult CUDAAPI cuMemSetAccess(CUdeviceptr address, std::size_t bytes, const CUmemAccessDesc* access,
                                std::size_t count) {
  return in_turn([&](Frontend& cuda) -> CUresult {
    constexpr std::size_t most_rows = 256;
    if (access == nullptr || count == 0 || count > most_rows) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    bool is_written = false;
    std::vector<AccessRow> rows;
    for (const CUmemAccessDesc& one : std::span(access, count)) {
      if (one.location.type != CU_MEM_LOCATION_TYPE_DEVICE) {
        return CUDA_ERROR_NOT_SUPPORTED;
      }
      rows.push_back(
          {.device = static_cast<std::uint32_t>(one.location.id), .flags = static_cast<std::uint32_t>(one.flags)});
      is_written = is_written || one.flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    }
    const CUresult code = cuda.lane->tell<SetMemoryAccess>({.address = address, .size = bytes, .rows = rows.size()},
                                                           std::as_bytes(std::span(rows)));
    if (code == CUDA_SUCCESS) {
      each_mapping(cuda, address, bytes, [&](Memory::Range changed) {
        changed.value.access = is_written ? Access::allowed : Access::asked;
        cuda.memory.add(changed.base, changed.size, changed.value);
      });
    }
    return code;
  });
}

CUresult CUDAAPI cuMemGetAccess(unsigned long long* flags, const CUmemLocation* location, CUdeviceptr address) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (location == nullptr || flags == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (location->type != CU_MEM_LOCATION_TYPE_DEVICE) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    const auto asked =
        cuda.lane->call<Query>({.question = {.subject = Subject::memory_access,
                                             .detail = {static_cast<std::uint64_t>(location->id), address, 0}}});
    return asked ? give(flags, asked->reply.values[0]) : asked.error();
  });
}
