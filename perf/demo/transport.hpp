// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "isthmus/error.hpp"

namespace isthmus::demo {

using Digest = std::array<std::uint8_t, 32>;

/// One way from the guest to its host, as far as the demo needs it.
class Transport {
 public:
  Transport() = default;
  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  Transport(Transport&&) = delete;
  Transport& operator=(Transport&&) = delete;

  /// CRC-32C of a small block, computed by the host.
  [[nodiscard]] virtual Result<std::uint32_t> crc32c(std::span<const std::byte> block) = 0;
  /// Sends at most `largest_chunk` bytes to the host, which hashes them and sends them back into `echo`.
  [[nodiscard]] virtual Result<void> transfer(std::span<const std::byte> chunk, std::span<std::byte> echo) = 0;
  /// The SHA-256 of all that was transferred since the last time.
  [[nodiscard]] virtual Result<Digest> finish() = 0;

  static constexpr std::size_t largest_chunk = std::size_t{1} << 20;
};

[[nodiscard]] Result<std::unique_ptr<Transport>> open_isthmus(const std::string& endpoint);
/// `device` is a virtio-serial port.
[[nodiscard]] Result<std::unique_ptr<Transport>> open_serial(const std::string& device);

}  // namespace isthmus::demo
