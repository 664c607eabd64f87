// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <isthmus/marshal/api.hpp>
#include <isthmus/reference.hpp>
#include <string_view>

// All that the two sides share: what they say to each other, and which version of it this is.
namespace thermometer {

enum Status : std::int32_t { bad_reference = 1 };

// Writes one reading after the other, 32-bit millidegrees, into memory that both sides see.
struct Measure {
  static constexpr std::uint16_t api = 0x7468;
  static constexpr std::uint16_t opcode = 1;
  struct Request {
    isthmus::Reference readings;
  };
  struct Reply {
    std::uint32_t count = 0;
    std::uint32_t reserved = 0;
  };
};

struct ThermometerApi {
  static constexpr std::uint16_t id = 0x7468;
  static constexpr std::string_view name = "thermometer";
  static constexpr std::uint16_t major = 1;
  static constexpr std::uint16_t minor = 0;
  static constexpr std::uint16_t oldest_minor = 0;
  static constexpr std::uint64_t features = 0;
  using Messages = isthmus::marshal::Messages<Measure>;
};

}  // namespace thermometer
