// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "isthmus/lane.hpp"

namespace isthmus::perf {

inline constexpr std::size_t bulk_chunk_size = std::size_t{256} << 10;

/// A way of a client's ordinary memory to the host. The host acknowledges what arrives, and does not read it.
class BulkPath {
 public:
  BulkPath() = default;
  virtual ~BulkPath() = default;
  BulkPath(const BulkPath&) = delete;
  BulkPath& operator=(const BulkPath&) = delete;
  BulkPath(BulkPath&&) = delete;
  BulkPath& operator=(BulkPath&&) = delete;

  /// Returns when the host has acknowledged the last byte. One thread.
  virtual void send(std::span<const std::byte> source) = 0;
};

/// Through a few frames that are used again and again: a chunk is copied while the host has the ones before it.
/// Belongs to the thread that makes it.
[[nodiscard]] std::unique_ptr<BulkPath> staged_bulk_path(Lane& lane);

/// Into one frame as large as what is sent, announced in the same chunks.
[[nodiscard]] std::unique_ptr<BulkPath> whole_bulk_path(Lane& lane, std::size_t size);

}  // namespace isthmus::perf
