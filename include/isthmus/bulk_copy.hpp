// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "isthmus/error.hpp"
#include "isthmus/frame.hpp"
#include "isthmus/reference.hpp"

namespace isthmus {

/// How a copy is written.
enum class CopyStores : std::uint8_t {
  automatic,  ///< past the caches when more is written than they would keep (all buffers together), else through them
  cached,     ///< through the caches: for a copy that a processor reads soon
  streaming,  ///< past the caches: for a copy that a device reads, or that is read much later
};

struct BulkCopyOptions {
  /// How many threads copy, the caller included. 0: one for each processor that the process's main thread may use,
  /// 8 at most. More than there are such processors is cut. The environment variable ISTHMUS_COPY_THREADS stands above
  /// both, as a bound: with 1, no thread is ever started.
  std::uint32_t threads = 0;
  CopyStores stores = CopyStores::automatic;
};

/// Slab memory that a large copy goes through: a frame, or a part of one.
struct CopyBuffer {
  std::span<std::byte> bytes;
  Reference reference;  ///< names the same bytes to the host

  /// A frame in pieces of `size` bytes; the last may be shorter. \pre size > 0
  [[nodiscard]] static std::vector<CopyBuffer> split(const Frame& frame, std::size_t size);
};

/// The part of a large copy that is in one buffer.
struct CopyChunk {
  std::uint64_t number = 0;    ///< 0, 1, 2, ...
  std::uint64_t offset = 0;    ///< of its first byte in the whole copy
  std::span<std::byte> bytes;  ///< in the buffer
  Reference reference;         ///< of those bytes
};

/// The other end of a copy through the slab: how chunks are handed to the host, and how one learns that it is done with
/// them. Typically start() is Channel::submit(), finished() is Channel::poll(), and finish() is Channel::wait(). All
/// are called by the thread that called BulkCopy, in the order of the chunks.
class ChunkPeer {
 public:
  ChunkPeer() = default;
  virtual ~ChunkPeer() = default;
  ChunkPeer(const ChunkPeer&) = delete;
  ChunkPeer& operator=(const ChunkPeer&) = delete;
  ChunkPeer(ChunkPeer&&) = delete;
  ChunkPeer& operator=(ChunkPeer&&) = delete;

  /// Lets the host begin with a chunk, and does not wait for it. An error ends the copy.
  [[nodiscard]] virtual Result<void> start(const CopyChunk& chunk) = 0;
  /// Whether finish() would not wait. Where nobody can tell, false will do, and costs overlap: buffers are written
  /// again only when there is nothing else to copy.
  [[nodiscard]] virtual bool finished(const CopyChunk& /*chunk*/) { return false; }
  /// Waits until the host is done with a chunk that was started. An error ends the copy.
  [[nodiscard]] virtual Result<void> finish(const CopyChunk& chunk) = 0;
};

/// Copies large amounts of ordinary memory to and from the slab, by several threads, while the host works on what was
/// copied before. Any thread may call any method, several at a time; one of them has the helper threads, the others
/// copy alone meanwhile.
///
/// Helper threads exist once for a process. They are started by the first copy that is worth it (2 MiB at least), block
/// all signals, run on the processors of the process's main thread, sleep between copies and never end. A child after
/// fork has none of them, and starts its own when it needs some.
class BulkCopy {
 public:
  /// A good size for chunks: long enough to make the handing over cheap, short enough to overlap, and to let a few of
  /// them stay in the cache: 64 MiB through 512 KiB of buffers took 0.4 of the time of a memcpy to memory (Xeon).
  static constexpr std::size_t good_chunk = std::size_t{128} << 10;

  explicit BulkCopy(const BulkCopyOptions& options = {}) noexcept : options_(options) {}

  /// How many threads a copy of so many bytes would use, if nobody else copied.
  [[nodiscard]] std::uint32_t threads_for(std::size_t bytes) const noexcept;

  /// memcpy by several threads. What is written is visible to whoever sees a release store of the caller's that
  /// follows. \pre the two have the same size and do not overlap
  void copy(std::span<std::byte> to, std::span<const std::byte> from) const;

  /// Copies `source` chunk by chunk into the buffers, in turn. While one chunk is copied, the host works on those
  /// before it; a buffer is written again only when the host has finished with it. At the end all chunks are finished.
  ///
  /// Two buffers suffice for the overlap; with one, copying and the host's work alternate. An error of the peer's is
  /// returned after the other chunks in flight were finished, too; chunks whose finish() failed may still be in the
  /// host's hands, so keep their frames (Channel::keep). Errors: invalid_argument (no buffer, or an empty one),
  /// wrong_thread (the peer forked, and this is the child), the peer's.
  [[nodiscard]] Result<void> to_slab(std::span<const std::byte> source, std::span<const CopyBuffer> buffers,
                                     ChunkPeer& peer) const;

  /// The other way: start() has the host fill the chunk's buffer, finish() waits until it is filled. Then it is copied
  /// to `destination`, while the host fills the next.
  [[nodiscard]] Result<void> from_slab(std::span<std::byte> destination, std::span<const CopyBuffer> buffers,
                                       ChunkPeer& peer) const;

 private:
  BulkCopyOptions options_;
};

}  // namespace isthmus
