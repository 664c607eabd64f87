// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The OpenCL headers as frontend and backend want them. Include them by this file only.

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_0_APIS
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#define CL_USE_DEPRECATED_OPENCL_2_0_APIS
#define CL_USE_DEPRECATED_OPENCL_2_1_APIS
#define CL_USE_DEPRECATED_OPENCL_2_2_APIS

#include <CL/cl.h>
#include <CL/cl_ext.h>

namespace isthmus::opencl {

/// The extension by which our frontend's platforms are known.
inline constexpr const char* frontend_extension = "cl_isthmus_frontend";

}  // namespace isthmus::opencl
