// SPDX-License-Identifier: Apache-2.0
#include "guest/cuda/proc_address.hpp"

#pragma GCC visibility push(default)
#include <cudaProfiler.h>
#pragma GCC visibility pop

#include <algorithm>
#include <array>

#include "guest/cuda/frontend.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

// Some are deprecated: old programs ask for them all the same.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
constexpr EntryPoint plain_entries[] = {
// NOLINTNEXTLINE(bugprone-macro-parentheses): a name
#define ISTHMUS_CUDA_ENTRY(name, since) {#name, since, [] { return reinterpret_cast<void*>(&name); }},
    ISTHMUS_CUDA_PLAIN_ENTRIES(ISTHMUS_CUDA_ENTRY)
#undef ISTHMUS_CUDA_ENTRY
        {"cuCtxGetDevice", 13000, [] { return reinterpret_cast<void*>(&cuCtxGetDevice_v2); }},
    {"cuCtxSynchronize", 13000, [] { return reinterpret_cast<void*>(&cuCtxSynchronize_v2); }},
};
#pragma GCC diagnostic pop

struct Found {
  const EntryPoint* newest = nullptr;  // of those that are not too new
  bool any = false;
};

void look_in(std::span<const EntryPoint> entries, std::string_view name, int version, Found& found) {
  for (const EntryPoint& entry : entries) {
    if (entry.name != name) {
      continue;
    }
    found.any = true;
    if (entry.since <= version && (found.newest == nullptr || entry.since > found.newest->since)) {
      found.newest = &entry;
    }
  }
}

}  // namespace

CUresult CUDAAPI cuGetProcAddress(const char* symbol, void** function, int version, cuuint64_t flags,
                                  CUdriverProcAddressQueryResult* status) {
  constexpr cuuint64_t known = CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
  if (symbol == nullptr || function == nullptr || (flags & ~known) != 0 || flags == known) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const bool per_thread = (flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) != 0;
  Found found;
  look_in(plain_entries, symbol, version, found);
  look_in(older_entries(), symbol, version, found);
  look_in(per_thread ? per_thread_entries() : legacy_entries(), symbol, version, found);
  *function = found.newest != nullptr ? found.newest->address() : nullptr;
  const auto result = found.newest != nullptr ? CU_GET_PROC_ADDRESS_SUCCESS
                      : found.any             ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                                              : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  if (status != nullptr) {
    *status = result;
    return CUDA_SUCCESS;
  }
  return found.newest != nullptr ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

// NVIDIA's libraries ask for undocumented tables here. libnvrtc calls this without asking whether it is there, and does
// without the tables where they are refused.
CUresult CUDAAPI cuGetExportTable(const void** table, const CUuuid* which) {
  if (table == nullptr || which == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *table = nullptr;
  return CUDA_ERROR_NOT_FOUND;
}

// By this the backend knows that it found our library, and not the driver.
// NOLINTBEGIN(readability-identifier-naming): as the interface's names are
extern "C" __attribute__((visibility("default"))) int cuIsthmusFrontend();
extern "C" int cuIsthmusFrontend() { return 1; }
// NOLINTEND(readability-identifier-naming)
