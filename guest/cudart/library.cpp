// SPDX-License-Identifier: Apache-2.0

// Libraries that a program loads itself, and the driver's entry points by name.

#include <algorithm>

#include "guest/cudart/call.hpp"
#include "guest/cudart/module.hpp"

using namespace isthmus::cudart;  // NOLINT(google-build-using-namespace): the names below are C's

cudaError_t cudaLibraryLoadData(cudaLibrary_t* library, const void* code, cudaJitOption* jit_options, void** jit_values,
                                unsigned jit_count, cudaLibraryOption* options, void** values, unsigned count) {
  return forward(cuLibraryLoadData, library, code, jit_options, jit_values, jit_count, options, values, count);
}
cudaError_t cudaLibraryLoadFromFile(cudaLibrary_t* library, const char* path, cudaJitOption* jit_options,
                                    void** jit_values, unsigned jit_count, cudaLibraryOption* options, void** values,
                                    unsigned count) {
  return forward(cuLibraryLoadFromFile, library, path, jit_options, jit_values, jit_count, options, values, count);
}
cudaError_t cudaLibraryUnload(cudaLibrary_t library) { return forward(cuLibraryUnload, library); }

cudaError_t cudaLibraryGetKernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name) {
  const cudaError_t error = forward(cuLibraryGetKernel, kernel, library, name);
  if (error == cudaSuccess) {
    remember_handle(*kernel);
  }
  return error;
}

cudaError_t cudaLibraryEnumerateKernels(cudaKernel_t* kernels, unsigned count, cudaLibrary_t library) {
  return with_context([&] {
    unsigned held = 0;
    cudaError_t error = driver(cuLibraryGetKernelCount, &held, library);
    if (error == cudaSuccess) {
      error = driver(cuLibraryEnumerateKernels, kernels, count, library);
    }
    for (unsigned i = 0; error == cudaSuccess && i < std::min(count, held); ++i) {
      remember_handle(kernels[i]);
    }
    return error;
  });
}

cudaError_t cudaLibraryGetKernelCount(unsigned* count, cudaLibrary_t library) {
  return forward(cuLibraryGetKernelCount, count, library);
}
cudaError_t cudaLibraryGetGlobal(void** address, std::size_t* size, cudaLibrary_t library, const char* name) {
  return forward(cuLibraryGetGlobal, address, size, library, name);
}
cudaError_t cudaLibraryGetManaged(void** address, std::size_t* size, cudaLibrary_t library, const char* name) {
  return forward(cuLibraryGetManaged, address, size, library, name);
}
cudaError_t cudaLibraryGetUnifiedFunction(void** function, cudaLibrary_t library, const char* name) {
  return forward(cuLibraryGetUnifiedFunction, function, library, name);
}
cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t kernel, cudaFuncAttribute attribute, int value, int device) {
  return forward(cuKernelSetAttribute, attribute, value, kernel, device);
}

namespace {

cudaError_t get_entry_point(const char* name, void** function, unsigned version, unsigned long long flags,
                            cudaDriverEntryPointQueryResult* status, bool is_per_thread) {
  if (name == nullptr || function == nullptr) {
    return report(cudaErrorInvalidValue);
  }
  const unsigned long long meant =
      flags != cudaEnableDefault
          ? flags
          : static_cast<unsigned long long>(is_per_thread ? cudaEnablePerThreadDefaultStream : cudaEnableLegacyStream);
  CUdriverProcAddressQueryResult found = CU_GET_PROC_ADDRESS_SUCCESS;
  *function = nullptr;
  cudaError_t error = initialise();
  if (error == cudaSuccess) {
    error = driver(cuGetProcAddress, name, function, static_cast<int>(version), static_cast<cuuint64_t>(meant), &found);
  }
  if (error == cudaErrorSymbolNotFound) {
    error = cudaSuccess;  // a null pointer says it, and the status why
  }
  if (status != nullptr && error == cudaSuccess) {
    *status = static_cast<cudaDriverEntryPointQueryResult>(found);
  }
  return report(error);
}

}  // namespace

cudaError_t cudaGetDriverEntryPoint(const char* name, void** function, unsigned long long flags,
                                    cudaDriverEntryPointQueryResult* status) {
  return get_entry_point(name, function, CUDART_VERSION, flags, status, false);
}
cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned version,
                                             unsigned long long flags, cudaDriverEntryPointQueryResult* status) {
  return get_entry_point(name, function, version, flags, status, false);
}

// NOLINTBEGIN(readability-identifier-naming): the API's names
#pragma GCC visibility push(default)
extern "C" {

cudaError_t cudaGetDriverEntryPoint_ptsz(const char* name, void** function, unsigned long long flags,
                                         cudaDriverEntryPointQueryResult* status) {
  return get_entry_point(name, function, CUDART_VERSION, flags, status, true);
}
cudaError_t cudaGetDriverEntryPointByVersion_ptsz(const char* name, void** function, unsigned version,
                                                  unsigned long long flags, cudaDriverEntryPointQueryResult* status) {
  return get_entry_point(name, function, version, flags, status, true);
}

}  // extern "C"
#pragma GCC visibility pop
// NOLINTEND(readability-identifier-naming)
