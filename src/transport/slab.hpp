// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "isthmus/error.hpp"
#include "isthmus/slab_statistics.hpp"
#include "src/transport/block_cache.hpp"
#include "src/transport/process_mark.hpp"
#include "src/transport/region.hpp"

namespace isthmus {

/// What became of a block that somebody gave back. Nothing but `yes` changes anything.
enum class Freed : std::uint8_t {
  yes,
  not_allocated,   ///< no block in use starts there: freed twice, held for a post, or never allocated
  wrong_size,      ///< a block starts there, but one of that size is never asked for with so many bytes
  foreign_process  ///< a child after fork: the block is its parent's
};

/// A block, perhaps smaller than what was asked for.
struct SlabPiece {
  std::uint64_t offset = 0;  ///< in the region
  std::uint64_t bytes = 0;   ///< what free() wants to be told
};

/// Something that keeps blocks for the slab until the host is done with them. See RetireList.
class Reclaimable {
 public:
  Reclaimable() = default;
  Reclaimable(const Reclaimable&) = delete;
  Reclaimable& operator=(const Reclaimable&) = delete;
  Reclaimable(Reclaimable&&) = delete;
  Reclaimable& operator=(Reclaimable&&) = delete;

  /// Gives back what can be given back by now. Called by any thread that finds the slab exhausted.
  virtual void reclaim() noexcept = 0;

 protected:
  ~Reclaimable() = default;
};

/// One process's allocator over the extents that its lane claims. Its own books are private memory: what the other
/// side writes into frames cannot confuse it. Any thread; a child after fork gets errors.
///
///     thread's cache  <- batches ->  pool: extents cut up by size  <- 2 MiB ->  the region's owner words
///     (own lock, free)               (one lock for the process)                 (compare-and-swap between processes)
///
/// Up to 1 MiB an allocation is a power-of-two block (256 bytes at least) of an extent cut up for that size; above, it
/// is a run of whole extents. Up to 256 KiB it comes from, and goes back to, the calling thread's cache: no thread
/// waits for another there, except while one that found the slab exhausted empties the caches.
///
/// Every block that is out has a mark in a table beside the extents (one byte for 256), which allocate() sets and
/// free() clears by one compare-and-swap. So of two frees of a block one fails, in every build, and the books stay
/// right.
class Slab {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr Clock::time_point no_deadline = Clock::time_point::max();
  /// allocate_at_most() gives no less, unless less is asked for.
  static constexpr std::uint64_t smallest_piece = std::uint64_t{64} << 10;

  /// `owner` is the word that marks extents as this lane's (abi::owner_tag). The region must outlive the slab.
  Slab(const Region& region, std::uint64_t owner);
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  Slab(Slab&&) = delete;
  Slab& operator=(Slab&&) = delete;
  /// Leaves the extents claimed: only the host returns a lane's extents, once nobody can use them.
  ~Slab();

  /// Offset of a block of at least `bytes` in the region. Before it fails, it takes back what other threads' caches
  /// hold and what the host has retired. Errors: invalid_argument (0), exhausted, wrong_thread (after fork).
  [[nodiscard]] Result<std::uint64_t> allocate(std::size_t bytes);

  /// The same, but where there is no room it waits until frames are freed here, the host retires posts, or other
  /// processes return extents. No order among waiters: a large request can be overtaken by small ones for ever, so
  /// take allocate_at_most() for copies.
  ///
  /// `check` is called now and then while it waits (at least 8 times a second); an error that it returns ends the wait.
  /// Errors: as allocate(); exhausted only for more than the region has in all; timed_out.
  [[nodiscard]] Result<std::uint64_t> allocate_or_wait(std::size_t bytes, Clock::time_point deadline,
                                                       const std::function<Result<void>()>& check = {});

  /// What there is: `bytes`, or the most that is free in one piece, but at least min(bytes, smallest_piece).
  /// Errors: as allocate().
  [[nodiscard]] Result<SlabPiece> allocate_at_most(std::size_t bytes);

  /// Gives a block back. `bytes` is what was asked for, or what the piece had.
  Freed free(std::uint64_t offset, std::size_t bytes) noexcept;

  /// Keeps a block from free(): the host may still use it. It counts as held, no more as in use.
  [[nodiscard]] Freed hold(std::uint64_t offset, std::size_t bytes) noexcept;
  /// Gives a block back that hold() was called for.
  Freed free_held(std::uint64_t offset, std::size_t bytes) noexcept;

  /// The error to show for a free that failed.
  [[nodiscard]] Error explain(Freed why, std::uint64_t offset, std::size_t bytes) const;

  /// Offset of a block for a channel. Errors: exhausted.
  [[nodiscard]] Result<std::uint64_t> allocate_channel();
  Freed free_channel(std::uint64_t offset) noexcept;

  /// Asks `list` for its blocks whenever the slab is exhausted, until forget() returns.
  void add(Reclaimable& list);
  void forget(Reclaimable& list) noexcept;

  /// Keeps `owner` alive until no block is in use, if one is now; for him who owns the slab, when the last handle but
  /// the frames is gone. Frames then need not count references to him. Called once; from then on every free() takes
  /// the process's lock, and the last one may destroy this very slab before it returns.
  void keep_until_empty(std::shared_ptr<void> owner) noexcept;

  /// Gives back to the region what threads' caches and cut-up extents keep for the next allocation; for a process that
  /// will be idle, beside others that share its region. What is in use stays.
  void trim() noexcept;

  [[nodiscard]] SlabStatistics statistics() const;

 private:
  // Marks: 0 for what is not the start of a block that is out.
  static constexpr std::uint8_t run_mark = BlockClasses::count + 1;  // below: class + 1
  static constexpr std::uint8_t held_flag = 0x80;

  // One extent that is cut up into blocks of one size.
  struct CutExtent {
    std::size_t size_class = 0;
    std::vector<std::uint16_t> free_blocks;  // indices; the last is given out next
    std::size_t place = 0;                   // its index in with_room_[size_class], while it has free blocks
  };
  // Lets the end of a thread find out whether the slab is still there.
  struct Life {
    std::mutex mutex;
    Slab* slab = nullptr;
  };
  struct CallocFree {
    void operator()(std::uint8_t* memory) const noexcept { std::free(memory); }
  };
  class ThreadCaches;
  struct Taken {
    std::uint64_t offset;
    std::uint8_t mark;
    std::size_t bytes;  // as asked for
  };
  // Shows that mutex_ is held.
  using Lock = std::unique_lock<std::mutex>;

  [[nodiscard]] std::atomic_ref<std::uint8_t> mark(std::uint64_t unit) const noexcept {
    return std::atomic_ref<std::uint8_t>(marks_[unit]);
  }
  [[nodiscard]] std::uint64_t extent_of(std::uint64_t offset) const noexcept {
    return (offset - region_->geometry().extents_offset) / abi::extent_size;
  }

  [[nodiscard]] BlockCache* find_cache() noexcept;  // the calling thread's, if it has one
  [[nodiscard]] BlockCache* make_cache();           // nullptr in a thread that is ending
  void retire_cache(BlockCache& cache) noexcept;

  // `least` < `bytes`: less will do.
  [[nodiscard]] std::optional<Taken> allocate_slowly(std::size_t bytes, std::size_t least);
  [[nodiscard]] std::optional<Taken> take_after_sweep(std::size_t bytes, std::size_t least, const Lock& lock);
  [[nodiscard]] std::optional<Taken> take(std::size_t bytes, BlockCache* cache, const Lock& lock);
  [[nodiscard]] std::optional<Taken> take_run(std::size_t bytes, const Lock& lock) noexcept;
  [[nodiscard]] std::optional<Taken> take_larger_block(std::size_t bytes, const Lock& lock);
  [[nodiscard]] std::optional<Taken> take_less(std::size_t bytes, std::size_t least, const Lock& lock);
  void refill(BlockCache& cache, std::size_t size_class, const Lock& lock);
  void hand_out(const Taken& block, const Lock& lock) noexcept;

  // Moves a block that is out (flag 0) or held (flag held_flag) to another state, if it is in that state.
  [[nodiscard]] Freed change_mark(std::uint64_t offset, std::size_t bytes, std::uint8_t flag, bool to_held,
                                  std::uint8_t& code) noexcept;
  Freed give_back(std::uint64_t offset, std::size_t bytes, std::uint8_t flag) noexcept;
  void give_back_slowly(BlockCache* cache, std::uint64_t offset, std::size_t bytes, std::uint8_t code,
                        std::uint8_t flag) noexcept;
  void wake_waiters(const Lock& lock) noexcept;
  void settle(Lock lock) noexcept;

  void ask_for_retired() noexcept;
  void flush(BlockCache& cache, const Lock& lock) noexcept;
  void sweep(const Lock& lock) noexcept;
  void release_empty_extents(const Lock& lock) noexcept;

  [[nodiscard]] std::optional<std::uint64_t> take_block(std::size_t size_class, const Lock& lock) noexcept;
  [[nodiscard]] bool cut_extent(std::size_t size_class, const Lock& lock);
  void return_block(std::size_t size_class, std::uint64_t offset, const Lock& lock) noexcept;
  void release_empty_extent(std::uint64_t extent, const Lock& lock) noexcept;
  [[nodiscard]] std::optional<std::uint64_t> claim_run(std::uint64_t extents, const Lock& lock) noexcept;
  void release_run(std::uint64_t first, std::uint64_t extents, const Lock& lock) noexcept;
  [[nodiscard]] std::uint64_t longest_free_run() const noexcept;
  void add_taken(std::uint64_t bytes, const Lock& lock) noexcept;

  [[nodiscard]] Error no_room(std::uint64_t bytes) const;
  [[nodiscard]] Error why_not(std::size_t bytes) const;

  const Region* region_;
  std::uint64_t owner_;
  std::uint64_t id_;  // differs from that of every other slab this process ever had
  ProcessMark process_;
  std::array<std::uint8_t, BlockCache::classes> magazine_capacity_;
  std::unique_ptr<std::uint8_t[], CallocFree> marks_;  // by unit of BlockClasses::smallest bytes of the region
  std::shared_ptr<Life> life_;
  // Not 0 while frees must take the slow way: a bit for keep_until_empty(), and the number of waiters above it. Changed
  // before each cache was locked once, and read under a cache's lock: so a thread sees it, or has been seen.
  std::atomic<std::uint32_t> attention_{0};
  static constexpr std::uint32_t keeping = 1;
  static constexpr std::uint32_t one_waiter = 2;

  // Counts up, under mutex_, when there may be room for a waiter; a futex. No condition variable: to destroy one waits
  // for its waiters, and in a child after fork those never come.
  std::atomic<std::uint32_t> room_{0};

  // Order of locks: lists_mutex_, a list's own, life_->mutex, mutex_, a cache's.
  std::mutex lists_mutex_;
  std::vector<Reclaimable*> lists_;

  mutable std::mutex mutex_;  // guards what follows
  std::vector<std::unique_ptr<BlockCache>> caches_;
  std::vector<CutExtent> cut_;                                             // by extent
  std::vector<std::uint32_t> run_lengths_;                                 // by first extent
  std::array<std::vector<std::uint64_t>, BlockClasses::count> with_room_;  // extents that have free blocks, by class
  std::int64_t blocks_in_use_ = 0;                                         // these three: what no cache counts
  std::int64_t bytes_in_use_ = 0;
  std::int64_t bytes_held_ = 0;
  std::uint64_t bytes_taken_ = 0;  // from extents, for frames and caches
  std::uint64_t most_bytes_taken_ = 0;
  std::uint64_t bytes_in_channels_ = 0;
  std::uint64_t extents_claimed_ = 0;
  std::shared_ptr<void> keep_;
};

}  // namespace isthmus
