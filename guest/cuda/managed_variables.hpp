// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "src/gpu/cuda/message_kind.hpp"

namespace isthmus::cuda {

/// Variables that are declared __managed__. The driver places them in the host's memory that moves, where this process
/// cannot look; so there is a copy of each here, at the same address. What the program has changed in it goes over
/// before it gives the device work, and what the device has changed comes back once the program has waited for it, byte
/// by byte. Any thread; `read` and `write` are called under the lock.
class ManagedVariables {
 public:
  /// Reads bytes of the driver's variable; false where that fails.
  using Read = std::function<bool(Id owner, std::uint64_t address, std::span<std::byte> to)>;
  /// Writes them.
  using Write = std::function<bool(Id owner, std::uint64_t address, std::span<const std::byte> from)>;

  /// Bytes that are read or written at a time, at most.
  static constexpr std::size_t piece = std::size_t{16} << 10;

  /// Whether there are some: a hint that costs nothing.
  [[nodiscard]] bool any() const noexcept { return any_.load(std::memory_order_acquire); }
  /// Takes one up, whose address is held for it (DeviceAddresses), and fills the copy. Nothing happens to one that is
  /// known. False where that fails.
  [[nodiscard]] bool add(Id owner, std::uint64_t address, std::uint64_t size, const Read& read);
  /// The variables of a library that goes, or, with 0, all: their copies stay as they are.
  void forget(Id owner);

  void send_changes(const Write& write);
  void fetch_changes(const Read& read);

 private:
  struct Variable {
    Id owner = 0;
    std::span<std::byte> copy;
    std::vector<std::byte> known;  ///< what both sides had when they last met
  };
  // Variables of which `work(Variable)` says that it failed are forgotten.
  template <class F>
  void each(F work);

  std::atomic<bool> any_{false};
  std::mutex mutex_;
  std::vector<Variable> variables_;
};

}  // namespace isthmus::cuda
