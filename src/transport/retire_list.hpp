// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>

#include "isthmus/shared_word.hpp"
#include "src/transport/cache_lock.hpp"
#include "src/transport/slab.hpp"

namespace isthmus {

/// The blocks that one channel's posts name, in the order of the posts: a block must not be given out again before the
/// host's `retired` word has passed the post. Its channel looks now and then; a thread that finds the slab exhausted
/// looks, too, so that nothing stays out of reach because its channel is idle.
///
/// To live as long as the host may execute posts of the channel: longer than the channel object of a thread that ended.
/// It must end before the slab. Destroying it leaves the blocks that are still in it held, for ever.
class RetireList final : private Reclaimable {
 public:
  /// `retired` is the channel's word (abi::ChannelWords::retired).
  RetireList(Slab& slab, const SharedWord<std::uint64_t>& retired);
  RetireList(const RetireList&) = delete;
  RetireList& operator=(const RetireList&) = delete;
  RetireList(RetireList&&) = delete;
  RetireList& operator=(RetireList&&) = delete;
  ~RetireList();

  /// Takes over a block that a post names. `position` is the ring's position just after that post, no less than the
  /// last one given. The channel's thread. On failure (see Slab::hold) nothing is taken over.
  Freed hold(std::uint64_t position, std::uint64_t offset, std::size_t bytes);

  /// Frees the blocks of the posts that the host has passed. What an impossible `retired` word would free too much is
  /// the client's own memory; that the word is impossible is found by the channel. Any thread.
  void drain() noexcept;
  /// Frees those up to a position that the host has passed for sure. Any thread.
  void drain_up_to(std::uint64_t position) noexcept;

  /// Frees all blocks: the host has passed every post, or will never run one again. Any thread.
  void release_all() noexcept;

  /// How many blocks are waiting. Any thread.
  [[nodiscard]] std::size_t size() const noexcept;

 private:
  struct Entry {
    std::uint64_t position;
    std::uint64_t offset;
    std::size_t bytes;
  };

  void reclaim() noexcept override { drain(); }
  void release_front() noexcept;

  Slab* slab_;
  const SharedWord<std::uint64_t>* retired_;
  mutable std::mutex mutex_;  // guards what follows
  std::deque<Entry> entries_;
};

}  // namespace isthmus
