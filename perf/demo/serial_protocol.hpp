// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace isthmus::demo {

/// Frames of the demo's rival: the same two services over a byte stream, here virtio-serial. A header, then `length`
/// bytes, in both directions.
struct SerialHeader {
  enum class Op : std::uint32_t { crc32c = 1, hash_chunk = 2, hash_finish = 3 };

  Op op = Op::crc32c;
  std::uint32_t length = 0;
};

inline constexpr std::uint32_t serial_max_length = 4U << 20;

}  // namespace isthmus::demo
