// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <cstddef>

#include "test/cuda/standin/context.hpp"

namespace isthmus::standin {

// The stand-in's device addresses are addresses of this process.

inline std::byte* pointer_to(CUdeviceptr address) noexcept {
  return reinterpret_cast<std::byte*>(address);  // NOLINT(performance-no-int-to-ptr): that is what it is
}

inline CUdeviceptr address_of(const void* pointer) noexcept { return reinterpret_cast<CUdeviceptr>(pointer); }

inline CUdevice device_of(const Context& context) noexcept { return context.device; }

}  // namespace isthmus::standin
