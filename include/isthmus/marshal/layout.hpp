// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

/// \file
/// A hash over the layout of plain structs, made at compile time: the kind and size of each field, in order. Both ends
/// of a lane compare it when they believe to speak the same version of an API. Names do not count.

namespace isthmus::marshal {

/// FNV-1a (Fowler, Noll, Vo), 64 bits, over the bytes of numbers.
class LayoutHash {
 public:
  constexpr void add(std::uint64_t number) noexcept {
    for (int i = 0; i < 8; ++i) {
      state_ = (state_ ^ (number & 0xff)) * 0x0000'0100'0000'01b3;
      number >>= 8;
    }
  }
  [[nodiscard]] constexpr std::uint64_t value() const noexcept { return state_; }

 private:
  std::uint64_t state_ = 0xcbf2'9ce4'8422'2325;
};

namespace detail {

enum class Shape : std::uint8_t { unsigned_number = 1, signed_number, floating, array, structure, end, opaque };

struct Anything {
  template <class T>
  constexpr operator T() const noexcept;  // NOLINT(google-explicit-constructor): it stands for any initializer
};

template <class... T>
struct Fields {
  static constexpr std::size_t count = sizeof...(T);
};

template <class T, std::size_t... I>
constexpr bool takes(std::index_sequence<I...> /*unused*/) noexcept {
  return requires { T{(static_cast<void>(I), Anything{})...}; };
}

inline constexpr std::size_t most_fields = 24;

// How many fields an aggregate has; most_fields + 1 for more.
template <class T, std::size_t n = most_fields + 1>
constexpr std::size_t field_count() noexcept {
  if constexpr (n == 0 || takes<T>(std::make_index_sequence<n>())) {
    return n;
  } else {
    return field_count<T, n - 1>();
  }
}

template <class T>
constexpr std::size_t known_fields() noexcept {
  if constexpr (std::is_aggregate_v<T>) {
    return field_count<T>();
  } else {
    return most_fields + 1;
  }
}

template <std::size_t count, class T>
constexpr auto fields_of([[maybe_unused]] const T& value) noexcept {
  if constexpr (count == 1) {
    [[maybe_unused]] const auto& [a] = value;
    return Fields<decltype(a)>{};
  } else if constexpr (count == 2) {
    [[maybe_unused]] const auto& [a, b] = value;
    return Fields<decltype(a), decltype(b)>{};
  } else if constexpr (count == 3) {
    [[maybe_unused]] const auto& [a, b, c] = value;
    return Fields<decltype(a), decltype(b), decltype(c)>{};
  } else if constexpr (count == 4) {
    [[maybe_unused]] const auto& [a, b, c, d] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d)>{};
  } else if constexpr (count == 5) {
    [[maybe_unused]] const auto& [a, b, c, d, e] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e)>{};
  } else if constexpr (count == 6) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f)>{};
  } else if constexpr (count == 7) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g)>{};
  } else if constexpr (count == 8) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h)>{};
  } else if constexpr (count == 9) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i)>{};
  } else if constexpr (count == 10) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i), decltype(j)>{};
  } else if constexpr (count == 11) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j, k] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i), decltype(j), decltype(k)>{};
  } else if constexpr (count == 12) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j, k, l] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i), decltype(j), decltype(k), decltype(l)>{};
  } else if constexpr (count == 13) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m)>{};
  } else if constexpr (count == 14) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n)>{};
  } else if constexpr (count == 15) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
                  decltype(o)>{};
  } else if constexpr (count == 16) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
                  decltype(o), decltype(p)>{};
  } else if constexpr (count == 17) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
                  decltype(o), decltype(p), decltype(q)>{};
  } else if constexpr (count == 18) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
                  decltype(o), decltype(p), decltype(q), decltype(r)>{};
  } else if constexpr (count == 19) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
                  decltype(o), decltype(p), decltype(q), decltype(r), decltype(s)>{};
  } else if constexpr (count == 20) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
                  decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t)>{};
  } else if constexpr (count == 21) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
                  decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t), decltype(u)>{};
  } else if constexpr (count == 22) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
                  decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t), decltype(u),
                  decltype(v)>{};
  } else if constexpr (count == 23) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
                  decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t), decltype(u),
                  decltype(v), decltype(w)>{};
  } else if constexpr (count == 24) {
    [[maybe_unused]] const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x] = value;
    return Fields<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
                  decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
                  decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t), decltype(u),
                  decltype(v), decltype(w), decltype(x)>{};
  }
}

template <class T>
struct IsArray : std::false_type {};
template <class T, std::size_t n>
struct IsArray<std::array<T, n>> : std::true_type {
  using Element = T;
};

template <class T>
constexpr void hash_layout(LayoutHash& hash) noexcept;

template <class... T>
constexpr void add_fields(LayoutHash& hash, Fields<T...> /*unused*/) noexcept {
  (hash_layout<std::remove_cv_t<T>>(hash), ...);
}

template <class T>
constexpr void hash_layout(LayoutHash& hash) noexcept {
  static_assert(!std::is_same_v<T, bool>, "a bool in a message: any byte but 0 and 1 is undefined; use std::uint8_t");
  static_assert(!std::is_pointer_v<T>, "a pointer in a message: it means nothing on the other side; use a Reference");
  const auto shape = [&hash](Shape which) { hash.add(static_cast<std::uint64_t>(which)); };
  if constexpr (std::is_enum_v<T>) {
    hash_layout<std::underlying_type_t<T>>(hash);
  } else if constexpr (std::is_arithmetic_v<T>) {
    shape(std::is_floating_point_v<T> ? Shape::floating
          : std::is_signed_v<T>       ? Shape::signed_number
                                      : Shape::unsigned_number);
    hash.add(sizeof(T));
  } else if constexpr (IsArray<T>::value) {
    shape(Shape::array);
    hash.add(std::tuple_size_v<T>);
    hash_layout<typename IsArray<T>::Element>(hash);
  } else {
    shape(Shape::structure);
    hash.add(std::is_empty_v<T> ? 0 : sizeof(T));
    hash.add(alignof(T));
    constexpr std::size_t count = known_fields<T>();
    if constexpr (count > most_fields) {
      shape(Shape::opaque);
    } else if constexpr (count > 0) {
      add_fields(hash, decltype(fields_of<count>(std::declval<const T&>())){});
    }
    shape(Shape::end);
  }
}

}  // namespace detail

/// Adds the layout of a struct. Fields may be numbers, enums, std::array, and structs of these; a C array, or an
/// anonymous union, does not compile. Of a struct with more than 24 fields only size and alignment count: put fields
/// that belong together into structs of their own.
template <class T>
constexpr void add_layout(LayoutHash& hash) noexcept {
  detail::hash_layout<T>(hash);
}

}  // namespace isthmus::marshal
