// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include "test/cuda/standin/image.hpp"

namespace isthmus::standin {

struct Function;

/// Those of kernels that the stand-in has an answer for. Fail with CUDA_ERROR_INVALID_VALUE.
int get_attribute(const Function& function, CUfunction_attribute attribute);
void set_attribute(Function& function, CUfunction_attribute attribute, int value);
/// cuFuncGetParamInfo, cuKernelGetParamInfo. Fails with CUDA_ERROR_INVALID_VALUE past the last one.
void give_parameter(const Layout& layout, std::size_t index, std::size_t* offset, std::size_t* size);

}  // namespace isthmus::standin
