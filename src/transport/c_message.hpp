// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "isthmus/channel.hpp"
#include "isthmus/isthmus.h"

/// Messages, buffers and times of the C interface as the C++ one has them.
namespace isthmus::c {

inline std::span<const std::byte> bytes(const void* data, std::size_t size) noexcept {
  return {static_cast<const std::byte*>(data), size};
}
inline std::span<std::byte> bytes(void* data, std::size_t size) noexcept {
  return {static_cast<std::byte*>(data), size};
}

[[nodiscard]] Channel::Clock::time_point deadline(std::int64_t timeout_ns);

/// The two parts of a body, checked; `name` says of what, for the error.
[[nodiscard]] isthmus_result check_body(std::string_view name, const void* fixed, std::size_t fixed_size,
                                        const void* trailing, std::size_t trailing_size);
[[nodiscard]] isthmus_result read_request(const isthmus_message* given, Message& request);
/// What a call needs: its request, where the reply's body goes, and where the rest of it goes.
[[nodiscard]] isthmus_result read_call(const isthmus_message* given, Message& request, const void* buffer,
                                       std::size_t buffer_size, const isthmus_reply* reply);
/// \pre the struct's size was checked
void write_reply(const Reply& reply, isthmus_reply* given) noexcept;

}  // namespace isthmus::c
