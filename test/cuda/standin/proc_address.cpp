// SPDX-License-Identifier: Apache-2.0
// cuGetProcAddress: what the library exports, by the name without version. The newest version of each is the only one.
#include <cuda.h>
#include <dlfcn.h>

#include <string>

#include "test/cuda/standin/entry.hpp"

namespace isthmus::standin {
namespace {

void* self() {
  static void* const handle = [] {
    Dl_info info{};
    dladdr(reinterpret_cast<const void*>(&self), &info);
    return dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  }();
  return handle;
}

void* find_entry(const std::string& name, bool per_thread) {
  for (const char* version : {"_v4", "_v3", "_v2", ""}) {
    for (const char* stream : {"_ptsz", "_ptds"}) {
      void* found = per_thread ? dlsym(self(), (name + version + stream).c_str()) : nullptr;
      if (found != nullptr) {
        return found;
      }
    }
    if (void* found = dlsym(self(), (name + version).c_str())) {
      return found;
    }
  }
  return nullptr;
}

}  // namespace
}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuGetProcAddress(const char* symbol, void** function, int /*version*/, cuuint64_t flags,
                          CUdriverProcAddressQueryResult* status) {
  return answer(__func__, [&] {
    auto& to = out(function);
    require(symbol != nullptr && flags <= CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, CUDA_ERROR_INVALID_VALUE);
    to = find_entry(symbol, (flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) != 0);
    if (status != nullptr) {
      *status = to == nullptr ? CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND : CU_GET_PROC_ADDRESS_SUCCESS;
    }
    require(to != nullptr, CUDA_ERROR_NOT_FOUND, symbol);
  });
}
