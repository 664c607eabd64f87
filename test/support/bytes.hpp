// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

// What tests do with much memory, by functions of the C library: loops over bytes take long in builds without
// optimisation.

namespace isthmus::test {

inline void fill(std::span<std::byte> bytes, std::byte value) noexcept {
  if (!bytes.empty()) {
    std::memset(bytes.data(), std::to_integer<int>(value), bytes.size());
  }
}

[[nodiscard]] inline bool same(std::span<const std::byte> a, std::span<const std::byte> b) noexcept {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

[[nodiscard]] inline bool all_are(std::span<const std::byte> bytes, std::byte value) noexcept {
  return bytes.empty() || (bytes.front() == value && same(bytes.first(bytes.size() - 1), bytes.subspan(1)));
}

/// \pre the target is as large as the source
inline void copy(std::span<const std::byte> from, std::span<std::byte> to) noexcept {
  if (!from.empty()) {
    std::memcpy(to.data(), from.data(), from.size());
  }
}

}  // namespace isthmus::test
