// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <string>

namespace isthmus::standin {

/// What an entry point answers instead of success. Thrown inside, and caught where the C function returns; the one
/// place in this project with exceptions, which keep a test double of some hundred functions short.
struct Failure {
  CUresult code;
  std::string why;  ///< for ISTHMUS_STANDIN_TRACE
};

[[noreturn]] inline void fail(CUresult code, std::string why = {}) { throw Failure{code, std::move(why)}; }

inline void require(bool condition, CUresult code, const char* why = "") {
  if (!condition) {
    fail(code, why);
  }
}

/// What a real driver would let pass and silently do wrong, or what a stand-in cannot do: says so on stderr and aborts.
[[noreturn]] void alarm(const std::string& what);

}  // namespace isthmus::standin
