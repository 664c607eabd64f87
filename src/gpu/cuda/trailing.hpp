// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

namespace isthmus::cuda {

/// A plain structure at the start of a message's trailing bytes, which become what is behind it. Nothing where they are
/// too few.
template <class T>
  requires std::is_trivially_copyable_v<T>
[[nodiscard]] std::optional<T> take_request(std::span<const std::byte>& bytes) {
  if (bytes.size() < sizeof(T)) {
    return std::nullopt;
  }
  T request;
  std::memcpy(static_cast<void*>(&request), bytes.data(), sizeof request);
  bytes = bytes.subspan(sizeof request);
  return request;
}

/// A name that is a message's trailing bytes.
[[nodiscard]] inline std::string name_in(std::span<const std::byte> trailing) {
  std::string name(trailing.size(), '\0');
  if (!trailing.empty()) {
    std::memcpy(name.data(), trailing.data(), trailing.size());
  }
  return name;
}

}  // namespace isthmus::cuda
