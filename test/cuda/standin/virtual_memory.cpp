// SPDX-License-Identifier: Apache-2.0
// Entry points of virtual memory management: addresses and memory apart.
#include <cuda.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/physical.hpp"

namespace isthmus::standin {
namespace {

constexpr std::size_t granularity = std::size_t{2} << 20U;

void check_properties(const CUmemAllocationProp& of) {
  require(of.type == CU_MEM_ALLOCATION_TYPE_PINNED && of.location.type == CU_MEM_LOCATION_TYPE_DEVICE,
          CUDA_ERROR_INVALID_VALUE, "kind of memory");
  require_device(of.location.id);
  require((of.requestedHandleTypes & ~CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) == 0, CUDA_ERROR_NOT_SUPPORTED,
          "sharing of memory");
}

bool whole(std::size_t size) { return size > 0 && size % granularity == 0; }

}  // namespace

Physical::Physical(std::size_t bytes, const CUmemAllocationProp& with) : size(bytes), properties(with) {
  driver().memory.account(properties.location.id, static_cast<std::ptrdiff_t>(size));
  file = memfd_create("isthmus-standin", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, static_cast<off_t>(size)) != 0) {
    alarm("memory for cuMemCreate: not to be had");
  }
}

Physical::Physical(int of, std::size_t bytes, const CUmemAllocationProp& with)
    : size(bytes), properties(with), file(of), counts(false) {}

Physical::~Physical() {
  ::close(file);
  if (counts) {
    driver().memory.account(properties.location.id, -static_cast<std::ptrdiff_t>(size));
  }
}

}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuMemGetAllocationGranularity(size_t* size, const CUmemAllocationProp* properties,
                                       CUmemAllocationGranularity_flags /*which*/) {
  return initialised(__func__, [&] {
    require(properties != nullptr, CUDA_ERROR_INVALID_VALUE);
    check_properties(*properties);
    out(size) = granularity;
  });
}

CUresult cuMemAddressReserve(CUdeviceptr* start, size_t size, size_t alignment, CUdeviceptr wanted,
                             unsigned long long flags) {
  return initialised(__func__, [&] {
    auto& to = out(start);
    require(flags == 0 && whole(size) && (alignment & (alignment - 1)) == 0, CUDA_ERROR_INVALID_VALUE);
    to = driver().memory.reserve(size, std::max(alignment, granularity), wanted);
  });
}

CUresult cuMemAddressFree(CUdeviceptr start, size_t size) {
  return initialised(__func__, [&] { driver().memory.unreserve(start, size); });
}

CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, size_t size, const CUmemAllocationProp* properties,
                     unsigned long long flags) {
  return initialised(__func__, [&] {
    auto& to = out(handle);
    require(properties != nullptr && flags == 0 && whole(size), CUDA_ERROR_INVALID_VALUE);
    check_properties(*properties);
    to = driver().physicals.add(std::make_shared<Physical>(size, *properties));
  });
}

CUresult cuMemExportToShareableHandle(void* shared, CUmemGenericAllocationHandle handle, CUmemAllocationHandleType type,
                                      unsigned long long flags) {
  return initialised(__func__, [&] {
    const auto memory = driver().physicals.get(handle, CUDA_ERROR_INVALID_VALUE);
    require(shared != nullptr && flags == 0 && type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR &&
                memory->properties.requestedHandleTypes == type,
            CUDA_ERROR_INVALID_VALUE);
    *static_cast<int*>(shared) = fcntl(memory->file, F_DUPFD_CLOEXEC, 0);
  });
}

CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* shared,
                                        CUmemAllocationHandleType type) {
  return initialised(__func__, [&] {
    auto& to = out(handle);
    const int file = fcntl(static_cast<int>(reinterpret_cast<std::uintptr_t>(shared)), F_DUPFD_CLOEXEC, 0);
    struct stat status{};
    require(type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR && file >= 0 && fstat(file, &status) == 0 &&
                whole(static_cast<std::size_t>(status.st_size)),
            CUDA_ERROR_INVALID_VALUE);
    CUmemAllocationProp properties{};
    properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.requestedHandleTypes = type;
    properties.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0};
    to = driver().physicals.add(std::make_shared<Physical>(file, static_cast<std::size_t>(status.st_size), properties));
  });
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  // What is mapped stays: the mappings hold the file, and the map holds its count until then.
  return initialised(__func__, [&] { driver().physicals.take(handle, CUDA_ERROR_INVALID_VALUE); });
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp* properties, CUmemGenericAllocationHandle handle) {
  return initialised(__func__,
                     [&] { out(properties) = driver().physicals.get(handle, CUDA_ERROR_INVALID_VALUE)->properties; });
}

CUresult cuMemMap(CUdeviceptr start, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags) {
  return initialised(__func__, [&] {
    const auto memory = driver().physicals.get(handle, CUDA_ERROR_INVALID_VALUE);
    require(flags == 0 && whole(size) && offset % granularity == 0 && start % granularity == 0 &&
                offset <= memory->size && size <= memory->size - offset,
            CUDA_ERROR_INVALID_VALUE);
    driver().memory.map(start, size, offset, memory);
  });
}

CUresult cuMemUnmap(CUdeviceptr start, size_t size) {
  return initialised(__func__, [&] { driver().memory.unmap(start, size); });
}

CUresult cuMemSetAccess(CUdeviceptr start, size_t size, const CUmemAccessDesc* access, size_t count) {
  return initialised(__func__, [&] {
    require(access != nullptr && count > 0, CUDA_ERROR_INVALID_VALUE);
    bool writable = false;
    for (std::size_t i = 0; i < count; ++i) {
      require(access[i].location.type == CU_MEM_LOCATION_TYPE_DEVICE, CUDA_ERROR_NOT_SUPPORTED);
      require_device(access[i].location.id);
      writable |= access[i].flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    }
    driver().memory.set_access(start, size, writable);
  });
}

CUresult cuMemGetAccess(unsigned long long* flags, const CUmemLocation* location, CUdeviceptr address) {
  return initialised(__func__, [&] {
    require(location != nullptr, CUDA_ERROR_INVALID_VALUE);
    const auto block = driver().memory.find(address);
    require(block.has_value() && block->kind == Block::Kind::mapped, CUDA_ERROR_INVALID_VALUE, "nothing is mapped");
    out(flags) = block->writable ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : CU_MEM_ACCESS_FLAGS_PROT_NONE;
  });
}
