// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "guest/opencl/types.hpp"

/// \file
/// What building, compiling and linking have in common.

namespace isthmus::opencl {

using BuildNotify = void(CL_CALLBACK*)(cl_program, void*);

/// The devices of building, compiling or linking: those given, or all. Errors: CL_INVALID_VALUE (a list that
/// contradicts its count, data for no notification), CL_INVALID_DEVICE (one is not among `all`).
[[nodiscard]] cl_int devices_of_build(const std::vector<std::shared_ptr<Device>>& all, cl_uint count,
                                      const cl_device_id* handles, BuildNotify notify, const void* user_data,
                                      std::vector<std::shared_ptr<Device>>& devices);

[[nodiscard]] std::vector<std::uint32_t> numbers_of(const std::vector<std::shared_ptr<Device>>& devices);

/// For CL_PROGRAM_BUILD_OPTIONS.
void keep_options(Program& program, const std::vector<std::shared_ptr<Device>>& devices, const std::string& options);

/// Whether the application wants to be told of its kernels' arguments; the driver always knows, because we ask it to.
[[nodiscard]] bool asks_for_argument_info(Program& program);

}  // namespace isthmus::opencl
