// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "isthmus/error.hpp"

namespace isthmus::test {

/// Ends the test with a text where going on would make no sense.
inline void require(bool ok, const std::string& what) {
  if (!ok) {
    throw std::runtime_error(what);
  }
}

/// The value of a result that has to have one.
template <class T>
T must(Result<T> result) {
  require(result.has_value(), result ? "" : result.error().message);
  return std::move(*result);
}
inline void must(const Result<void>& result) { require(result.has_value(), result ? "" : result.error().message); }

}  // namespace isthmus::test
