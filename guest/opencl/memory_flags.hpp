// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstring>

#include "guest/opencl/connection.hpp"
#include "src/gpu/opencl/cl.hpp"

namespace isthmus::opencl {

inline constexpr cl_mem_flags kernel_access = CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY;
inline constexpr cl_mem_flags host_access = CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS;
inline constexpr cl_mem_flags host_memory = CL_MEM_USE_HOST_PTR | CL_MEM_ALLOC_HOST_PTR | CL_MEM_COPY_HOST_PTR;
/// What the host's driver is told of the flags; the rest is the client's affair.
inline constexpr cl_mem_flags told_flags = kernel_access | host_access;

/// Whether OpenCL 1.2 knows the flags and lets them stand together.
[[nodiscard]] inline bool flags_fit(cl_mem_flags flags) {
  return (flags & ~(kernel_access | host_access | host_memory)) == 0 && std::popcount(flags & kernel_access) <= 1 &&
         std::popcount(flags & host_access) <= 1 &&
         ((flags & CL_MEM_USE_HOST_PTR) == 0 || (flags & (CL_MEM_ALLOC_HOST_PTR | CL_MEM_COPY_HOST_PTR)) == 0);
}
/// With what is meant where nothing is said.
[[nodiscard]] inline cl_mem_flags with_kernel_access(cl_mem_flags flags) {
  return (flags & kernel_access) == 0 ? flags | CL_MEM_READ_WRITE : flags;
}
/// Whether a pointer was passed exactly where the flags want one.
[[nodiscard]] inline bool host_pointer_fits(cl_mem_flags flags, const void* host) {
  return ((flags & (CL_MEM_USE_HOST_PTR | CL_MEM_COPY_HOST_PTR)) != 0) == (host != nullptr);
}

/// Slab memory, with what lies at `host` unless that is null.
[[nodiscard]] inline Expected<Frame> frame_with(Connection& connection, std::size_t size, const void* host) {
  auto frame = connection.allocate(size);
  if (frame && host != nullptr) {
    std::memcpy(frame->data(), host, size);
  }
  return frame;
}

}  // namespace isthmus::opencl
