// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "isthmus/error.hpp"
#include "src/gpu/opencl/cl.hpp"

namespace isthmus::opencl {

// clang-format off
// One list for declaration and look-up.
#define ISTHMUS_OPENCL_FUNCTIONS(X)                                                                              \
  X(clGetPlatformIDs) X(clGetPlatformInfo) X(clGetDeviceIDs) X(clGetDeviceInfo) X(clCreateContext)               \
  X(clReleaseContext) X(clCreateCommandQueue) X(clReleaseCommandQueue) X(clCreateBuffer) X(clCreateSubBuffer)    \
  X(clReleaseMemObject) X(clSetMemObjectDestructorCallback) X(clCreateProgramWithSource)                         \
  X(clCreateProgramWithBinary) X(clReleaseProgram) X(clBuildProgram) X(clGetProgramInfo) X(clGetProgramBuildInfo) \
  X(clCreateKernel) X(clReleaseKernel) X(clSetKernelArg) X(clGetKernelInfo) X(clGetKernelArgInfo)                \
  X(clGetKernelWorkGroupInfo) X(clGetEventInfo) X(clRetainEvent) X(clReleaseEvent) X(clGetEventProfilingInfo)    \
  X(clCreateUserEvent) X(clSetUserEventStatus) X(clSetEventCallback) X(clFlush) X(clFinish) X(clWaitForEvents) X(clEnqueueWriteBuffer)          \
  X(clEnqueueCopyBuffer) X(clEnqueueCopyBufferRect) X(clEnqueueFillBuffer) X(clEnqueueMapBuffer)                 \
  X(clEnqueueUnmapMemObject) X(clEnqueueNDRangeKernel) X(clEnqueueMarkerWithWaitList)                            \
  X(clEnqueueBarrierWithWaitList) X(clGetSupportedImageFormats) X(clCreateImage) X(clCreateSampler)              \
  X(clReleaseSampler) X(clEnqueueMapImage) X(clEnqueueCopyImage) X(clEnqueueCopyImageToBuffer)                   \
  X(clEnqueueCopyBufferToImage) X(clEnqueueFillImage) X(clCompileProgram) X(clLinkProgram) X(clCreateSubDevices) \
  X(clReleaseDevice) X(clGetContextInfo)
// Null where the loader is older than they are.
#define ISTHMUS_OPENCL_NEWER_FUNCTIONS(X)                                                                        \
  X(clSetKernelArgSVMPointer) X(clCreateProgramWithIL) X(clSetProgramSpecializationConstant)                     \
  X(clGetExtensionFunctionAddressForPlatform)
// clang-format on

/// The host's OpenCL: its loader, found at run time, and the devices behind it. Never unloaded: drivers have threads.
class Driver {
 public:
  struct Device {
    cl_device_id id = nullptr;
    std::uint32_t platform = 0;  ///< index in platforms()
    std::uint32_t root = 0;      ///< index in devices() of the one that this is, or is a part of
    cl_device_type type = 0;
    cl_ulong local_memory = 0;  ///< bytes
    /// Makes a program from an intermediate language; null where the device takes none. The specification's function
    /// for devices of OpenCL 3.0, the extension's (cl_khr_il_program) for older ones that have it.
    clCreateProgramWithILKHR_fn create_with_il = nullptr;
    bool has_constants = false;  ///< its driver has clSetProgramSpecializationConstant
  };

  /// The process's: the first call loads it, which takes as long as the drivers need to come up (PoCL: a third of a
  /// second), and sets PATH and POCL_CACHE_DIR where they are missing. Any thread. Errors: not_found (no loader, or one
  /// without the functions of OpenCL 1.2); every later call says the same.
  [[nodiscard]] static const Result<const Driver*>& shared();

  // NOLINTBEGIN(readability-identifier-naming, bugprone-macro-parentheses): declarations, named as in the API
#define ISTHMUS_OPENCL_DECLARE(name) decltype(&::name) name = nullptr;
  ISTHMUS_OPENCL_FUNCTIONS(ISTHMUS_OPENCL_DECLARE)
  ISTHMUS_OPENCL_NEWER_FUNCTIONS(ISTHMUS_OPENCL_DECLARE)
#undef ISTHMUS_OPENCL_DECLARE
  // NOLINTEND(readability-identifier-naming, bugprone-macro-parentheses)

  [[nodiscard]] const std::vector<cl_platform_id>& platforms() const noexcept { return platforms_; }
  [[nodiscard]] const std::vector<Device>& devices() const noexcept { return devices_; }
  [[nodiscard]] std::string platform_text(cl_platform_id platform, cl_platform_info parameter) const;
  /// What the backend wants to know of a device or a part of one.
  [[nodiscard]] Device describe(cl_device_id id, std::uint32_t platform, std::uint32_t root) const;

 private:
  [[nodiscard]] static Result<Driver> load();
  void find_devices();
  void find_languages(Device& device) const;

  std::vector<cl_platform_id> platforms_;
  std::vector<Device> devices_;
};

/// Whether a platform with these extensions is our own frontend: a worker that used it would wait for itself.
[[nodiscard]] bool is_own_frontend(std::string_view extensions) noexcept;

}  // namespace isthmus::opencl
