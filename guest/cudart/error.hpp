// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "guest/cudart/driver.hpp"
#include "guest/cudart/runtime.hpp"

/// \file
/// Result codes: the driver's made the runtime's, and the error that each thread remembers.

namespace isthmus::cudart {

/// The runtime's number for a driver's result. The two enumerations agree in every number that both have; a number that
/// the runtime's lacks becomes cudaErrorUnknown.
cudaError_t to_runtime(CUresult result) noexcept;

/// The other way, for what a driver hands to a callback.
inline CUresult to_driver(cudaError_t error) noexcept { return static_cast<CUresult>(error); }

/// Keeps `error`, which is not cudaSuccess, as the calling thread's last error.
void remember(cudaError_t error) noexcept;

/// What an entry point returns: `error`, remembered if it is one.
inline cudaError_t report(cudaError_t error) noexcept {
  if (error != cudaSuccess) [[unlikely]] {
    remember(error);
  }
  return error;
}

}  // namespace isthmus::cudart
