// SPDX-License-Identifier: Apache-2.0
// Entry points of what processes share. A handle holds the name of a file, and the process that made it.
#include <cuda.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/shared_file.hpp"

namespace isthmus::standin {
namespace {

struct SharedName {
  std::uint64_t size = 0;
  int process = 0;
  std::array<char, 52> file{};
};
static_assert(sizeof(SharedName) == sizeof(CUipcMemHandle) && sizeof(SharedName) == sizeof(CUipcEventHandle) &&
              sizeof(SharedName) == sizeof(CUmemPoolPtrExportData));

template <class Handle>
void put_name(Handle& to, std::size_t size, const std::string& file) {
  SharedName name{.size = size, .process = getpid()};
  require(file.size() < name.file.size(), CUDA_ERROR_MAP_FAILED, "the folder's name is too long");
  std::memcpy(name.file.data(), file.data(), file.size());
  std::memcpy(&to, &name, sizeof name);
}

// Of a handle of another process.
template <class Handle>
SharedName name_of(const Handle& from) {
  SharedName name;
  std::memcpy(static_cast<void*>(&name), &from, sizeof name);
  require(name.file.front() == '/' && name.file.back() == '\0', CUDA_ERROR_INVALID_VALUE, "no handle");
  require(name.process != getpid(), CUDA_ERROR_INVALID_CONTEXT, "the process's own");
  return name;
}

}  // namespace
}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuIpcGetMemHandle(CUipcMemHandle* handle, CUdeviceptr address) {
  return in_context(__func__, [&](Context& context) {
    auto& to = out(handle);
    context.synchronize();  // the memory moves into a file
    const auto block = driver().memory.find(address);
    require(block.has_value(), CUDA_ERROR_INVALID_VALUE, "no memory");
    const Block shared = driver().memory.share(block->start, Block::Kind::device, make_shared_file);
    put_name(to, shared.size, shared.file);
  });
}

CUresult cuIpcOpenMemHandle(CUdeviceptr* address, CUipcMemHandle handle, unsigned flags) {
  return in_context(__func__, [&](Context& context) {
    auto& to = out(address);
    require(flags == CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS, CUDA_ERROR_INVALID_VALUE, "flags");
    const SharedName name = name_of(handle);
    to = driver().memory.open(name.file.data(), name.size, context);
  });
}

CUresult cuIpcCloseMemHandle(CUdeviceptr address) {
  return in_context(__func__, [&](Context& context) {
    context.synchronize();
    driver().memory.close(address);
  });
}

CUresult cuIpcGetEventHandle(CUipcEventHandle* handle, CUevent event) {
  return in_context(__func__, [&](Context& /*context*/) {
    auto& to = out(handle);
    const auto shared = driver().events.get(event);
    require((shared->flags & CU_EVENT_INTERPROCESS) != 0, CUDA_ERROR_INVALID_HANDLE, "not for other processes");
    const std::scoped_lock lock(shared->mutex);
    if (shared->shared == nullptr) {
      require(shared->recorded == nullptr, CUDA_ERROR_NOT_SUPPORTED, "this double shares events before their use");
      shared->shared = std::make_shared<SharedRecords>("");
    }
    put_name(to, 0, shared->shared->file());
  });
}

CUresult cuIpcOpenEventHandle(CUevent* event, CUipcEventHandle handle) {
  return in_context(__func__, [&](Context& context) {
    auto& to = out(event);
    const SharedName name = name_of(handle);
    auto made = std::make_shared<Event>(context, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING);
    made->shared = std::make_shared<SharedRecords>(name.file.data());
    to = driver().events.add(std::move(made));
  });
}

// A pool's descriptor leads to a file that says which device it is of; memory goes by files' names, as above.
CUresult cuMemPoolExportToShareableHandle(void* shared, CUmemoryPool pool, CUmemAllocationHandleType type,
                                          unsigned long long flags) {
  return initialised(__func__, [&] {
    const auto found = driver().pools.get(pool, CUDA_ERROR_INVALID_VALUE);
    require(shared != nullptr && flags == 0 && type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR && found->shareable,
            CUDA_ERROR_INVALID_VALUE);
    const int file = memfd_create("isthmus-standin-pool", MFD_CLOEXEC);
    require(file >= 0 && pwrite(file, &found->device, sizeof found->device, 0) == sizeof found->device,
            CUDA_ERROR_OPERATING_SYSTEM);
    *static_cast<int*>(shared) = file;
  });
}

CUresult cuMemPoolImportFromShareableHandle(CUmemoryPool* pool, void* shared, CUmemAllocationHandleType type,
                                            unsigned long long flags) {
  return initialised(__func__, [&] {
    auto& to = out(pool);
    CUdevice device = 0;
    const auto file = static_cast<int>(reinterpret_cast<std::uintptr_t>(shared));
    require(flags == 0 && type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR &&
                pread(file, &device, sizeof device, 0) == sizeof device,
            CUDA_ERROR_INVALID_VALUE);
    auto made = std::make_shared<Pool>(device);
    made->imported = true;
    to = driver().pools.add(std::move(made));
  });
}

CUresult cuMemPoolExportPointer(CUmemPoolPtrExportData* data, CUdeviceptr address) {
  return in_context(__func__, [&](Context& context) {
    auto& to = out(data);
    context.synchronize();
    const Block shared = driver().memory.share(address, Block::Kind::pooled, make_shared_file);
    put_name(to, shared.size, shared.file);
  });
}

CUresult cuMemPoolImportPointer(CUdeviceptr* address, CUmemoryPool pool, CUmemPoolPtrExportData* data) {
  return in_context(__func__, [&](Context& context) {
    auto& to = out(address);
    require(data != nullptr && driver().pools.get(pool, CUDA_ERROR_INVALID_VALUE)->imported, CUDA_ERROR_INVALID_VALUE);
    const SharedName name = name_of(*data);
    to = driver().memory.open(name.file.data(), name.size, context);
  });
}
