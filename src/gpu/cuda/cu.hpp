// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The driver's interface as frontend and backend want it. Include it by this file only.

// The frontend is built with hidden visibility, and defines these.
#pragma GCC visibility push(default)
#include <cuda.h>
#pragma GCC visibility pop

namespace isthmus::cuda {

/// The symbol by which our own libcuda.so.1 is known.
inline constexpr const char* frontend_symbol = "cuIsthmusFrontend";

/// Whether a number is a CUmemAllocationHandleType by which memory can be shared here: none, or a descriptor.
[[nodiscard]] constexpr bool is_shareable_by(unsigned handles) noexcept {
  return handles == CU_MEM_HANDLE_TYPE_NONE || handles == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
}

/// Whether a number is one of CUmemAccess_flags.
[[nodiscard]] constexpr bool is_access(unsigned long long flags) noexcept {
  return flags == CU_MEM_ACCESS_FLAGS_PROT_NONE || flags == CU_MEM_ACCESS_FLAGS_PROT_READ ||
         flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
}

}  // namespace isthmus::cuda
