// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

struct _cl_icd_dispatch;  // NOLINT(readability-identifier-naming): the OpenCL headers call it so

namespace isthmus::opencl {

/// What the loader calls, for every object of ours (cl_khr_icd). Entries that we do not have answer as the
/// specification says of a device that cannot do it.
[[nodiscard]] const _cl_icd_dispatch* dispatch_table() noexcept;

/// A function that a loader or a program asks for by name; null where there is none of that name.
[[nodiscard]] void* extension_function(std::string_view name) noexcept;

}  // namespace isthmus::opencl
