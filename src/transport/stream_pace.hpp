// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "src/transport/spin.hpp"

namespace isthmus {

/// How long the consumer of a stream of posts keeps away from the ring once it has caught up. Nobody waits for an
/// answer, and a consumer that looks at the next line while the producer writes it takes the line away from it: both
/// then go line by line, at the price of two transfers a message. Farther behind, it finds several.
///
/// The distance is found by doubling, and only as far as the stream itself fills the time: whatever else comes, a call
/// or nothing, starts it anew. So a call behind a few posts is found as soon as it would be without. One thread.
class StreamPace {
 public:
  /// In pauses of the processor: spin_pause(), 26 ns on an EPYC (family 26). There a stream of single messages, with
  /// the processors of a VM, takes 9 to 11 ns a message; with 3 pauses always, 8 to 22, and either can last for long.
  static constexpr std::uint32_t shortest = 3;
  static constexpr std::uint32_t longest = 16;
  /// Finding so many at a time, the consumer is far enough behind.
  static constexpr std::uint32_t enough = 16;

  /// A message was taken.
  void took(bool post) noexcept {
    ++taken_;
    post_ = post;
  }
  /// The ring is empty. Returns how many pauses the consumer is to make before it looks again; 0 where it has no reason
  /// to keep away, and should wait as it does otherwise.
  [[nodiscard]] std::uint32_t caught_up() noexcept {
    if (taken_ == 0 || !post_) {
      pauses_ = 0;
    } else if (pauses_ == 0) {
      pauses_ = shortest;
    } else if (taken_ < enough) {
      pauses_ = std::min(2 * pauses_, longest);
    }
    taken_ = 0;
    return pauses_;
  }

 private:
  std::uint32_t taken_ = 0;   // since the ring was empty
  std::uint32_t pauses_ = 0;  // that came before the last look
  bool post_ = false;         // the last one
};

/// Keeps away for as long as `pauses` last.
inline void keep_away(std::uint32_t pauses) noexcept {
  for (; pauses > 0; --pauses) {
    spin_pause();
  }
}

}  // namespace isthmus
