// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "isthmus/isthmus.h"
#include "src/transport/c_error.hpp"
#include "src/transport/text.hpp"

/// Structs that grow: isthmus.h and docs/c-api.md say how.
namespace isthmus::c {

inline constexpr std::uint32_t longest_struct = 4096;

/// Where each struct ended when it was new. Never to be changed.
consteval std::uint32_t first_size(const isthmus_attach_options* /*of*/) { return 8; }
consteval std::uint32_t first_size(const isthmus_message* /*of*/) { return 40; }
consteval std::uint32_t first_size(const isthmus_reply* /*of*/) { return 16; }
consteval std::uint32_t first_size(const isthmus_channel_counts* /*of*/) { return 40; }
consteval std::uint32_t first_size(const isthmus_slab_counts* /*of*/) { return 64; }
consteval std::uint32_t first_size(const isthmus_service* /*of*/) { return 24; }
consteval std::uint32_t first_size(const isthmus_answer* /*of*/) { return 40; }
consteval std::uint32_t first_size(const isthmus_local_options* /*of*/) { return 24; }

template <class T>
isthmus_result check_size(const T* given, std::string_view name) {
  constexpr std::uint32_t shortest = first_size(static_cast<const T*>(nullptr));
  static_assert(shortest <= sizeof(T) && offsetof(T, struct_size) == 0);
  if (given == nullptr) {
    return invalid(text(name, ": NULL"));
  }
  if (given->struct_size < shortest || given->struct_size > longest_struct) {
    return invalid(text(name, ": struct_size ", given->struct_size, "; set it to sizeof, from ", shortest, " to ",
                        longest_struct));
  }
  return ISTHMUS_OK;
}

/// Reads a struct that may be older (what is missing is zero) or newer (what is not known has to be zero).
template <class T>
isthmus_result read_struct(const T* given, T& known, std::string_view name) {
  if (const auto result = check_size(given, name); result != ISTHMUS_OK) {
    return result;
  }
  if (given->struct_size == sizeof(T)) [[likely]] {
    known = *given;
    return ISTHMUS_OK;
  }
  const auto* const bytes = reinterpret_cast<const std::byte*>(given);
  const std::span all(bytes, given->struct_size);
  const auto common = all.first(std::min(all.size(), sizeof(T)));
  known = T{};
  std::memcpy(&known, common.data(), common.size());
  if (!std::ranges::all_of(all.subspan(common.size()), [](std::byte b) { return b == std::byte{0}; })) {
    return failed(ISTHMUS_UNSUPPORTED, text(name, ": struct_size ", all.size(), ", and something after byte ",
                                            sizeof(T), " is not zero: this library is too old to know what"));
  }
  return ISTHMUS_OK;
}

/// Writes a struct whose size was checked.
template <class T>
void write_struct(T known, T* given) noexcept {
  known.struct_size = given->struct_size;
  const std::size_t common = std::min<std::size_t>(known.struct_size, sizeof(T));
  auto* const bytes = reinterpret_cast<std::byte*>(given);
  std::memset(bytes + common, 0, known.struct_size - common);
  std::memcpy(bytes, &known, common);
}

}  // namespace isthmus::c
