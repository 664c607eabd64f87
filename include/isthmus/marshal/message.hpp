// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace isthmus::marshal {

/// What may be the fixed part of a request or reply: plain bytes without pointers. An empty struct takes no bytes.
template <class T>
concept FixedPart = std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T> &&
                    std::is_default_constructible_v<T> && (sizeof(T) <= 0x7fff) && !std::is_pointer_v<T>;

/// One kind of message of an API: where it belongs and what travels. For instance
///
///     struct Fill {
///       static constexpr std::uint16_t api = 7;
///       static constexpr std::uint16_t opcode = 1;
///       struct Request { isthmus::Reference where; std::uint32_t value = 0; std::uint32_t reserved = 0; };
///       struct Reply {};
///     };
///
/// Layouts only grow, at the end: a receiver extends a shorter fixed part with zeros and accepts a longer one whose
/// excess is zero, so that old guests run on new hosts and the reverse.
template <class M>
concept MessageKind = requires {
  { M::api } -> std::convertible_to<std::uint16_t>;
  { M::opcode } -> std::convertible_to<std::uint16_t>;
} && FixedPart<typename M::Request> && FixedPart<typename M::Reply>;

template <FixedPart T>
inline constexpr std::size_t fixed_size = std::is_empty_v<T> ? 0 : sizeof(T);

/// The bytes of a fixed part, in place.
template <FixedPart T>
[[nodiscard]] std::span<const std::byte> bytes_of(const T& value) noexcept {
  return std::as_bytes(std::span(&value, 1)).first(fixed_size<T>);
}

/// Reads a fixed part that may be of an older or newer version. False when a longer one says something we do not know.
template <FixedPart T>
[[nodiscard]] bool read_fixed(std::span<const std::byte> bytes, T& value) noexcept {
  value = T{};
  const std::size_t known = std::min(bytes.size(), fixed_size<T>);
  std::ranges::copy(bytes.first(known), std::as_writable_bytes(std::span(&value, 1)).begin());
  const auto excess = bytes.subspan(known);
  return std::ranges::all_of(excess, [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace isthmus::marshal
