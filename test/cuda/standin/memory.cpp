// SPDX-License-Identifier: Apache-2.0
// Entry points that give, take back and describe memory.
#include <cuda.h>

#include <cstring>

#include "test/cuda/standin/address.hpp"
#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/graph.hpp"
#include "test/cuda/standin/settings.hpp"

namespace isthmus::standin {
namespace {

constexpr std::size_t pitch_alignment = 512;  // of an H100

using Kind = Block::Kind;

// False where the pointer has no such attribute.
bool pointer_attribute(void* to, CUpointer_attribute attribute, CUdeviceptr address) {
  const auto block = driver().memory.find(address);
  const auto put = [to](auto value) { *static_cast<decltype(value)*>(to) = value; };
  const bool on_device = block.has_value() && block->on_device();
  const bool managed = block.has_value() && block->kind == Kind::managed;
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_MAPPED:
      put(static_cast<int>(block.has_value()));
      return true;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
      put(static_cast<int>(managed));
      return block.has_value();
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      put(block.has_value() ? block->device : CU_DEVICE_INVALID);
      return block.has_value();
    default:
      break;
  }
  if (!block.has_value()) {
    return false;
  }
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
      put(block->context == nullptr ? nullptr : block->context->handle);
      return block->context != nullptr;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      put(on_device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST);
      return true;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
      put(address);
      return true;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      put(!on_device || managed ? address : CUdeviceptr{0});
      return !on_device || managed;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
      put(block->id);
      return true;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
      put(block->start);
      return true;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
      put(block->size);
      return true;
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
      put(0);
      return true;
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
      put(0ULL);
      return true;
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
      put(CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE);
      return true;
    default:
      return false;
  }
}

}  // namespace
}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuMemGetInfo(size_t* free, size_t* total) {
  return in_context(__func__, [&](Context& context) {
    out(total) = settings().memory;
    out(free) = settings().memory - driver().memory.used(context.device);
  });
}

CUresult cuMemAlloc(CUdeviceptr* address, size_t size) {
  return in_context(__func__, [&](Context& context) {
    auto& to = out(address);
    refuse_in_capture(context);
    to = driver().memory.allocate(Kind::device, size, context).start;
  });
}

CUresult cuMemAllocPitch(CUdeviceptr* address, size_t* pitch, size_t width, size_t height, unsigned element) {
  return in_context(__func__, [&](Context& context) {
    require(element == 4 || element == 8 || element == 16, CUDA_ERROR_INVALID_VALUE, "an element's size");
    require(width > 0 && height > 0 && width < settings().memory && height < settings().memory,
            CUDA_ERROR_INVALID_VALUE);
    refuse_in_capture(context);
    auto& to = out(address);
    out(pitch) = (width + pitch_alignment - 1) / pitch_alignment * pitch_alignment;
    to = driver().memory.allocate(Kind::device, *pitch * height, context).start;
  });
}

CUresult cuMemAllocManaged(CUdeviceptr* address, size_t size, unsigned flags) {
  return in_context(__func__, [&](Context& context) {
    require(flags == CU_MEM_ATTACH_GLOBAL || flags == CU_MEM_ATTACH_HOST, CUDA_ERROR_INVALID_VALUE, "flags");
    refuse_in_capture(context);
    out(address) = driver().memory.allocate(Kind::managed, size, context).start;
  });
}

CUresult cuMemFree(CUdeviceptr address) {
  return in_context(__func__, [&](Context& context) {
    if (address == 0) {
      return;
    }
    refuse_in_capture(context);
    const auto block = driver().memory.find(address);
    if (block.has_value() && block->context != nullptr) {
      block->context->synchronize();  // whatever may still use it
    }
    driver().memory.free(address, {Kind::device, Kind::opened, Kind::managed, Kind::pooled}, CUDA_ERROR_INVALID_VALUE);
  });
}

CUresult cuMemGetAddressRange(CUdeviceptr* base, size_t* size, CUdeviceptr address) {
  return in_context(__func__, [&](Context& /*context*/) {
    const auto block = driver().memory.find(address);
    require(block.has_value() && block->on_device(), CUDA_ERROR_NOT_FOUND, "no device memory");
    if (base != nullptr) {
      *base = block->start;
    }
    if (size != nullptr) {
      *size = block->size;
    }
  });
}

CUresult cuMemHostAlloc(void** pointer, size_t size, unsigned flags) {
  return in_context(__func__, [&](Context& context) {
    auto& to = out(pointer);
    constexpr unsigned known = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
    require((flags & ~known) == 0, CUDA_ERROR_INVALID_VALUE, "flags");
    to = pointer_to(driver().memory.allocate_host(size, flags | CU_MEMHOSTALLOC_DEVICEMAP, context).start);
  });
}

CUresult cuMemAllocHost(void** pointer, size_t size) { return cuMemHostAlloc(pointer, size, 0); }

CUresult cuMemFreeHost(void* pointer) {
  return in_context(__func__, [&](Context& context) {
    if (pointer == nullptr) {
      return;
    }
    context.synchronize();
    driver().memory.free(address_of(pointer), {Kind::pinned}, CUDA_ERROR_INVALID_VALUE);
  });
}

CUresult cuMemHostRegister(void* start, size_t size, unsigned flags) {
  return in_context(__func__, [&](Context& context) {
    constexpr unsigned known = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP;
    require((flags & CU_MEMHOSTREGISTER_IOMEMORY) == 0, CUDA_ERROR_NOT_SUPPORTED);
    require((flags & ~(known | CU_MEMHOSTREGISTER_READ_ONLY)) == 0, CUDA_ERROR_INVALID_VALUE, "flags");
    driver().memory.register_host(start, size, flags, context);
  });
}

CUresult cuMemHostUnregister(void* start) {
  return in_context(__func__, [&](Context& context) {
    context.synchronize();
    driver().memory.free(address_of(start), {Kind::registered}, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
  });
}

CUresult cuMemHostGetDevicePointer(CUdeviceptr* address, void* pointer, unsigned flags) {
  return in_context(__func__, [&](Context& /*context*/) {
    auto& to = out(address);
    require(flags == 0, CUDA_ERROR_INVALID_VALUE, "flags");
    const auto block = driver().memory.find(pointer);
    require(block.has_value() && !block->on_device(), CUDA_ERROR_INVALID_VALUE, "no page-locked memory");
    to = address_of(pointer);
  });
}

CUresult cuMemHostGetFlags(unsigned* flags, void* pointer) {
  return in_context(__func__, [&](Context& /*context*/) {
    const auto block = driver().memory.find(pointer);
    require(block.has_value() && block->kind == Kind::pinned, CUDA_ERROR_INVALID_VALUE, "not of cuMemHostAlloc");
    out(flags) = block->flags;
  });
}

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr address) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(data != nullptr && pointer_attribute(data, attribute, address), CUDA_ERROR_INVALID_VALUE,
            "no such attribute of the pointer");
  });
}

CUresult cuPointerGetAttributes(unsigned count, CUpointer_attribute* attributes, void** data, CUdeviceptr address) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(count > 0 && attributes != nullptr && data != nullptr, CUDA_ERROR_INVALID_VALUE);
    for (unsigned i = 0; i < count; ++i) {
      require(data[i] != nullptr, CUDA_ERROR_INVALID_VALUE);
      if (!pointer_attribute(data[i], attributes[i], address)) {
        // What is documented for a pointer that is not the driver's: null, and an error for none of them.
        const bool small =
            attributes[i] == CU_POINTER_ATTRIBUTE_MEMORY_TYPE || attributes[i] == CU_POINTER_ATTRIBUTE_IS_MANAGED ||
            attributes[i] == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL || attributes[i] == CU_POINTER_ATTRIBUTE_ACCESS_FLAGS;
        if (attributes[i] != CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL) {
          std::memset(data[i], 0, small ? sizeof(int) : sizeof(void*));
        }
      }
    }
  });
}

CUresult cuPointerSetAttribute(const void* /*value*/, CUpointer_attribute attribute, CUdeviceptr address) {
  return in_context(__func__, [&](Context& /*context*/) {
    require(attribute == CU_POINTER_ATTRIBUTE_SYNC_MEMOPS && driver().memory.find(address).has_value(),
            CUDA_ERROR_INVALID_VALUE);
  });
}

CUresult cuMemPrefetchAsync(CUdeviceptr start, size_t size, CUmemLocation /*to*/, unsigned flags, CUstream stream) {
  return in_context(__func__, [&](Context& context) {
    const auto block = driver().memory.find(start);
    require(
        flags == 0 && block.has_value() && block->kind == Kind::managed && driver().memory.device_may_use(start, size),
        CUDA_ERROR_INVALID_VALUE, "no managed memory");
    submit(context, *context.stream(stream), {});
  });
}

CUresult cuMemAdvise(CUdeviceptr start, size_t size, CUmem_advise /*advice*/, CUmemLocation /*of*/) {
  return in_context(__func__, [&](Context& /*context*/) {
    const auto block = driver().memory.find(start);
    require(block.has_value() && block->kind == Kind::managed && driver().memory.device_may_use(start, size),
            CUDA_ERROR_INVALID_VALUE, "no managed memory");
  });
}
