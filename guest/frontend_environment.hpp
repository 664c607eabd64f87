// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isthmus/abi.hpp"
#include "isthmus/error.hpp"

namespace isthmus::frontend {

/// Where the host is, by the program's environment: ISTHMUS_ENDPOINT, or else the VM's device.
inline const char* endpoint() {
  const char* value = std::getenv("ISTHMUS_ENDPOINT");
  return value != nullptr && *value != '\0' ? value : "ivshmem:auto";
}

/// Whether a variable of the environment is set to something that is neither nothing nor "0".
inline bool is_switched_on(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && std::string_view(value) != "0" && *value != '\0';
}

/// Those of the named variables that the program's environment has, as "KEY=VALUE", as far as a claim can carry them:
/// what it cannot is left out, and with ISTHMUS_LOG a line says so. Names end with a null pointer.
inline std::vector<std::string> variables(std::span<const char* const> names) {
  std::vector<std::string> found;
  std::size_t room = abi::ClaimEnvironment::capacity;
  for (const char* const name : names) {
    const char* value = name != nullptr ? std::getenv(name) : nullptr;
    if (value == nullptr) {
      continue;
    }
    std::string variable = std::string(name) + "=" + value;
    const bool is_printable = std::ranges::all_of(variable, [](char c) { return c >= ' ' && c <= '~'; });
    if (is_printable && variable.size() < room) {
      room -= variable.size() + 1;
      found.push_back(std::move(variable));
    } else if (std::getenv("ISTHMUS_LOG") != nullptr) {
      std::fprintf(stderr, "isthmus: %s does not reach the host: %s\n", name,
                   is_printable ? "too long" : "not in printable ASCII");
    }
  }
  return found;
}

/// Says why there is no device: one line, once, and only where ISTHMUS_LOG asks for it, because frontends live in
/// strangers' processes. Any thread.
inline void explain(const char* frontend, const Error& error) {
  static std::atomic<bool> said{false};
  if (std::getenv("ISTHMUS_LOG") != nullptr && !said.exchange(true)) {
    std::fprintf(stderr, "%s: %s\n", frontend, error.message.c_str());
  }
}

}  // namespace isthmus::frontend
