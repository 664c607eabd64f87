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

inline constexpr cl_uint most_devices_of_a_build = 1024;

/// The devices of a build: those given, or all. False when one is not among `all`.
[[nodiscard]] bool devices_of_build(const std::vector<std::shared_ptr<Device>>& all, cl_uint count,
                                    const cl_device_id* handles, std::vector<std::shared_ptr<Device>>& devices);

[[nodiscard]] std::vector<std::uint32_t> numbers_of(const std::vector<std::shared_ptr<Device>>& devices);

/// For CL_PROGRAM_BUILD_OPTIONS.
void keep_options(Program& program, const std::vector<std::shared_ptr<Device>>& devices, const std::string& options);

/// Whether the application wants to be told of its kernels' arguments; the driver always knows, because we ask it to.
[[nodiscard]] bool asks_for_argument_info(Program& program);

}  // namespace isthmus::opencl
