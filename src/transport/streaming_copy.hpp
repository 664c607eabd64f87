// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

namespace isthmus {

/// Copies memory that does not overlap by stores that go past the caches, where the processor has them (x86-64: 16, 32
/// or 64 bytes wide, whatever it knows), and makes them visible to others before it returns (sfence): a release store
/// that follows publishes the copy as after any other store. Any alignment; any thread.
///
/// Such a store does not read the line before it overwrites it, and does not drive other data out of the caches. It
/// also leaves the copy outside them: worse for copies that are read at once.
void streaming_copy(std::byte* to, const std::byte* from, std::size_t bytes) noexcept;

/// memcpy in pieces, through the caches whatever the size: the C library changes to other instructions for large ones,
/// which are slower where the caches could serve (1 and 4 MiB, AMD: 0.75 and 0.9 times as fast).
void cached_copy(std::byte* to, const std::byte* from, std::size_t bytes) noexcept;

/// One way of doing it. For tests; streaming_copy() takes the best.
struct StreamingKernel {
  const char* name;
  /// \pre `to` is aligned to 64 bytes, `bytes` is a multiple of 256
  void (*copy)(std::byte* to, const std::byte* from, std::size_t bytes) noexcept;
};
/// Those that this processor can run, the best first; none where there are no such stores.
[[nodiscard]] std::span<const StreamingKernel> streaming_kernels() noexcept;
void streaming_copy(std::byte* to, const std::byte* from, std::size_t bytes, const StreamingKernel& kernel) noexcept;

/// How much must be written at least for streaming_copy() to be quicker than memcpy, where nobody reads it at once.
[[nodiscard]] std::size_t least_to_stream() noexcept;

}  // namespace isthmus
