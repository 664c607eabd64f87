// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace isthmus::host {

/// Hands out the addresses at which client and worker should both map a region, from 0x5500'0000'0000 up: a range that
/// is free in plain, ASan, TSan and MSan processes (0x6000'0000'0000 is not). After 256 GiB it starts again; a process
/// for which an address is taken maps elsewhere.
class AddressSpace {
 public:
  /// \param size a power of two
  [[nodiscard]] std::uint64_t take(std::uint64_t size) noexcept {
    std::uint64_t address = (next_ + size - 1) / size * size;
    if (address + size > first + range) {
      address = first;
    }
    next_ = address + size;
    return address;
  }

 private:
  static constexpr std::uint64_t first = 0x5500'0000'0000;
  static constexpr std::uint64_t range = std::uint64_t{256} << 30;

  std::uint64_t next_ = first;
};

}  // namespace isthmus::host
