// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <type_traits>

#include "isthmus/marshal/layout.hpp"
#include "isthmus/marshal/message.hpp"

namespace isthmus::marshal {

/// The kinds of messages of one API.
template <MessageKind... M>
struct Messages {
  template <class K>
  static constexpr bool contain = (std::is_same_v<K, M> || ...);

  /// Whether all belong to that API.
  static constexpr bool belong_to(std::uint16_t api) noexcept {
    const std::array<std::uint16_t, sizeof...(M)> apis{std::uint16_t{M::api}...};
    return std::ranges::count(apis, api) == std::ssize(apis);
  }

  static constexpr bool opcodes_differ() noexcept {
    std::array<std::uint16_t, sizeof...(M)> opcodes{std::uint16_t{M::opcode}...};
    std::ranges::sort(opcodes);
    return std::ranges::adjacent_find(opcodes) == opcodes.end();
  }
  /// Over the opcodes and the fields of all requests and replies, in the order of the list.
  static constexpr std::uint64_t layout_hash() noexcept {
    LayoutHash hash;
    (
        [&hash] {
          hash.add(M::opcode);
          add_layout<typename M::Request>(hash);
          add_layout<typename M::Reply>(hash);
        }(),
        ...);
    return hash.value();
  }
  /// Calls `function.operator()<M>()` for each.
  template <class F>
  static constexpr void each([[maybe_unused]] F function) {
    (function.template operator()<M>(), ...);
  }
};

/// An API: what both halves of a split driver agree on. One header per API declares its messages and this, for instance
///
///     struct ThermometerApi {
///       static constexpr std::uint16_t id = 0x7001;      // 0 is negotiation's own, up to 0x0fff Isthmus's
///       static constexpr std::string_view name = "thermometer";
///       static constexpr std::uint16_t major = 1;        // another one: the two sides do not understand each other
///       static constexpr std::uint16_t minor = 2;        // counted up with each message or field that is added
///       static constexpr std::uint16_t oldest_minor = 0; // the oldest of the other side that this side works with
///       static constexpr std::uint64_t features = 0;     // bits of what may be there or not, each defined by the API
///       using Messages = isthmus::marshal::Messages<Read, Calibrate>;
///     };
///
/// A message that came with a later minor version says so: `static constexpr std::uint16_t since = 2;`. Then a client
/// that calls it on an older worker gets Errc::unsupported, without a round trip.
template <class A>
concept ApiDescriptor = requires {
  { A::id } -> std::convertible_to<std::uint16_t>;
  { A::name } -> std::convertible_to<std::string_view>;
  { A::major } -> std::convertible_to<std::uint16_t>;
  { A::minor } -> std::convertible_to<std::uint16_t>;
  { A::oldest_minor } -> std::convertible_to<std::uint16_t>;
  { A::features } -> std::convertible_to<std::uint64_t>;
  { A::Messages::layout_hash() } -> std::same_as<std::uint64_t>;
};

/// Of a message: the minor version of its API that brought it.
template <MessageKind M>
inline constexpr std::uint16_t since = [] {
  if constexpr (requires { M::since; }) {
    return std::uint16_t{M::since};
  } else {
    return std::uint16_t{0};
  }
}();

/// One side's version of an API, as it travels.
struct ApiVersion {
  std::uint16_t major = 0;
  std::uint16_t minor = 0;
  std::uint16_t oldest_minor = 0;
  std::uint16_t reserved = 0;
  std::uint64_t features = 0;
  std::uint64_t layout = 0;  ///< Messages::layout_hash(); compared between equal versions

  friend constexpr bool operator==(const ApiVersion&, const ApiVersion&) noexcept = default;
};

template <ApiDescriptor A>
[[nodiscard]] constexpr ApiVersion version_of() noexcept {
  static_assert(A::id != 0, "API 0 is negotiation's own");
  static_assert(A::name.size() > 0 && A::name.size() <= 64, "the name of an API has 1 to 64 characters");
  static_assert(A::oldest_minor <= A::minor);
  static_assert(A::Messages::belong_to(A::id), "a message in the list names another API");
  static_assert(A::Messages::opcodes_differ(), "two messages in the list have the same opcode");
  A::Messages::each([]<class M>() { static_assert(since<M> <= A::minor, "a message is newer than its API"); });
  return {.major = A::major,
          .minor = A::minor,
          .oldest_minor = A::oldest_minor,
          .features = A::features,
          .layout = A::Messages::layout_hash()};
}

}  // namespace isthmus::marshal
