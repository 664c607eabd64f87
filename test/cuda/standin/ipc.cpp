// SPDX-License-Identifier: Apache-2.0
// Entry points of what processes share. A handle holds the name of a file, and the process that made it.
#include <cuda.h>
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
static_assert(sizeof(SharedName) == sizeof(CUipcMemHandle) && sizeof(SharedName) == sizeof(CUipcEventHandle));

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
    const Block shared = driver().memory.share(block->start, make_shared_file);
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
