// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isthmus/error.hpp"
#include "isthmus/marshal/message.hpp"

/// \file
/// Strings and arrays in the trailing bytes of a message. Each piece is written behind the last one, without padding:
/// a value as its bytes; a string or array as a count (32 bits) and its elements. Nothing is allocated but by vector(),
/// and the texts of errors.

namespace isthmus::marshal {

/// What may be an element of trailing data: a fixed part that has bytes.
template <class T>
concept TrailingPart = FixedPart<T> && !std::is_empty_v<T>;

/// Writes trailing data into a buffer of the caller's, piece by piece. What goes wrong is told once, by finish().
///
///     std::array<std::byte, 512> buffer;
///     const auto trailing = TrailingWriter(buffer).string(name).array<std::uint64_t>(sizes).finish();
class TrailingWriter {
 public:
  explicit TrailingWriter(std::span<std::byte> buffer) noexcept : buffer_(buffer) {}

  template <TrailingPart T>
  TrailingWriter& value(const T& piece) noexcept {
    append(bytes_of(piece));
    return *this;
  }
  template <TrailingPart T>
  TrailingWriter& array(std::span<const T> elements) noexcept {
    count(elements.size());
    append(std::as_bytes(elements));
    return *this;
  }
  TrailingWriter& bytes(std::span<const std::byte> piece) noexcept {
    count(piece.size());
    append(piece);
    return *this;
  }
  /// Text without NUL characters; none is added.
  TrailingWriter& string(std::string_view text) noexcept {
    has_nul_ = has_nul_ || text.find('\0') != std::string_view::npos;
    return bytes(std::as_bytes(std::span(text)));
  }
  /// Starts an array whose elements follow one by one, as strings or values.
  TrailingWriter& count(std::size_t elements) noexcept {
    too_many_ = too_many_ || elements > std::numeric_limits<std::uint32_t>::max();
    return value(static_cast<std::uint32_t>(elements));
  }

  /// What was written. Errors: invalid_argument (the buffer is too small: the text says how much is needed; a string
  /// with a NUL character; more than 2^32 - 1 elements).
  [[nodiscard]] Result<std::span<const std::byte>> finish() const {
    if (has_nul_) {
      return fail(Errc::invalid_argument, "trailing data: a string with a NUL character in it; send it as bytes");
    }
    if (too_many_ || needed_ > buffer_.size()) {
      return fail(Errc::invalid_argument, "trailing data: " + std::to_string(needed_) + " bytes, the buffer has " +
                                              std::to_string(buffer_.size()) +
                                              "; enlarge it, or send a reference to slab memory");
    }
    return std::span<const std::byte>(buffer_).first(needed_);
  }

 private:
  void append(std::span<const std::byte> piece) noexcept {
    // Counts on when the buffer is full, so that the error can say how much is needed; never past the highest number.
    if (needed_ <= buffer_.size() && piece.size() <= buffer_.size() - needed_) {
      std::ranges::copy(piece, buffer_.subspan(needed_).begin());
    }
    needed_ += std::min(piece.size(), std::numeric_limits<std::size_t>::max() - needed_);
  }

  std::span<std::byte> buffer_;
  std::size_t needed_ = 0;
  bool has_nul_ = false;
  bool too_many_ = false;
};

/// Reads trailing data, in the order in which it was written. The other side is not trusted: every count is checked
/// against the caller's limit and against what is there. After the first error everything else is an error, too. What
/// it returns points into the bytes that it was given: a private copy, in a handler (Call::trailing()).
///
/// Errors of all: invalid_argument (too short; a count above the limit).
class TrailingReader {
 public:
  explicit TrailingReader(std::span<const std::byte> bytes) noexcept : left_(bytes) {}

  template <TrailingPart T>
  [[nodiscard]] Result<T> value() {
    T read{};
    const auto bytes = take(sizeof(T), "a value");
    if (!bytes) {
      return std::unexpected(bytes.error());
    }
    std::memcpy(&read, bytes->data(), sizeof(T));
    return read;
  }
  /// At most `limit` bytes.
  [[nodiscard]] Result<std::span<const std::byte>> bytes(std::size_t limit) {
    const auto size = count(limit, 1, "bytes");
    if (!size) {
      return std::unexpected(size.error());
    }
    return take(*size, "bytes");
  }
  /// Text of at most `limit` bytes without NUL characters. No NUL follows it: copy it before giving it to a C function.
  [[nodiscard]] Result<std::string_view> string(std::size_t limit) {
    const auto size = count(limit, 1, "a string");
    if (!size) {
      return std::unexpected(size.error());
    }
    const auto bytes = take(*size, "a string");
    if (!bytes) {
      return std::unexpected(bytes.error());
    }
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes may be looked at as characters
    const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    if (text.find('\0') != std::string_view::npos) {
      return broken("a string with a NUL character in it");
    }
    return text;
  }
  /// Copies an array of at most into.size() elements; returns those that were there.
  template <TrailingPart T>
  [[nodiscard]] Result<std::span<T>> array(std::span<T> into) {
    const auto elements = count(into.size(), sizeof(T), "an array");
    if (!elements) {
      return std::unexpected(elements.error());
    }
    const auto bytes = take(*elements * sizeof(T), "an array");
    if (!bytes) {
      return std::unexpected(bytes.error());
    }
    std::ranges::copy(*bytes, std::as_writable_bytes(into).begin());
    return into.first(*elements);
  }
  /// An array of at most `limit` elements; memory is taken only for elements that are there.
  template <TrailingPart T>
  [[nodiscard]] Result<std::vector<T>> vector(std::size_t limit) {
    const auto elements = count(limit, sizeof(T), "an array");
    if (!elements) {
      return std::unexpected(elements.error());
    }
    const auto bytes = take(*elements * sizeof(T), "an array");
    if (!bytes) {
      return std::unexpected(bytes.error());
    }
    std::vector<T> read(*elements);
    std::ranges::copy(*bytes, std::as_writable_bytes(std::span(read)).begin());
    return read;
  }
  /// The count of an array whose elements follow one by one, each at least `least_size` bytes long.
  [[nodiscard]] Result<std::size_t> count(std::size_t limit, std::size_t least_size = 1,
                                          std::string_view what = "an array") {
    const auto size = value<std::uint32_t>();
    if (!size) {
      return std::unexpected(size.error());
    }
    if (*size > limit) {
      return broken(std::string(what) + " of " + std::to_string(*size) + " elements; the limit is " +
                    std::to_string(limit));
    }
    if (*size > left_.size() / std::max<std::size_t>(least_size, 1)) {
      return broken(std::string(what) + " of " + std::to_string(*size) + " elements, but only " +
                    std::to_string(left_.size()) + " bytes are left");
    }
    return std::size_t{*size};
  }
  /// `count` elements whose count is told elsewhere in the message; memory is taken only for elements that are there.
  template <TrailingPart T>
  [[nodiscard]] Result<std::vector<T>> elements(std::size_t count) {
    if (failed_ || count > left_.size() / sizeof(T)) {
      return broken("an array of " + std::to_string(count) + " elements, but only " + std::to_string(left_.size()) +
                    " bytes are left");
    }
    std::vector<T> read(count);
    std::ranges::copy(left_.first(count * sizeof(T)), std::as_writable_bytes(std::span(read)).begin());
    left_ = left_.subspan(count * sizeof(T));
    return read;
  }
  /// `size` bytes whose count is told elsewhere in the message.
  [[nodiscard]] Result<std::span<const std::byte>> raw(std::size_t size) { return take(size, "bytes"); }
  /// What is left, whatever it is; nothing after an error.
  [[nodiscard]] std::span<const std::byte> rest() noexcept {
    return failed_ ? std::span<const std::byte>() : std::exchange(left_, {});
  }
  /// That nothing is left but zeros, which a newer sender may add.
  [[nodiscard]] Result<void> end() {
    if (failed_ || !std::ranges::all_of(left_, [](std::byte byte) { return byte == std::byte{0}; })) {
      return broken(std::to_string(left_.size()) + " bytes too many");
    }
    return {};
  }

 private:
  [[nodiscard]] std::unexpected<Error> broken(std::string_view what) {
    failed_ = true;
    return fail(Errc::invalid_argument, std::string("trailing data: ").append(what));
  }
  [[nodiscard]] Result<std::span<const std::byte>> take(std::size_t size, std::string_view what) {
    if (failed_ || size > left_.size()) {
      return broken(std::string(what) + " of " + std::to_string(size) + " bytes, but only " +
                    std::to_string(left_.size()) + " are left");
    }
    const auto taken = left_.first(size);
    left_ = left_.subspan(size);
    return taken;
  }

  std::span<const std::byte> left_;
  bool failed_ = false;
};

}  // namespace isthmus::marshal
