// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstring>
#include <string>
#include <string_view>

namespace isthmus {

/// A number to be shown in hexadecimal by text().
struct Hex {
  unsigned long long value;
};

/// A size in bytes, shown as MiB or KiB where that is exact.
struct Bytes {
  unsigned long long value;
};

namespace detail {

inline void append(std::string& out, std::string_view piece) { out.append(piece); }

template <std::integral T>
void append(std::string& out, T number) {
  out.append(std::to_string(number));
}

inline void append(std::string& out, Hex hex) {
  std::array<char, 17> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), hex.value, 16).ptr;
  out.append("0x").append(digits.data(), end);
}

inline void append(std::string& out, Bytes bytes) {
  if (bytes.value != 0 && bytes.value % (1ULL << 20) == 0) {
    out.append(std::to_string(bytes.value >> 20)).append(" MiB");
  } else if (bytes.value != 0 && bytes.value % (1ULL << 10) == 0) {
    out.append(std::to_string(bytes.value >> 10)).append(" KiB");
  } else {
    out.append(std::to_string(bytes.value)).append(" bytes");
  }
}

}  // namespace detail

/// Joins strings and numbers into one line. For error texts: nothing here is for a hot path.
template <class... Pieces>
[[nodiscard]] std::string text(const Pieces&... pieces) {
  std::string out;
  (detail::append(out, pieces), ...);
  return out;
}

/// The system's words for an errno value. Any thread.
[[nodiscard]] inline std::string errno_text(int error) {
  std::array<char, 128> buffer{};
  return strerror_r(error, buffer.data(), buffer.size());  // GNU variant: may return a static string
}

}  // namespace isthmus
