// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <isthmus/reference.hpp>

// What the halves of the block device say to each other.
namespace block_device {

inline constexpr std::uint16_t api_id = 0x424c;
inline constexpr std::size_t block_size = 4096;
inline constexpr std::uint64_t blocks = 1024;

// Blocks from this one on lie on a damaged track: the device tries again and again, until it is reset.
inline constexpr std::uint64_t first_bad_block = 1000;

enum Opcode : std::uint16_t { op_read = 1, op_reset = 2 };
enum Status : std::int32_t { ok = 0, bad_request = 1, was_reset = 2 };

struct ReadRequest {
  std::uint64_t block = 0;
  isthmus::Reference buffer;  // where the device puts the block
};

struct ReadReply {
  std::uint64_t order = 0;  // which answer of the device this is: 1, 2, ...
};

}  // namespace block_device
