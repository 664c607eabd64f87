// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "isthmus/marshal/api.hpp"

/// \file
/// An API as it was released first. Kept as it is, so that tests run this client against today's dispatcher.

namespace gauge_1_0 {

enum Status : std::int32_t { no_such_gauge = 1 };

struct Read {
  static constexpr std::uint16_t api = 0x7001;
  static constexpr std::uint16_t opcode = 1;
  struct Request {
    std::uint32_t gauge = 0;
    std::uint32_t reserved = 0;
  };
  struct Reply {
    std::uint32_t value = 0;  ///< percent
    std::uint32_t reserved = 0;
  };
};

/// Trailing bytes of the reply: the name, a string.
struct Name {
  static constexpr std::uint16_t api = 0x7001;
  static constexpr std::uint16_t opcode = 2;
  struct Request {
    std::uint32_t gauge = 0;
    std::uint32_t reserved = 0;
  };
  struct Reply {};
};

struct GaugeApi {
  static constexpr std::uint16_t id = 0x7001;
  static constexpr std::string_view name = "gauge";
  static constexpr std::uint16_t major = 1;
  static constexpr std::uint16_t minor = 0;
  static constexpr std::uint16_t oldest_minor = 0;
  static constexpr std::uint64_t features = 1;
  using Messages = isthmus::marshal::Messages<Read, Name>;
};

}  // namespace gauge_1_0
