// SPDX-License-Identifier: Apache-2.0

// What the loader looks for in an ICD (cl_khr_icd), and nothing else: libisthmus-opencl.map.

#include "guest/opencl/dispatch.hpp"
#include "guest/opencl/entry.hpp"

using namespace isthmus::opencl;  // NOLINT(google-build-using-namespace): the names below are C's

extern "C" {

__attribute__((visibility("default"))) cl_int CL_API_CALL clIcdGetPlatformIDsKHR(cl_uint num_entries,
                                                                                 cl_platform_id* platforms,
                                                                                 cl_uint* num_platforms) {
  return entry::get_platform_ids(num_entries, platforms, num_platforms);
}

__attribute__((visibility("default"))) cl_int CL_API_CALL clGetPlatformInfo(cl_platform_id platform,
                                                                            cl_platform_info parameter,
                                                                            std::size_t size, void* value,
                                                                            std::size_t* size_ret) {
  return entry::get_platform_info(platform, parameter, size, value, size_ret);
}

__attribute__((visibility("default"))) void* CL_API_CALL clGetExtensionFunctionAddress(const char* name) {
  return extension_function(name != nullptr ? name : "");
}

}  // extern "C"
