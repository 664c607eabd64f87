// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "isthmus/frame.hpp"
#include "isthmus/reference.hpp"

namespace isthmus::opencl {

/// One allocation of shared virtual memory: slab memory that lies at the same address in the worker.
struct SharedBlock {
  Frame frame;
  std::byte* begin = nullptr;  ///< in the frame, as aligned as was asked for
  std::size_t size = 0;        ///< bytes

  [[nodiscard]] Reference reference(const std::byte* from, std::size_t bytes) const noexcept {
    return frame.reference(static_cast<std::size_t>(from - frame.data()), bytes);
  }
};

/// The shared virtual memory of a context. Any thread.
class SharedBlocks {
 public:
  void add(std::shared_ptr<SharedBlock> block) {
    const std::scoped_lock lock(mutex_);
    const auto begin = address_of(block->begin);
    blocks_.insert_or_assign(begin, std::move(block));
  }

  /// The block that `bytes` bytes from an address on lie in; null where there is none. The address may be any.
  [[nodiscard]] std::shared_ptr<SharedBlock> find(const void* address, std::size_t bytes = 1) const {
    const std::scoped_lock lock(mutex_);
    const auto behind = blocks_.upper_bound(address_of(address));
    if (behind == blocks_.begin()) {
      return nullptr;
    }
    const auto& [begin, block] = *std::prev(behind);
    const std::uintptr_t offset = address_of(address) - begin;
    return offset < block->size && bytes <= block->size - offset ? block : nullptr;
  }

  /// Lets the block go that begins at that address. Buffers over it keep their share.
  void remove(const void* begin) {
    std::shared_ptr<SharedBlock> last;  // goes after the lock
    const std::scoped_lock lock(mutex_);
    if (const auto found = blocks_.find(address_of(begin)); found != blocks_.end()) {
      last = std::move(found->second);
      blocks_.erase(found);
    }
  }

 private:
  [[nodiscard]] static std::uintptr_t address_of(const void* address) noexcept {
    return reinterpret_cast<std::uintptr_t>(address);
  }

  mutable std::mutex mutex_;
  std::map<std::uintptr_t, std::shared_ptr<SharedBlock>> blocks_;  // by where they begin
};

}  // namespace isthmus::opencl
