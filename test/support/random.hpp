// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace isthmus::test {

/// A small, quick, seeded generator (splitmix64: Steele, Lea, Flood 2014): the same run everywhere.
class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) noexcept : state_(seed) {}

  constexpr std::uint64_t next() noexcept {
    state_ += 0x9e37'79b9'7f4a'7c15;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58'476d'1ce4'e5b9;
    z = (z ^ (z >> 27)) * 0x94d0'49bb'1331'11eb;
    return z ^ (z >> 31);
  }
  /// 0 .. limit-1. \pre limit > 0
  constexpr std::uint64_t below(std::uint64_t limit) noexcept { return next() % limit; }
  constexpr bool one_in(std::uint64_t n) noexcept { return below(n) == 0; }

  void fill(std::span<std::byte> bytes) noexcept {
    std::byte* to = bytes.data();
    std::size_t left = bytes.size();
    while (left > 0) {
      const std::uint64_t word = next();
      const std::size_t n = left < sizeof word ? left : sizeof word;
      std::memcpy(to, &word, n);
      to += n;
      left -= n;
    }
  }
  [[nodiscard]] std::vector<std::byte> bytes(std::size_t size) {
    std::vector<std::byte> made(size);
    fill(made);
    return made;
  }

 private:
  std::uint64_t state_;
};

}  // namespace isthmus::test
