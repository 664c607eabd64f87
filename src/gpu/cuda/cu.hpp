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

}  // namespace isthmus::cuda
