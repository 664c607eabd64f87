// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>

namespace isthmus::cuda {

/// What the driver writes to the C library's stdout and stderr: output of kernels (printf), failed assertions of
/// kernels. It waits here until the client fetches it, with messages in the order in which they were written. Any
/// thread.
class Output {
 public:
  /// From now on the process's `stdout` leads here, and `stderr` here as well as to where it led before. Once for a
  /// process, before anybody writes. False where the C library refuses: then there is no output.
  static bool capture();

  /// Whether there is any, or this thread has written some since it last asked, which another may be taking just now.
  [[nodiscard]] static bool waits() noexcept;

  struct Taken {
    std::size_t bytes = 0;  ///< 0: there is no more
    bool is_error = false;  ///< written to stderr
    bool more = false;
  };
  /// Moves the oldest part, of one of the two, into `to`.
  static Taken take(std::span<std::byte> to);

  /// Adds what was written; beyond `most` it is dropped, and the reader is told how much. For the streams' own use, and
  /// for tests.
  static void add(std::span<const std::byte> text, bool is_error);
  /// What may wait at a time, bytes. A kernel's output has 1 MiB of room on the device, unless the program asks for
  /// more (cudaLimitPrintfFifoSize), and comes here whenever something waits for the device.
  static constexpr std::size_t most = std::size_t{64} << 20;
};

}  // namespace isthmus::cuda
