// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "isthmus/error.hpp"

namespace isthmus {

/// Where a frontend finds its backend.
///
/// | URI | meaning |
/// |---|---|
/// | `shm:NAME` | the daemon on this machine, by its Unix socket NAME.sock |
/// | `ivshmem:auto` | the one ivshmem device in this VM that holds an Isthmus region |
/// | `ivshmem:auto?region=NAME` | the ivshmem device whose region has that name |
/// | `ivshmem:0000:00:04.0` | the ivshmem device at that PCI address |
struct Endpoint {
  enum class Kind : std::uint8_t { shm, ivshmem };

  Kind kind = Kind::shm;
  std::string name;    ///< shm: endpoint name, [A-Za-z0-9_.-]{1,63}
  std::string device;  ///< ivshmem: PCI address DDDD:BB:SS.F, or empty for any
  std::string region;  ///< ivshmem: region name, or empty for any

  /// Fails with invalid_argument and a text that shows the possible forms.
  [[nodiscard]] static Result<Endpoint> parse(std::string_view uri);
};

}  // namespace isthmus
