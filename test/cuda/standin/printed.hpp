// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <string_view>

namespace isthmus::standin {

/// What kernels print waits here, as on a device, until a function comes by that a driver writes it in. Any thread.
void keep_printed(std::string_view text);
/// Writes it to the C library's stdout.
void write_printed();

}  // namespace isthmus::standin
