// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "isthmus/plugin.hpp"
#include "src/gpu/cuda/driver.hpp"

namespace isthmus::cuda {

/// What a warm worker makes before its client comes: the primary context of the first device, in which a client's
/// runtime works, and the registration of the region's first arenas. One for each worker, as that serves one lane. Any
/// thread.
class Warmth {
 public:
  /// Arenas of the region that are registered ahead (SlabRegistration::arena_size each): the slab gives out the lowest
  /// extents first. More would make cuDevicePrimaryCtxReset slower, which registers them anew.
  static constexpr std::uint64_t arenas = 4;

  struct Made {
    CUcontext context = nullptr;        ///< retained once
    std::vector<std::uint64_t> arenas;  ///< registered under it, by number
    std::uint64_t counted = 0;          ///< bytes that were taken of the limit for it
  };

  /// The process's.
  [[nodiscard]] static Warmth& of_process() noexcept;

  /// Makes it, once; with a line for the log. Arenas are left out when `with.stop` is asked for. A driver without a
  /// device is no error; a limit that has no room for the context is one.
  [[nodiscard]] Result<std::string> make(const plugin::WarmUp& with);
  /// Hands over what was made for that device, once; nothing where there is nothing. Waits while it is being made.
  [[nodiscard]] std::optional<Made> take(CUdevice device);

 private:
  [[nodiscard]] Result<Made> make_context(const Driver& driver, plugin::DeviceMemory* limit);

  std::mutex mutex_;  // held while it is being made
  std::optional<Made> made_;
  CUdevice device_ = 0;
};

}  // namespace isthmus::cuda
