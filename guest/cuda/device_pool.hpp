// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "guest/cuda/device_heap.hpp"
#include "src/gpu/cuda/messages.hpp"

namespace isthmus::cuda {

/// Device memory that the driver has given out in chunks, for cuMemAlloc to take from without asking the host. Each
/// context has its own, which goes with it. What is given to the pool may be handed out again at once: the caller has
/// seen that nothing on the device uses it any more. Any thread.
class DevicePool {
 public:
  struct Piece {
    Id context = 0;
    std::uint64_t address = 0;
  };

  /// At most `keep` bytes stay unused in each context; allocations larger than that are the driver's.
  explicit DevicePool(std::uint64_t keep) noexcept : keep_(keep) {}

  [[nodiscard]] bool serves(std::uint64_t bytes) const noexcept { return bytes <= keep_; }
  /// Address of so many bytes in a context's chunks; nothing where they have none.
  [[nodiscard]] std::optional<std::uint64_t> take(Id context, std::uint64_t bytes);
  /// How large a chunk to ask for where take() found nothing: the more, the more there is.
  [[nodiscard]] std::uint64_t chunk_for(Id context, std::uint64_t bytes) const;
  void add_chunk(Id context, std::uint32_t device, std::uint64_t base, std::uint64_t bytes);
  void give(Id context, std::uint64_t address);
  /// Takes chunks out that nothing is in use of, as long as a context has more unused than it may keep; or all of them.
  /// The driver is to have them back.
  [[nodiscard]] std::vector<Piece> surplus(Id context);
  [[nodiscard]] std::vector<Piece> all_unused();

  /// Keeps pieces that are free, but may be in use on the device.
  void put_aside(const Piece& piece);
  [[nodiscard]] std::vector<Piece> take_aside();
  [[nodiscard]] bool has_aside() const;

  /// The context is gone, and its memory with it.
  void forget(Id context);
  /// Whether an address lies in a chunk.
  [[nodiscard]] bool holds(std::uint64_t address) const;
  /// Free bytes in the chunks of a device.
  [[nodiscard]] std::uint64_t unused(std::uint32_t device) const;

 private:
  struct Heap {
    std::uint32_t device = 0;
    DeviceHeap heap;
  };

  const std::uint64_t keep_;
  mutable std::mutex mutex_;
  std::map<Id, Heap> heaps_;  // by context
  std::vector<Piece> aside_;
};

}  // namespace isthmus::cuda
