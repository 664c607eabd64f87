// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <isthmus/marshal/api.hpp>
#include <isthmus/reference.hpp>
#include <string_view>

// What the two halves of the driver say to each other: all that they share. The device is an image filter.
namespace image_filter {

inline constexpr std::uint16_t api_id = 0x4649;  // tells this driver's messages from other drivers' in the same lane

enum Status : std::int32_t { bad_reference = 1 };

// Opcodes are never used twice, and structs only grow, at their end: then old guests run on new hosts.
struct Invert {
  static constexpr std::uint16_t api = api_id;
  static constexpr std::uint16_t opcode = 1;
  struct Request {
    isthmus::Reference pixels;  // names bytes that stay where they are
  };
  struct Reply {};
};

struct Mean {
  static constexpr std::uint16_t api = api_id;
  static constexpr std::uint16_t opcode = 2;
  struct Request {
    isthmus::Reference pixels;
  };
  struct Reply {
    std::uint32_t brightness = 0;  // 0..255
    std::uint32_t reserved = 0;
  };
};

// What the halves compare before they begin: docs/marshalling.md says when which number is counted up.
struct ImageFilterApi {
  static constexpr std::uint16_t id = api_id;
  static constexpr std::string_view name = "image_filter";
  static constexpr std::uint16_t major = 1;
  static constexpr std::uint16_t minor = 0;
  static constexpr std::uint16_t oldest_minor = 0;
  static constexpr std::uint64_t features = 0;
  using Messages = isthmus::marshal::Messages<Invert, Mean>;
};

}  // namespace image_filter
