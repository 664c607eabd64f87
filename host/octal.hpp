// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>

namespace isthmus::host {

/// A file mode as people write it: "0600".
[[nodiscard]] inline std::string octal(mode_t mode) {
  std::string digits;
  for (mode_t rest = mode; rest != 0 || digits.size() < 4; rest >>= 3U) {
    digits.insert(digits.begin(), static_cast<char>('0' + (rest & 7U)));
  }
  return digits;
}

}  // namespace isthmus::host
