// SPDX-License-Identifier: Apache-2.0
#pragma once

struct _cl_icd_dispatch;  // NOLINT(readability-identifier-naming): the OpenCL headers call it so

namespace isthmus::opencl {

/// What the loader calls, for every object of ours (cl_khr_icd). Entries that we do not have answer as the
/// specification says of a device that cannot do it.
[[nodiscard]] const _cl_icd_dispatch* dispatch_table() noexcept;

}  // namespace isthmus::opencl
