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
  /// A piece that is free, but may be in use on the device.
  struct Aside {
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
  /// Takes chunks out that are unused, as long as more than so much is: `keep` of the constructor, or nothing. The
  /// driver is to have them back.
  [[nodiscard]] std::vector<std::uint64_t> surplus(Id context) { return trim(context, keep_); }
  [[nodiscard]] std::vector<std::uint64_t> all_unused(Id context) { return trim(context, 0); }

  /// Keeps pieces that cannot be given yet.
  void put_aside(const Aside& piece);
  [[nodiscard]] std::vector<Aside> take_aside();

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
  [[nodiscard]] std::vector<std::uint64_t> trim(Id context, std::uint64_t keep);

  const std::uint64_t keep_;
  mutable std::mutex mutex_;
  std::map<Id, Heap> heaps_;  // by context
  std::vector<Aside> aside_;
};

}  // namespace isthmus::cuda
