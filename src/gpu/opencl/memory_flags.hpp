// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "src/gpu/opencl/cl.hpp"

namespace isthmus::opencl {

/// What a client may choose; where the memory comes from is chosen by the backend.
inline constexpr cl_mem_flags access_flags = CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY |
                                             CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS;
/// What of it the driver is told. Its own checks of host access would be about the copies through which HostAccess
/// works; the client checks those.
inline constexpr cl_mem_flags device_flags = CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY;

}  // namespace isthmus::opencl
