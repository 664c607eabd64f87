// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <new>
#include <string_view>

#include "isthmus/error.hpp"
#include "isthmus/isthmus.h"

namespace isthmus::c {

/// Keeps the text for isthmus_last_error(), cut to 511 bytes, and returns the result. Works without memory.
isthmus_result failed(isthmus_result result, std::string_view why) noexcept;
isthmus_result failed(const Error& error) noexcept;
inline isthmus_result invalid(std::string_view why) noexcept { return failed(ISTHMUS_INVALID_ARGUMENT, why); }

/// What is answered in a child after fork.
isthmus_result in_a_child() noexcept;

/// Runs the body of a function of the C interface; no exception gets out.
template <class Body>
isthmus_result guarded(const Body& body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return failed(ISTHMUS_EXHAUSTED, "no memory");
  } catch (const std::exception& error) {
    return failed(ISTHMUS_SYSTEM, error.what());
  } catch (...) {
    return failed(ISTHMUS_SYSTEM, "an unknown exception");
  }
}

/// The end of a function that has nothing to hand out.
template <class T>
isthmus_result result_of(const Result<T>& done) noexcept {
  return done ? ISTHMUS_OK : failed(done.error());
}

}  // namespace isthmus::c
