// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "isthmus/error.hpp"
#include "isthmus/marshal/api.hpp"

/// \file
/// How the two ends of a lane learn each other's version of an API, by API 0. The worker tells its own and keeps
/// nothing, so there is nothing that a guest could confuse; the client compares.

namespace isthmus::marshal {

inline constexpr std::uint16_t negotiation_api = 0;

/// Asks for the worker's version of an API. Trailing bytes of the reply: the names of all APIs that the worker offers,
/// as an array of at most most_names strings (TrailingReader).
struct Negotiate {
  static constexpr std::uint16_t api = negotiation_api;
  static constexpr std::uint16_t opcode = 1;
  struct Request {
    std::uint16_t id = 0;  ///< of the API
    std::array<std::uint16_t, 3> reserved{};
    ApiVersion client;
  };
  struct Reply {
    std::uint32_t offered = 0;  ///< 1: the worker has the API, and `worker` says which version
    std::uint32_t reserved = 0;
    ApiVersion worker;
  };

  static constexpr std::uint32_t most_names = 64;
  static constexpr std::uint32_t longest_name = 64;  ///< characters
};

/// What the client makes of it: minor version and features that both sides know. The layout is that of the client.
/// Errors: version_mismatch, with both versions and what to do.
[[nodiscard]] inline Result<ApiVersion> agree(std::string_view name, const ApiVersion& client,
                                              const ApiVersion& worker) {
  const auto number = [](std::uint16_t major, std::uint16_t minor) {
    return std::to_string(major) + "." + std::to_string(minor);
  };
  const std::string who = std::string("API ").append(name).append(": ");
  if (worker.major != client.major) {
    return fail(Errc::version_mismatch, who + "the worker speaks major " + std::to_string(worker.major) +
                                            ", this library major " + std::to_string(client.major) +
                                            "; install the same release in guest and host");
  }
  if (client.minor < worker.oldest_minor) {
    return fail(Errc::version_mismatch, who + "the worker serves clients of " +
                                            number(worker.major, worker.oldest_minor) + " and later, this library is " +
                                            number(client.major, client.minor) + "; update the client's side");
  }
  if (worker.minor < client.oldest_minor) {
    return fail(Errc::version_mismatch, who + "this library needs " + number(client.major, client.oldest_minor) +
                                            " or later, the worker speaks " + number(worker.major, worker.minor) +
                                            "; update the host");
  }
  if (worker.minor == client.minor && worker.layout != client.layout) {
    return fail(Errc::version_mismatch, who + "both sides call it " + number(client.major, client.minor) +
                                            ", but lay their messages out differently; one of them was built from "
                                            "changed headers without a new minor version");
  }
  ApiVersion agreed = client;
  agreed.minor = worker.minor < client.minor ? worker.minor : client.minor;
  agreed.features = worker.features & client.features;
  return agreed;
}

}  // namespace isthmus::marshal
