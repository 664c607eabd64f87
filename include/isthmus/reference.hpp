// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace isthmus {

/// Names payload bytes that stay where they are: {window: 8 bits, offset: 56 bits, length: 64 bits}.
///
/// It travels inside a message in place of the bytes. Offsets count from the start of the window; window 0 is the
/// lane's region. A reference is data from the other side of a trust boundary: only a bounds-checked
/// Request::resolve() (isthmus/service.hpp) turns it into memory.
struct Reference {
  std::uint64_t window_and_offset = 0;  ///< window in the top 8 bits, byte offset in the low 56
  std::uint64_t length = 0;             ///< bytes

  static constexpr std::uint64_t offset_bits = 56;
  static constexpr std::uint64_t max_offset = (std::uint64_t{1} << offset_bits) - 1;

  [[nodiscard]] static constexpr Reference make(std::uint8_t window, std::uint64_t offset,
                                                std::uint64_t length) noexcept {
    return {(std::uint64_t{window} << offset_bits) | (offset & max_offset), length};
  }
  [[nodiscard]] constexpr std::uint8_t window() const noexcept {
    return static_cast<std::uint8_t>(window_and_offset >> offset_bits);
  }
  [[nodiscard]] constexpr std::uint64_t offset() const noexcept { return window_and_offset & max_offset; }

  friend constexpr bool operator==(const Reference&, const Reference&) noexcept = default;
};

}  // namespace isthmus
