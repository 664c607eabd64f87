// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>

#include "isthmus/shared_word.hpp"

namespace isthmus {

/// Publishes how far the frames of a channel's posts are free: as far as requests are executed, but not past a post
/// whose service still uses its frames (FrameHold).
class RetireGate {
 public:
  /// `retired` is the channel's word, `start` what it holds. `on_free` is called, by the thread that ends the last
  /// hold, when a twin may be waiting for that (twin.hpp: it drains).
  RetireGate(SharedWord<std::uint64_t>& retired, std::uint64_t start, std::function<void()> on_free);

  /// Requests before `executed` are done. The twin's thread.
  void publish(std::uint64_t executed) noexcept;
  /// Whether any post's frames are held: what the twin asks before it answers a call. Any thread.
  [[nodiscard]] bool holds() const noexcept { return holds_.load(std::memory_order_seq_cst) != 0; }  // R2

  /// Holds the frames of the post at `position`, and of those behind it. The twin's thread, while it executes that
  /// post.
  void hold(std::uint64_t position);
  /// Ends one such hold. Any thread.
  void release(std::uint64_t position) noexcept;
  /// The channel's memory is going: nothing is published, and nobody called, any more. Any thread.
  void close() noexcept;

 private:
  void store_progress() noexcept;

  std::atomic<std::uint32_t> holds_{0};
  std::mutex mutex_;                    // guards what follows
  SharedWord<std::uint64_t>* retired_;  // none once closed
  std::function<void()> on_free_;
  std::uint64_t executed_;
  std::uint64_t published_;
  std::multiset<std::uint64_t> held_;  // positions of posts
};

}  // namespace isthmus
