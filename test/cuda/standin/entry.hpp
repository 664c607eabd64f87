// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <memory>
#include <new>
#include <utility>

#include "test/cuda/standin/context.hpp"
#include "test/cuda/standin/dawdle.hpp"
#include "test/cuda/standin/failure.hpp"
#include "test/cuda/standin/settings.hpp"

namespace isthmus::standin {

/// The calling thread's current context; null without one.
std::shared_ptr<Context> current_context();

/// While it lives, the default stream of this thread's calls is the thread's own (functions that end in _ptds, _ptsz).
class OwnDefaultStream {
 public:
  OwnDefaultStream() noexcept;
  OwnDefaultStream(const OwnDefaultStream&) = delete;
  OwnDefaultStream& operator=(const OwnDefaultStream&) = delete;
  ~OwnDefaultStream();

 private:
  bool before_;
};
bool null_stream_is_per_thread() noexcept;

/// Fails where cuInit was not called in this process, or a callback calls.
void check_entry();
/// The current context, in order; fails without one, or with its error.
std::shared_ptr<Context> checked_context();
void trace(const char* name, CUresult code, const char* why) noexcept;

/// Every entry point: runs `body`, and answers what it fails with.
template <class Body>
CUresult answer(const char* name, Body&& body) noexcept {
  try {
    dawdle(settings().call_delay_us);
    std::forward<Body>(body)();
    trace(name, CUDA_SUCCESS, "");
    return CUDA_SUCCESS;
  } catch (const Failure& failure) {
    trace(name, failure.code, failure.why.c_str());
    return failure.code;
  } catch (const std::bad_alloc&) {
    trace(name, CUDA_ERROR_OUT_OF_MEMORY, "the host's memory");
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
}

/// An entry point that needs cuInit alone.
template <class Body>
CUresult initialised(const char* name, Body&& body) noexcept {
  return answer(name, [&] {
    check_entry();
    std::forward<Body>(body)();
  });
}

/// An entry point of the current context: body(Context&).
template <class Body>
CUresult in_context(const char* name, Body&& body) noexcept {
  return answer(name, [&] {
    check_entry();
    const auto context = checked_context();
    std::forward<Body>(body)(*context);
  });
}

/// Where a result goes; fails with CUDA_ERROR_INVALID_VALUE for null.
template <class T>
T& out(T* where) {
  require(where != nullptr, CUDA_ERROR_INVALID_VALUE, "a null pointer for a result");
  return *where;
}

}  // namespace isthmus::standin
