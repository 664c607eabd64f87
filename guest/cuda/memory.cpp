// SPDX-License-Identifier: Apache-2.0

// Memory: device memory is the driver's, or of a pool of what the driver has given (device_memory.cpp); pinned memory
// is slab memory, made and given back without the host where the driver knows it already.

#include <algorithm>
#include <cstring>
#include <iterator>
#include <tuple>
#include <utility>
#include <vector>

#include "guest/cuda/device_memory.hpp"
#include "guest/cuda/frontend.hpp"
#include "guest/cuda/sharing.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

// What pinned memory is aligned to at least: as device memory, for kernels with vector types.
constexpr std::size_t least_pinned = 512;

// Whether the GPU sees slab memory at the addresses at which this process has it.
bool is_seen_alike(const Frontend& cuda, std::uint64_t address, std::uint64_t offset) {
  return cuda.lane->host().window + offset == address;
}

// Waits until nothing on the device uses memory that was given up, which includes `frame`. While a stream is captured
// the driver does not wait; then the memory is kept until the next time.
CUresult give_up(Frontend& cuda, isthmus::Frame frame) {
  std::vector<isthmus::Frame> all;
  {
    const std::scoped_lock lock(cuda.pinned_mutex);
    all.swap(cuda.unquiet);
  }
  if (frame.size() != 0) {
    all.push_back(std::move(frame));
  }
  if (all.empty()) {
    return CUDA_SUCCESS;
  }
  // What the device has failed with does not keep the memory.
  const auto quiet = cuda.lane->call_anyway<Quiesce>({});
  if (quiet || quiet.error() != CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED) {
    return quiet ? CUDA_SUCCESS : quiet.error();
  }
  const std::scoped_lock lock(cuda.pinned_mutex);
  std::ranges::move(all, std::back_inserter(cuda.unquiet));
  return CUDA_SUCCESS;
}

CUresult allocate_in_slab(void** memory, std::size_t bytes, MemoryKind kind, std::uint32_t flags) {
  return entry_here([&](const Here& here) -> CUresult {
    if (memory == nullptr || bytes == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::ignore = give_up(here.cuda, {});
    auto frame = here.lane().allocate(std::max(bytes, least_pinned));
    if (!frame) {
      return frame.error().code == isthmus::Errc::exhausted ? CUDA_ERROR_OUT_OF_MEMORY
                                                            : here.lane().lost(frame.error());
    }
    if (const CUresult code = here.cuda.use_slab(here.context, *frame); code != CUDA_SUCCESS) {
      return code;
    }
    const auto address = reinterpret_cast<std::uintptr_t>(frame->data());
    MemoryInfo info = info_of(here, kind, flags);
    info.offset = frame->reference().offset();
    if (kind == MemoryKind::managed && !is_seen_alike(here.cuda, address, info.offset)) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    if (kind == MemoryKind::managed) {
      std::memset(frame->data(), 0, bytes);  // as the driver's, though it promises nothing
    }
    *memory = frame->data();
    {
      const std::scoped_lock lock(here.cuda.pinned_mutex);
      here.cuda.pinned.insert_or_assign(address, std::move(*frame));
    }
    here.cuda.memory.add(address, bytes, info);
    return CUDA_SUCCESS;
  });
}

CUresult allocate_pinned(void** memory, std::size_t bytes, std::uint32_t flags) {
  constexpr std::uint32_t known = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
  return (flags & ~known) != 0 ? CUDA_ERROR_INVALID_VALUE : allocate_in_slab(memory, bytes, MemoryKind::pinned, flags);
}

// Gives slab memory of that kind back, once nothing on the device uses it any more.
CUresult free_in_slab(Frontend& cuda, std::uint64_t address, MemoryKind kind) {
  const auto range = cuda.memory.find(address);
  if (!range || range->base != address || range->value.kind != kind) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  isthmus::Frame frame;
  {
    const std::scoped_lock lock(cuda.pinned_mutex);
    const auto found = cuda.pinned.find(address);
    if (found == cuda.pinned.end()) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    frame = std::move(found->second);
    cuda.pinned.erase(found);
  }
  cuda.memory.remove(address);
  return give_up(cuda, std::move(frame));
}

std::optional<Memory::Range> slab_at(const Frontend& cuda, const void* at) {
  auto range = cuda.memory.find(reinterpret_cast<std::uintptr_t>(at));
  return range && lies_in_slab(range->value.kind) ? range : std::nullopt;
}

// Where the GPU sees slab memory.
CUdeviceptr seen_at(const Frontend& cuda, const Memory::Range& range, std::uint64_t address) {
  return cuda.lane->host().window + range.value.offset + (address - range.base);
}

}  // namespace

CUresult CUDAAPI cuMemAlloc(CUdeviceptr* address, std::size_t bytes) {
  return entry_here([&](const Here& here) -> CUresult {
    if (address == nullptr || bytes == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto made = allocate_on_device(here, bytes);
    return made ? give(address, *made) : made.error();
  });
}

CUresult CUDAAPI cuMemAllocPitch(CUdeviceptr* address, std::size_t* pitch, std::size_t width, std::size_t height,
                                 unsigned int element) {
  return entry_here([&](const Here& here) -> CUresult {
    if (address == nullptr || pitch == nullptr || width == 0 || height == 0 ||
        (element != 4 && element != 8 && element != 16)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto made = ask_for_memory(
        here, {.context = here.context, .size = width, .height = height, .element = element}, Effort::all);
    if (!made) {
      return made.error();
    }
    std::uint64_t bytes = 0;
    if (made->pitch < width || __builtin_mul_overflow(made->pitch, height, &bytes)) {
      return CUDA_ERROR_UNKNOWN;
    }
    here.cuda.memory.add(made->address, bytes, info_of(here, MemoryKind::device));
    *pitch = made->pitch;
    return give(address, made->address);
  });
}

CUresult CUDAAPI cuMemFree(CUdeviceptr address) {
  return entry_here([&](const Here& here) -> CUresult {
    const auto range = here.cuda.memory.find(address);
    if (range && range->value.kind == MemoryKind::managed) {
      return free_in_slab(here.cuda, address, MemoryKind::managed);
    }
    if (!range || range->base != address || !range->value.is_allocation()) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (range->value.of_graph) {
      const Place place{.context = range->value.context};
      const CUresult code = here.lane().tell<FreeInOrder>({.place = place, .address = address});
      return code == CUDA_SUCCESS ? here.lane().tell<SyncStream>({.place = place}) : code;
    }
    return free_on_device(here, *range);
  });
}

CUresult CUDAAPI cuMemGetAddressRange(CUdeviceptr* base, std::size_t* bytes, CUdeviceptr address) {
  return entry_here([&](const Here& here) -> CUresult {
    const auto range = here.cuda.memory.find(address);
    if (!range) {
      return CUDA_ERROR_NOT_FOUND;
    }
    if (base != nullptr) {
      *base = range->base;
    }
    if (bytes != nullptr) {
      *bytes = range->size;
    }
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemHostAlloc(void** memory, std::size_t bytes, unsigned int flags) {
  return allocate_pinned(memory, bytes, flags);
}

CUresult CUDAAPI cuMemAllocHost(void** memory, std::size_t bytes) {
  return allocate_pinned(memory, bytes, CU_MEMHOSTALLOC_DEVICEMAP);
}

CUresult CUDAAPI cuMemFreeHost(void* memory) {
  return entry(
      [&](Frontend& cuda) { return free_in_slab(cuda, reinterpret_cast<std::uintptr_t>(memory), MemoryKind::pinned); });
}

CUresult CUDAAPI cuMemHostGetDevicePointer(CUdeviceptr* address, void* memory, unsigned int flags) {
  return entry_here([&](const Here& here) -> CUresult {
    const auto range = slab_at(here.cuda, memory);
    if (address == nullptr || flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto at = reinterpret_cast<std::uintptr_t>(memory);
    if (!range) {
      const auto part = here.cuda.memory.find(at);
      return part && part->value.kind == MemoryKind::ordinary ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
    }
    // Pinned memory is promised at its own address, registered memory at any.
    return range->value.kind == MemoryKind::registered || is_seen_alike(here.cuda, range->base, range->value.offset)
               ? give(address, seen_at(here.cuda, *range, at))
               : CUDA_ERROR_NOT_SUPPORTED;
  });
}

CUresult CUDAAPI cuMemHostGetFlags(unsigned int* flags, void* memory) {
  return entry([&](const Frontend& cuda) -> CUresult {
    const auto range = slab_at(cuda, memory);
    return range ? give(flags, range->value.flags) : CUDA_ERROR_INVALID_VALUE;
  });
}

namespace {

// One attribute of memory that is known, or CUDA_ERROR_NOT_SUPPORTED.
CUresult pointer_attribute(const Frontend& cuda, void* to, CUpointer_attribute attribute, const Memory::Range& range,
                           CUdeviceptr address) {
  const MemoryKind kind = range.value.kind;
  const bool on_host = !lies_on_device(kind);
  const bool in_slab = lies_in_slab(kind);
  const auto write = [&](const auto& value) -> CUresult {
    // NOLINTNEXTLINE(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression): handles, too
    std::memcpy(to, &value, sizeof value);
    return CUDA_SUCCESS;
  };
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
      return write(handle_of<CUcontext>(range.value.context));
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      return write(on_host && kind != MemoryKind::managed ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE);
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
      return !on_host ? write(address) : in_slab ? write(seen_at(cuda, range, address)) : CUDA_ERROR_INVALID_VALUE;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      return on_host || range.value.managed_variable ? write(address) : CUDA_ERROR_INVALID_VALUE;
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
      return write(static_cast<unsigned char>(is_shareable(range.value) ? 1 : 0));
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
      return write(static_cast<unsigned char>(0));
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
      return write(static_cast<unsigned char>(is_managed(range.value) ? 1 : 0));
    case CU_POINTER_ATTRIBUTE_MAPPED:
      return write(static_cast<unsigned char>(!on_host || in_slab ? 1 : 0));
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
      return write(static_cast<unsigned long long>(range.value.number));
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      return write(static_cast<int>(range.value.device));
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE: {
      // Of mapped memory: what was reserved.
      const auto reserved = range.value.physical != 0 ? cuda.reserved.find(address) : std::nullopt;
      return attribute == CU_POINTER_ATTRIBUTE_RANGE_START_ADDR
                 ? write(static_cast<CUdeviceptr>(reserved ? reserved->base : range.base))
                 : write(static_cast<std::size_t>(reserved ? reserved->size : range.size));
    }
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
      return write(static_cast<CUdeviceptr>(range.base));
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
      return write(static_cast<std::size_t>(range.size));
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
      return write(std::uint64_t{0});
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
      return write(static_cast<int>(CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE));
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
      return write(range.value.from);
    default:
      return CUDA_ERROR_NOT_SUPPORTED;
  }
}

// What cuPointerGetAttributes writes for an address that is not known.
void write_no_attribute(void* to, CUpointer_attribute attribute) {
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: {
      constexpr int none = CU_DEVICE_INVALID;
      std::memcpy(to, &none, sizeof none);
      return;
    }
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
      std::memset(to, 0, sizeof(int));
      return;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    case CU_POINTER_ATTRIBUTE_MAPPED:
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
      std::memset(to, 0, 1);
      return;
    default:
      std::memset(to, 0, sizeof(std::uint64_t));
  }
}

}  // namespace

CUresult CUDAAPI cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr address) {
  return entry([&](const Frontend& cuda) -> CUresult {
    const auto range = cuda.memory.find(address);
    if (data == nullptr || !range) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return pointer_attribute(cuda, data, attribute, *range, address);
  });
}

CUresult CUDAAPI cuPointerGetAttributes(unsigned int count, CUpointer_attribute* attributes, void** data,
                                        CUdeviceptr address) {
  return entry([&](const Frontend& cuda) -> CUresult {
    if (attributes == nullptr || data == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto range = cuda.memory.find(address);
    for (unsigned i = 0; i < count; ++i) {
      if (data[i] == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      const CUresult code =
          range ? pointer_attribute(cuda, data[i], attributes[i], *range, address) : CUDA_ERROR_INVALID_VALUE;
      if (code == CUDA_ERROR_NOT_SUPPORTED) {
        return code;
      }
      if (code != CUDA_SUCCESS) {
        write_no_attribute(data[i], attributes[i]);
      }
    }
    return CUDA_SUCCESS;
  });
}

// ---- managed memory: slab memory that the GPU sees at the same address ----------------------------------------------

CUresult CUDAAPI cuMemAllocManaged(CUdeviceptr* address, std::size_t bytes, unsigned int flags) {
  if (address == nullptr || (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  void* memory = nullptr;
  const CUresult code = allocate_in_slab(&memory, bytes, MemoryKind::managed, flags);
  return code == CUDA_SUCCESS ? give(address, reinterpret_cast<std::uintptr_t>(memory)) : code;
}

// It stays where it is: what would move it, or tell where it is best, has nothing to do but to check.
CUresult CUDAAPI cuMemAdvise(CUdeviceptr address, std::size_t bytes, CUmem_advise /*advice*/, CUmemLocation location) {
  return entry([&](Frontend& cuda) -> CUresult {
    const auto range = cuda.memory.find(address);
    if (location.type == CU_MEM_LOCATION_TYPE_DEVICE && cuda.device(location.id) == nullptr) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    return range && is_managed(range->value) && range->holds(address, bytes) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}
