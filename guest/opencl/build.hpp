// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "guest/opencl/types.hpp"

/// \file
/// What making, building, compiling and linking programs have in common.

namespace isthmus::opencl {

/// Has the host make `program` for all devices of the context: from `text`, which is not empty, in the form that it
/// has. Gives it to the application as the API does. Errors: CL_OUT_OF_HOST_MEMORY, CL_OUT_OF_RESOURCES (the lane is
/// over), and what the host's driver says.
[[nodiscard]] cl_program create_from_text(std::shared_ptr<Program> program, const std::shared_ptr<Context>& context,
                                          ProgramForm form, std::span<const std::byte> text, cl_int* errcode_ret);

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
