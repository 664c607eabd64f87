// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <string_view>
#include <utility>

/// \file
/// The daemon's log: one line an event, on stderr, where systemd and terminals want it. Workers and libraries log
/// nothing; they report. The loop's thread only.

namespace isthmus::host::log {

enum class Level : std::uint8_t { info, warning, error };

/// To be called once, first.
void open();
void write(Level level, std::string_view line);

template <class... Values>
void info(fmt::format_string<Values...> form, Values&&... values) {
  write(Level::info, fmt::format(form, std::forward<Values>(values)...));
}

template <class... Values>
void warn(fmt::format_string<Values...> form, Values&&... values) {
  write(Level::warning, fmt::format(form, std::forward<Values>(values)...));
}

template <class... Values>
void error(fmt::format_string<Values...> form, Values&&... values) {
  write(Level::error, fmt::format(form, std::forward<Values>(values)...));
}

}  // namespace isthmus::host::log
