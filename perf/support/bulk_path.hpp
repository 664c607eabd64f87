// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "isthmus/bulk_copy.hpp"
#include "isthmus/lane.hpp"

namespace isthmus::perf {

inline constexpr std::size_t bulk_chunk_size = BulkCopy::good_chunk;

/// A client's ordinary memory on its way to the host, by the library's bulk engine. The host acknowledges what arrives,
/// and does not read it.
class BulkPath {
 public:
  /// Through `slab_bytes` of the slab, in chunks of bulk_chunk_size, copied by `threads` threads. One thread, its
  /// maker's.
  BulkPath(Lane& lane, std::uint32_t threads, std::size_t slab_bytes);
  BulkPath(const BulkPath&) = delete;
  BulkPath& operator=(const BulkPath&) = delete;
  BulkPath(BulkPath&&) = delete;
  BulkPath& operator=(BulkPath&&) = delete;
  ~BulkPath();

  /// Returns when the host has acknowledged the last byte.
  void send(std::span<const std::byte> source);

 private:
  class Host;
  std::unique_ptr<Host> host_;
  BulkCopy engine_;
  Frame frame_;
  std::vector<CopyBuffer> buffers_;
};

}  // namespace isthmus::perf
