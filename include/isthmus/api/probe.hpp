// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "isthmus/marshal/api.hpp"
#include "isthmus/reference.hpp"

/// \file
/// The probe API: small services by which one sees whether, and how fast, a lane works. Every worker offers it.

namespace isthmus::probe {

inline constexpr std::uint16_t api_id = 1;

/// Status codes of this API.
enum class Status : std::int32_t {
  ok = 0,
  bad_reference = 1,  ///< a reference lies outside the region's extents
  bad_size = 2,       ///< two references that should be equally long are not
  no_hash = 3,        ///< HashFinish without HashChunk
};

/// Sends trailing bytes; they come back as the reply's trailing bytes.
struct Echo {
  static constexpr std::uint16_t api = api_id;
  static constexpr std::uint16_t opcode = 1;
  struct Request {};
  struct Reply {};
};

/// CRC-32C (Castagnoli; RFC 3720, section 12.1) of the trailing bytes.
struct Crc32c {
  static constexpr std::uint16_t api = api_id;
  static constexpr std::uint16_t opcode = 2;
  struct Request {};
  struct Reply {
    std::uint32_t crc = 0;
    std::uint32_t reserved = 0;
  };
};

/// Takes the payload into host memory, adds it to the channel's running SHA-256, and writes what arrived to `echo`.
struct HashChunk {
  static constexpr std::uint16_t api = api_id;
  static constexpr std::uint16_t opcode = 3;
  struct Request {
    Reference data;
    Reference echo;  ///< as long as `data`, or length 0 for none
  };
  struct Reply {};
};

/// The SHA-256 of everything that HashChunk took on this channel since the last HashFinish.
struct HashFinish {
  static constexpr std::uint16_t api = api_id;
  static constexpr std::uint16_t opcode = 4;
  struct Request {};
  struct Reply {
    std::array<std::uint8_t, 32> digest{};
    std::uint64_t bytes = 0;
  };
};

/// For marshal::open<probe::ProbeApi>(channel).
struct ProbeApi {
  static constexpr std::uint16_t id = api_id;
  static constexpr std::string_view name = "probe";
  static constexpr std::uint16_t major = 1;
  static constexpr std::uint16_t minor = 0;
  static constexpr std::uint16_t oldest_minor = 0;
  static constexpr std::uint64_t features = 0;
  using Messages = marshal::Messages<Echo, Crc32c, HashChunk, HashFinish>;
};

}  // namespace isthmus::probe
