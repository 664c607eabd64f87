// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "isthmus/marshal/dispatcher.hpp"

namespace isthmus::opencl {

/// Adds the OpenCL API (messages.hpp) to a dispatcher, for one lane. The host's OpenCL is loaded when a client first
/// asks for devices. What the lane left is released with the dispatcher.
/// \param window the lane's region, as it is mapped in this process: where pointers of kernels may point
void add_opencl_service(marshal::Dispatcher& dispatcher, std::span<const std::byte> window);

/// Loads the host's OpenCL ahead of the first client, and says in one line what is there. One thread, no other running.
[[nodiscard]] std::string prepare_driver();

}  // namespace isthmus::opencl
