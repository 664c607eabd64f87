// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "src/gpu/cuda/driver.hpp"

namespace isthmus::cuda {

/// Makes the region known to the GPU's driver, so that copies from and to it are made by DMA, and kernels reach it. In
/// arenas, as they are used: registering takes time (4 ms for 64 MiB on an H100 machine). Any thread.
class SlabRegistration {
 public:
  /// Bytes that are registered at a time. A copy must not cross the border of two registrations: the driver refuses it.
  static constexpr std::uint64_t arena_size = std::uint64_t{64} << 20;

  /// Without a window nothing is registered.
  SlabRegistration(const Driver& driver, std::span<std::byte> window) noexcept : driver_(&driver), window_(window) {}

  /// Registers the arenas in which the bytes lie, as far as they are not. What cannot be registered is used as ordinary
  /// memory. \pre a context is current in the calling thread, and the bytes lie in the window
  void use(std::span<const std::byte> bytes, CUcontext current);
  /// As many of the first of the bytes as lie in one arena.
  [[nodiscard]] std::size_t piece(const std::byte* at, std::size_t bytes) const noexcept;
  /// Takes over arenas that another object has registered under that context.
  void adopt(const std::vector<std::uint64_t>& arenas, CUcontext context);
  /// Takes back what was registered under a context that is about to be destroyed, and says which arenas these were:
  /// the next use registers them anew, or restore() does. \pre it is current
  [[nodiscard]] std::vector<std::uint64_t> forget(CUcontext context);
  /// Registers arenas that forget() has returned. \pre `current` is current
  void restore(const std::vector<std::uint64_t>& arenas, CUcontext current);

 private:
  void add(std::uint64_t arena, CUcontext current);  // mutex_ is held
  [[nodiscard]] std::uint64_t offset_of(const std::byte* at) const noexcept {
    return static_cast<std::uint64_t>(at - window_.data());
  }

  const Driver* driver_;
  std::span<std::byte> window_;
  std::mutex mutex_;
  std::map<std::uint64_t, CUcontext> arenas_;  // registered (or refused) under which context, by number
};

}  // namespace isthmus::cuda
