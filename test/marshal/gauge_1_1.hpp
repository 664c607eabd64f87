// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "isthmus/marshal/api.hpp"

/// \file
/// The API of gauge_1_0.hpp a minor version later: Read got a unit, Reset is new, and so is feature bit 1.

namespace gauge_1_1 {

enum Status : std::int32_t { no_such_gauge = 1 };

struct Read {
  static constexpr std::uint16_t api = 0x7001;
  static constexpr std::uint16_t opcode = 1;
  struct Request {
    std::uint32_t gauge = 0;
    std::uint32_t reserved = 0;
    std::uint32_t in_permille = 0;  ///< since 1.1: 1 asks for permille
    std::uint32_t reserved2 = 0;
  };
  struct Reply {
    std::uint32_t value = 0;
    std::uint32_t reserved = 0;
    std::uint64_t reads = 0;  ///< since 1.1: how often it was read; 0 for a request of 1.0, which knows no such field
  };
};

struct Name {
  static constexpr std::uint16_t api = 0x7001;
  static constexpr std::uint16_t opcode = 2;
  struct Request {
    std::uint32_t gauge = 0;
    std::uint32_t reserved = 0;
  };
  struct Reply {};
};

struct Reset {
  static constexpr std::uint16_t api = 0x7001;
  static constexpr std::uint16_t opcode = 3;
  static constexpr std::uint16_t since = 1;
  struct Request {};
  struct Reply {};
};

struct GaugeApi {
  static constexpr std::uint16_t id = 0x7001;
  static constexpr std::string_view name = "gauge";
  static constexpr std::uint16_t major = 1;
  static constexpr std::uint16_t minor = 1;
  static constexpr std::uint16_t oldest_minor = 0;
  static constexpr std::uint64_t features = 3;
  using Messages = isthmus::marshal::Messages<Read, Name, Reset>;
};

}  // namespace gauge_1_1
