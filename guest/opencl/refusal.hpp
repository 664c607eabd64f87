// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tuple>
#include <type_traits>

#include "src/gpu/opencl/cl.hpp"

namespace isthmus::opencl {

/// A function of the API's type `Pointer` that refuses with `Code`: as its result, or, where it returns an object,
/// through errcode_ret, which is always the last parameter.
template <class Pointer, cl_int Code>
struct Refusal;

template <class... Parameters, cl_int Code>
struct Refusal<cl_int(CL_API_CALL*)(Parameters...), Code> {
  static cl_int CL_API_CALL call(Parameters...) { return Code; }
};

template <class... Parameters, cl_int Code>
struct Refusal<void(CL_API_CALL*)(Parameters...), Code> {
  static void CL_API_CALL call(Parameters...) {}
};

template <class Result, class... Parameters, cl_int Code>
  requires std::is_pointer_v<Result>
struct Refusal<Result(CL_API_CALL*)(Parameters...), Code> {
  static Result CL_API_CALL call(Parameters... parameters) {
    auto last = std::get<sizeof...(Parameters) - 1>(std::make_tuple(parameters...));
    if constexpr (std::is_same_v<decltype(last), cl_int*>) {
      if (last != nullptr) {
        *last = Code;
      }
    }
    return nullptr;
  }
};

/// Sets an entry of the dispatch table. Those without a type are for systems that this is not.
template <cl_int Code, class Pointer>
void refuse_entry(Pointer& entry) {
  if constexpr (!std::is_same_v<Pointer, void*>) {
    entry = Refusal<Pointer, Code>::call;
  }
}

}  // namespace isthmus::opencl
