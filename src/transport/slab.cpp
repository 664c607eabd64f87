// SPDX-License-Identifier: Apache-2.0
#include "src/transport/slab.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "src/transport/futex.hpp"
#include "src/transport/single_threaded.hpp"
#include "src/transport/text.hpp"

namespace isthmus {
namespace {

constexpr std::uint64_t unit_size = BlockClasses::smallest;

// A waiter looks again by itself, for nobody here knows when another process returns an extent or the host retires a
// post; and now and then it checks whether there is still any hope.
constexpr std::chrono::microseconds first_slab_nap{50};
constexpr std::chrono::microseconds longest_slab_nap{2000};
constexpr std::chrono::milliseconds check_interval{100};

std::uint64_t next_slab_id() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

constexpr std::uint64_t extents_for(std::uint64_t bytes) noexcept {
  return bytes / abi::extent_size + (bytes % abi::extent_size != 0 ? 1 : 0);
}

// The cache that this thread used last. Of a trivial type and in the thread's own static block: to look at it costs one
// load, where a thread-local with a destructor, or one that is found by name, costs a call.
struct LastUsed {
  std::uint64_t slab_id = 0;
  BlockCache* cache = nullptr;
};
[[gnu::tls_model("initial-exec")]] constinit thread_local LastUsed last_used;
// Set while thread-locals are destroyed: what still frees then does without a cache.
constinit thread_local bool thread_is_ending = false;

// From calloc: pages of it that are never needed are never touched.
std::uint8_t* allocate_marks(std::size_t count) {
  void* const marks = std::calloc(count, 1);
  return marks != nullptr ? static_cast<std::uint8_t*>(marks) : throw std::bad_alloc();
}

}  // namespace

// The caches of one thread, which it gives back when it ends.
class Slab::ThreadCaches {
 public:
  ThreadCaches() = default;
  ThreadCaches(const ThreadCaches&) = delete;
  ThreadCaches& operator=(const ThreadCaches&) = delete;
  ThreadCaches(ThreadCaches&&) = delete;
  ThreadCaches& operator=(ThreadCaches&&) = delete;
  ~ThreadCaches() {
    thread_is_ending = true;
    last_used = {};
    for (const Entry& entry : entries_) {
      // In a child after fork nothing of this is ours, and somebody else may have held the lock.
      if (!entry.process.is_this_process()) {
        continue;
      }
      const std::scoped_lock lock(entry.life->mutex);
      if (entry.life->slab != nullptr) {
        entry.life->slab->retire_cache(*entry.cache);
      }
    }
  }

  static ThreadCaches& mine() {
    static thread_local ThreadCaches caches;
    return caches;
  }

  [[nodiscard]] BlockCache* find(std::uint64_t slab_id) const noexcept {
    const auto found = std::ranges::find(entries_, slab_id, &Entry::slab_id);
    return found != entries_.end() ? found->cache : nullptr;
  }
  void add(const Slab& slab, BlockCache& cache) {
    std::erase_if(entries_, [](const Entry& entry) { return entry.life.use_count() == 1; });  // the slab is gone
    entries_.push_back({.slab_id = slab.id_, .process = slab.process_, .life = slab.life_, .cache = &cache});
  }

 private:
  struct Entry {
    std::uint64_t slab_id;
    ProcessMark process;
    std::shared_ptr<Life> life;
    BlockCache* cache;
  };
  std::vector<Entry> entries_;
};

Slab::Slab(const Region& region, std::uint64_t owner)
    : region_(&region),
      owner_(owner),
      id_(next_slab_id()),
      process_(ProcessMark::current()),
      magazine_capacity_(BlockCache::capacities(region.size())),
      marks_(allocate_marks(region.size() / unit_size)),
      life_(std::make_shared<Life>()),
      cut_(region.geometry().extent_count),
      run_lengths_(region.geometry().extent_count) {
  if (marks_ == nullptr) {
    throw std::bad_alloc();
  }
  life_->slab = this;
}

Slab::~Slab() {
  if (process_.is_this_process()) {
    const std::scoped_lock lock(life_->mutex);
    life_->slab = nullptr;
  }
}

// ---- threads' caches -----------------------------------------------------------------------------------------------

BlockCache* Slab::find_cache() noexcept {
  if (last_used.slab_id == id_) {
    return last_used.cache;
  }
  if (thread_is_ending) {
    return nullptr;
  }
  BlockCache* const found = ThreadCaches::mine().find(id_);
  if (found != nullptr) {
    last_used = {.slab_id = id_, .cache = found};
  }
  return found;
}

BlockCache* Slab::make_cache() {
  if (thread_is_ending) {
    return nullptr;
  }
  auto made = std::make_unique<BlockCache>();
  BlockCache* const cache = made.get();
  {
    const Lock lock(mutex_);
    caches_.push_back(std::move(made));
  }
  ThreadCaches::mine().add(*this, *cache);
  last_used = {.slab_id = id_, .cache = cache};
  return cache;
}

void Slab::retire_cache(BlockCache& cache) noexcept {
  const Lock lock(mutex_);
  flush(cache, lock);
  std::erase_if(caches_, [&cache](const auto& one) { return one.get() == &cache; });
  wake_waiters(lock);
}

void Slab::flush(BlockCache& cache, const Lock& lock) noexcept {
  const std::scoped_lock cache_lock(cache.lock);
  for (std::size_t size_class = 0; size_class < BlockCache::classes; ++size_class) {
    Magazine& magazine = cache.magazines[size_class];
    while (magazine.count > 0) {
      return_block(size_class, magazine.units[--magazine.count] * unit_size, lock);
    }
  }
  blocks_in_use_ += std::exchange(cache.blocks_in_use, 0);
  bytes_in_use_ += std::exchange(cache.bytes_in_use, 0);
  bytes_held_ += std::exchange(cache.bytes_held, 0);
}

void Slab::refill(BlockCache& cache, std::size_t size_class, const Lock& lock) {
  // Half, so that a thread which allocates and frees around this point need not come back at once.
  const std::uint32_t wanted = magazine_capacity_.at(size_class) / 2U;
  const std::scoped_lock cache_lock(cache.lock);
  Magazine& magazine = cache.magazines.at(size_class);
  while (magazine.count < wanted && !with_room_.at(size_class).empty()) {
    magazine.units.at(magazine.count++) = static_cast<std::uint32_t>(*take_block(size_class, lock) / unit_size);
  }
}

// ---- allocation ----------------------------------------------------------------------------------------------------

Result<std::uint64_t> Slab::allocate(std::size_t bytes) {
  if (bytes - 1 < BlockCache::largest && process_.is_this_process()) {
    if (BlockCache* const cache = find_cache(); cache != nullptr) {
      const std::size_t size_class = BlockClasses::of(bytes);
      std::uint64_t unit = 0;
      {
        const std::scoped_lock lock(cache->lock);
        Magazine& magazine = cache->magazines[size_class];
        if (magazine.count > 0 && attention_.load(std::memory_order_relaxed) == 0) {
          unit = magazine.units[--magazine.count];
          ++cache->blocks_in_use;
          cache->bytes_in_use += static_cast<std::int64_t>(bytes);
        }
      }
      if (unit != 0) {  // unit 0 is the region's header
        mark(unit).store(static_cast<std::uint8_t>(size_class + 1), std::memory_order_relaxed);
        return unit * unit_size;
      }
    }
  }
  const auto block = allocate_slowly(bytes, bytes);
  if (!block) {
    return std::unexpected(why_not(bytes));
  }
  return block->offset;
}

Result<SlabPiece> Slab::allocate_at_most(std::size_t bytes) {
  const auto block = allocate_slowly(bytes, std::min(bytes, smallest_piece));
  if (!block) {
    return std::unexpected(why_not(bytes));
  }
  return SlabPiece{.offset = block->offset, .bytes = block->bytes};
}

Result<std::uint64_t> Slab::allocate_or_wait(std::size_t bytes, Clock::time_point deadline,
                                             const std::function<Result<void>()>& check) {
  if (auto now = allocate(bytes); now || now.error().code != Errc::exhausted) {
    return now;
  }
  if (extents_for(bytes) > region_->geometry().extent_count) {
    return std::unexpected(no_room(bytes));  // never
  }
  const auto tell_frees = [this](bool waiting) {
    if (waiting) {
      attention_.fetch_add(one_waiter, std::memory_order_relaxed);
    } else {
      attention_.fetch_sub(one_waiter, std::memory_order_relaxed);
    }
  };
  std::chrono::nanoseconds nap = first_slab_nap;
  Clock::time_point next_check = Clock::now() + check_interval;
  for (;;) {
    ask_for_retired();
    std::uint32_t ticket = 0;
    {
      const Lock lock(mutex_);
      // First told, then looked into every cache: a free() that comes later than the look finds out, under its cache's
      // lock or under mutex_, and counts room_ up; so the block below ends at once.
      tell_frees(true);
      ticket = room_.load(std::memory_order_relaxed);
      if (const auto block = take_after_sweep(bytes, bytes, lock)) {
        tell_frees(false);
        hand_out(*block, lock);
        return block->offset;
      }
    }
    const Clock::time_point now = Clock::now();
    const auto left = deadline == no_deadline ? longest_slab_nap : std::chrono::nanoseconds(deadline - now);
    if (left.count() > 0) {
      futex_wait(reinterpret_cast<std::uint32_t*>(&room_), ticket, std::min(nap, left), FutexScope::process);
    }
    tell_frees(false);
    if (left.count() <= 0) {
      return fail(Errc::timed_out, text(no_room(bytes).message, "; the deadline has passed"));
    }
    nap = std::min<std::chrono::nanoseconds>(nap * 2, longest_slab_nap);
    if (check && Clock::now() >= next_check) {
      if (auto hope = check(); !hope) {
        return std::unexpected(std::move(hope.error()));
      }
      next_check = Clock::now() + check_interval;
    }
  }
}

std::optional<Slab::Taken> Slab::allocate_slowly(std::size_t bytes, std::size_t least) {
  if (bytes == 0 || !process_.is_this_process()) {
    return std::nullopt;
  }
  BlockCache* cache = nullptr;
  if (bytes <= BlockCache::largest) {
    cache = find_cache();
    cache = cache != nullptr ? cache : make_cache();
  }
  {
    const Lock lock(mutex_);
    if (const auto block = take(bytes, cache, lock)) {
      hand_out(*block, lock);
      return block;
    }
  }
  ask_for_retired();
  const Lock lock(mutex_);
  const auto block = take_after_sweep(bytes, least, lock);
  if (block) {
    hand_out(*block, lock);
  }
  return block;
}

std::optional<Slab::Taken> Slab::take_after_sweep(std::size_t bytes, std::size_t least, const Lock& lock) {
  sweep(lock);
  auto block = take(bytes, nullptr, lock);
  if (!block) {
    block = take_larger_block(bytes, lock);
  }
  return block || least == bytes ? block : take_less(bytes, least, lock);
}

std::optional<Slab::Taken> Slab::take(std::size_t bytes, BlockCache* cache, const Lock& lock) {
  if (bytes > BlockClasses::largest) {
    return take_run(bytes, lock);
  }
  const std::size_t size_class = BlockClasses::of(bytes);
  if (with_room_.at(size_class).empty() && !cut_extent(size_class, lock)) {
    return std::nullopt;
  }
  const auto offset = *take_block(size_class, lock);
  if (cache != nullptr && attention_.load(std::memory_order_relaxed) == 0) {
    refill(*cache, size_class, lock);
  }
  return Taken{.offset = offset, .mark = static_cast<std::uint8_t>(size_class + 1), .bytes = bytes};
}

std::optional<Slab::Taken> Slab::take_run(std::size_t bytes, const Lock& lock) noexcept {
  const std::uint64_t extents = extents_for(bytes);
  const auto first = claim_run(extents, lock);
  if (!first) {
    return std::nullopt;
  }
  run_lengths_[*first] = static_cast<std::uint32_t>(extents);
  add_taken(extents * abi::extent_size, lock);
  return Taken{.offset = region_->extent_offset(*first), .mark = run_mark, .bytes = bytes};
}

// The last resort for a small block when no extent is left to be cut up for its size.
std::optional<Slab::Taken> Slab::take_larger_block(std::size_t bytes, const Lock& lock) {
  for (std::size_t size_class = BlockClasses::of(bytes) + 1; size_class < BlockClasses::payload_count; ++size_class) {
    if (const auto offset = take_block(size_class, lock)) {
      return Taken{.offset = *offset, .mark = static_cast<std::uint8_t>(size_class + 1), .bytes = bytes};
    }
  }
  return std::nullopt;
}

std::optional<Slab::Taken> Slab::take_less(std::size_t bytes, std::size_t least, const Lock& lock) {
  const std::uint64_t extents = std::min(longest_free_run(), bytes / abi::extent_size);
  if (extents > 0) {
    if (const auto run = take_run(extents * abi::extent_size, lock)) {
      return run;
    }
  }
  for (std::size_t size_class = BlockClasses::payload_count; size_class-- > 0;) {
    const std::uint64_t size = BlockClasses::size(size_class);
    if (size < least) {
      break;
    }
    if (const auto offset = size <= bytes ? take_block(size_class, lock) : std::nullopt) {
      return Taken{.offset = *offset, .mark = static_cast<std::uint8_t>(size_class + 1), .bytes = size};
    }
  }
  return std::nullopt;
}

void Slab::hand_out(const Taken& block, const Lock& lock) noexcept {
  static_cast<void>(lock);
  mark(block.offset / unit_size).store(block.mark, std::memory_order_relaxed);
  ++blocks_in_use_;
  bytes_in_use_ += static_cast<std::int64_t>(block.bytes);
}

// ---- giving back ---------------------------------------------------------------------------------------------------

Freed Slab::free(std::uint64_t offset, std::size_t bytes) noexcept { return give_back(offset, bytes, 0); }
Freed Slab::free_held(std::uint64_t offset, std::size_t bytes) noexcept { return give_back(offset, bytes, held_flag); }

Freed Slab::change_mark(std::uint64_t offset, std::size_t bytes, std::uint8_t flag, bool to_held,
                        std::uint8_t& code) noexcept {
  if (!process_.is_this_process()) {
    return Freed::foreign_process;
  }
  if (offset % unit_size != 0 || offset < region_->geometry().extents_offset || offset >= region_->size()) {
    return Freed::not_allocated;
  }
  const auto block = mark(offset / unit_size);
  std::uint8_t seen = block.load(std::memory_order_relaxed);
  code = static_cast<std::uint8_t>(seen & ~held_flag);
  if (seen == 0 || (seen & held_flag) != flag || code == BlockClasses::channel + 1) {
    return Freed::not_allocated;
  }
  if (code == run_mark) {
    const Lock lock(mutex_);
    if (bytes == 0 || extents_for(bytes) != run_lengths_[extent_of(offset)]) {
      return Freed::wrong_size;
    }
  } else if (bytes == 0 || bytes > BlockClasses::size(code - 1)) {
    return Freed::wrong_size;
  }
  const auto next = static_cast<std::uint8_t>(to_held ? code | held_flag : 0);
  if (single_threaded()) {
    block.store(next, std::memory_order_relaxed);
    return Freed::yes;
  }
  return block.compare_exchange_strong(seen, next, std::memory_order_relaxed) ? Freed::yes : Freed::not_allocated;
}

Freed Slab::give_back(std::uint64_t offset, std::size_t bytes, std::uint8_t flag) noexcept {
  std::uint8_t code = 0;
  if (const Freed freed = change_mark(offset, bytes, flag, false, code); freed != Freed::yes) {
    return freed;
  }
  BlockCache* const cache = code <= BlockCache::classes ? find_cache() : nullptr;
  if (cache != nullptr) {
    const std::scoped_lock lock(cache->lock);
    Magazine& magazine = cache->magazines[code - 1U];
    if (magazine.count < magazine_capacity_[code - 1U] && attention_.load(std::memory_order_relaxed) == 0) {
      magazine.units[magazine.count++] = static_cast<std::uint32_t>(offset / unit_size);
      if (flag == 0) {
        --cache->blocks_in_use;
        cache->bytes_in_use -= static_cast<std::int64_t>(bytes);
      } else {
        cache->bytes_held -= static_cast<std::int64_t>(bytes);
      }
      return Freed::yes;
    }
  }
  give_back_slowly(cache, offset, bytes, code, flag);
  return Freed::yes;
}

void Slab::give_back_slowly(BlockCache* cache, std::uint64_t offset, std::size_t bytes, std::uint8_t code,
                            std::uint8_t flag) noexcept {
  Lock lock(mutex_);
  if (code == run_mark) {
    const std::uint64_t extent = extent_of(offset);
    const std::uint64_t extents = std::exchange(run_lengths_[extent], 0);
    bytes_taken_ -= extents * abi::extent_size;
    release_run(extent, extents, lock);
  } else {
    const std::size_t size_class = code - 1U;
    if (cache != nullptr) {
      // The magazine is full: the older half of it goes, too, so that this thread need not come back at once.
      const std::scoped_lock cache_lock(cache->lock);
      Magazine& magazine = cache->magazines[size_class];
      const std::uint32_t gone = (magazine.count + 1) / 2;
      for (std::uint32_t i = 0; i < gone; ++i) {
        return_block(size_class, magazine.units[i] * unit_size, lock);
      }
      std::copy(magazine.units.begin() + gone, magazine.units.begin() + magazine.count, magazine.units.begin());
      magazine.count -= gone;
    }
    return_block(size_class, offset, lock);
  }
  if (flag == 0) {
    --blocks_in_use_;
    bytes_in_use_ -= static_cast<std::int64_t>(bytes);
  } else {
    bytes_held_ -= static_cast<std::int64_t>(bytes);
  }
  settle(std::move(lock));
}

Freed Slab::hold(std::uint64_t offset, std::size_t bytes) noexcept {
  std::uint8_t code = 0;
  if (const Freed held = change_mark(offset, bytes, 0, true, code); held != Freed::yes) {
    return held;
  }
  if (BlockCache* const cache = find_cache(); cache != nullptr) {
    const std::scoped_lock lock(cache->lock);
    if (attention_.load(std::memory_order_relaxed) == 0) {
      --cache->blocks_in_use;
      cache->bytes_in_use -= static_cast<std::int64_t>(bytes);
      cache->bytes_held += static_cast<std::int64_t>(bytes);
      return Freed::yes;
    }
  }
  Lock lock(mutex_);
  --blocks_in_use_;
  bytes_in_use_ -= static_cast<std::int64_t>(bytes);
  bytes_held_ += static_cast<std::int64_t>(bytes);
  settle(std::move(lock));
  return Freed::yes;
}

void Slab::wake_waiters(const Lock& lock) noexcept {
  static_cast<void>(lock);
  if (attention_.load(std::memory_order_relaxed) >= one_waiter) {
    room_.fetch_add(1, std::memory_order_relaxed);
    futex_wake(reinterpret_cast<std::uint32_t*>(&room_), FutexScope::process);
  }
}

// After a block came back: wakes who waits for room, and lets the owner go once nothing is in use.
void Slab::settle(Lock lock) noexcept {
  wake_waiters(lock);
  std::shared_ptr<void> let_go;
  if (blocks_in_use_ == 0 && (attention_.load(std::memory_order_relaxed) & keeping) != 0) {
    let_go = std::move(keep_);
  }
  lock.unlock();
  // Here ends `let_go`, and with it perhaps this slab.
}

void Slab::keep_until_empty(std::shared_ptr<void> owner) noexcept {
  if (!process_.is_this_process()) {
    return;
  }
  Lock lock(mutex_);
  attention_.fetch_or(keeping, std::memory_order_relaxed);
  for (const auto& cache : caches_) {
    flush(*cache, lock);  // from here on all counting happens under mutex_
  }
  keep_ = std::move(owner);
  settle(std::move(lock));
}

// ---- channels and lists of held blocks -----------------------------------------------------------------------------

Result<std::uint64_t> Slab::allocate_channel() {
  if (!process_.is_this_process()) {
    return std::unexpected(why_not(sizeof(abi::ChannelBlock)));
  }
  const Lock lock(mutex_);
  auto offset = take_block(BlockClasses::channel, lock);
  if (!offset && !cut_extent(BlockClasses::channel, lock)) {
    sweep(lock);
    if (!cut_extent(BlockClasses::channel, lock)) {
      return std::unexpected(no_room(sizeof(abi::ChannelBlock)));
    }
  }
  offset = offset ? offset : take_block(BlockClasses::channel, lock);
  mark(*offset / unit_size).store(BlockClasses::channel + 1, std::memory_order_relaxed);
  bytes_in_channels_ += sizeof(abi::ChannelBlock);
  return *offset;
}

Freed Slab::free_channel(std::uint64_t offset) noexcept {
  if (!process_.is_this_process()) {
    return Freed::foreign_process;
  }
  Lock lock(mutex_);
  if (offset % unit_size != 0 || offset < region_->geometry().extents_offset || offset >= region_->size() ||
      mark(offset / unit_size).load(std::memory_order_relaxed) != BlockClasses::channel + 1) {
    return Freed::not_allocated;
  }
  mark(offset / unit_size).store(0, std::memory_order_relaxed);
  bytes_in_channels_ -= sizeof(abi::ChannelBlock);
  return_block(BlockClasses::channel, offset, lock);
  settle(std::move(lock));
  return Freed::yes;
}

void Slab::add(Reclaimable& list) {
  if (!process_.is_this_process()) {
    return;
  }
  const std::scoped_lock lock(lists_mutex_);
  lists_.push_back(&list);
}

void Slab::forget(Reclaimable& list) noexcept {
  if (!process_.is_this_process()) {
    return;
  }
  const std::scoped_lock lock(lists_mutex_);
  std::erase(lists_, &list);
}

void Slab::ask_for_retired() noexcept {
  const std::scoped_lock lock(lists_mutex_);
  for (Reclaimable* const list : lists_) {
    list->reclaim();
  }
}

// ---- the pool ------------------------------------------------------------------------------------------------------

std::optional<std::uint64_t> Slab::take_block(std::size_t size_class, const Lock& lock) noexcept {
  std::vector<std::uint64_t>& candidates = with_room_[size_class];
  if (candidates.empty()) {
    return std::nullopt;
  }
  const std::uint64_t extent = candidates.back();
  CutExtent& cut = cut_[extent];
  const std::uint64_t block = cut.free_blocks.back();
  cut.free_blocks.pop_back();
  if (cut.free_blocks.empty()) {
    candidates.pop_back();
  }
  if (size_class != BlockClasses::channel) {
    add_taken(BlockClasses::size(size_class), lock);
  }
  return region_->extent_offset(extent) + block * BlockClasses::size(size_class);
}

bool Slab::cut_extent(std::size_t size_class, const Lock& lock) {
  const auto extent = claim_run(1, lock);
  if (!extent) {
    return false;
  }
  CutExtent& fresh = cut_.at(*extent);
  const auto blocks = static_cast<std::uint16_t>(abi::extent_size / BlockClasses::size(size_class));
  fresh.size_class = size_class;
  fresh.free_blocks.clear();
  fresh.free_blocks.reserve(blocks);
  for (std::uint16_t i = blocks; i-- > 0;) {
    fresh.free_blocks.push_back(i);
  }
  fresh.place = with_room_.at(size_class).size();
  with_room_.at(size_class).push_back(*extent);
  return true;
}

void Slab::return_block(std::size_t size_class, std::uint64_t offset, const Lock& lock) noexcept {
  const std::uint64_t extent = extent_of(offset);
  CutExtent& cut = cut_[extent];
  std::vector<std::uint64_t>& candidates = with_room_[size_class];
  if (cut.free_blocks.empty()) {
    cut.place = candidates.size();
    candidates.push_back(extent);
  }
  cut.free_blocks.push_back(
      static_cast<std::uint16_t>((offset - region_->extent_offset(extent)) / BlockClasses::size(size_class)));
  if (size_class != BlockClasses::channel) {
    bytes_taken_ -= BlockClasses::size(size_class);
  }
  // A wholly free extent goes back to the region, but the last one of a class stays: a program that allocates and
  // frees one block at a time must not claim an extent each time.
  if (cut.free_blocks.size() == abi::extent_size / BlockClasses::size(size_class) && candidates.size() > 1) {
    release_empty_extent(extent, lock);
  }
}

void Slab::release_empty_extent(std::uint64_t extent, const Lock& lock) noexcept {
  CutExtent& cut = cut_[extent];
  std::vector<std::uint64_t>& candidates = with_room_[cut.size_class];
  cut_[candidates.back()].place = cut.place;
  candidates[cut.place] = candidates.back();
  candidates.pop_back();
  cut.free_blocks.clear();
  release_run(extent, 1, lock);
}

void Slab::release_empty_extents(const Lock& lock) noexcept {
  for (std::size_t size_class = 0; size_class < BlockClasses::count; ++size_class) {
    const std::vector<std::uint64_t>& candidates = with_room_[size_class];
    for (std::size_t i = candidates.size(); i-- > 0;) {
      if (cut_[candidates[i]].free_blocks.size() == abi::extent_size / BlockClasses::size(size_class)) {
        release_empty_extent(candidates[i], lock);
      }
    }
  }
}

// The first of that many extents in a row.
std::optional<std::uint64_t> Slab::claim_run(std::uint64_t extents, const Lock& lock) noexcept {
  static_cast<void>(lock);
  const auto owners = region_->owners();
  // Two processes that claim at the same time can get into each other's way and both let go: then once more.
  constexpr int rounds = 3;
  bool met_another = true;
  for (int round = 0; round < rounds && met_another; ++round) {
    met_another = false;
    for (std::uint64_t start = 0; extents <= owners.size() && start <= owners.size() - extents;) {
      std::uint64_t got = 0;
      // First only looked at: a compare-and-swap takes the cache line from other processes, even in vain.
      while (got < extents && owners[start + got].load_relaxed().equals(0)) {
        ++got;
      }
      if (got < extents) {
        start += got + 1;
        continue;
      }
      got = 0;
      while (got < extents && owners[start + got].replace(0, owner_)) {
        ++got;
      }
      if (got == extents) {
        extents_claimed_ += extents;
        return start;
      }
      met_another = true;
      for (std::uint64_t i = 0; i < got; ++i) {
        owners[start + i].store_release(0);
      }
      start += got + 1;
    }
  }
  return std::nullopt;
}

void Slab::release_run(std::uint64_t first, std::uint64_t extents, const Lock& lock) noexcept {
  static_cast<void>(lock);
  const auto owners = region_->owners();
  for (std::uint64_t i = first; i < first + extents; ++i) {
    owners[i].store_release(0);
  }
  extents_claimed_ -= extents;
}

std::uint64_t Slab::longest_free_run() const noexcept {
  std::uint64_t longest = 0;
  std::uint64_t current = 0;
  for (const auto& owner : region_->owners()) {
    current = owner.load_relaxed().equals(0) ? current + 1 : 0;
    longest = std::max(longest, current);
  }
  return longest;
}

void Slab::add_taken(std::uint64_t bytes, const Lock& lock) noexcept {
  static_cast<void>(lock);
  bytes_taken_ += bytes;
  most_bytes_taken_ = std::max(most_bytes_taken_, bytes_taken_);
}

// Collects what is free in one place.
void Slab::sweep(const Lock& lock) noexcept {
  for (const auto& cache : caches_) {
    flush(*cache, lock);
  }
  release_empty_extents(lock);
}

void Slab::trim() noexcept {
  if (!process_.is_this_process()) {
    return;
  }
  ask_for_retired();
  const Lock lock(mutex_);
  sweep(lock);
}

// ---- what is said about it -----------------------------------------------------------------------------------------

SlabStatistics Slab::statistics() const {
  SlabStatistics result;
  if (!process_.is_this_process()) {
    return result;
  }
  const Lock lock(mutex_);
  std::int64_t in_use = bytes_in_use_;
  std::int64_t held = bytes_held_;
  for (const auto& cache : caches_) {
    const std::scoped_lock cache_lock(cache->lock);
    in_use += cache->bytes_in_use;
    held += cache->bytes_held;
    for (std::size_t size_class = 0; size_class < BlockCache::classes; ++size_class) {
      result.bytes_cached += cache->magazines.at(size_class).count * BlockClasses::size(size_class);
    }
  }
  const auto free =
      std::ranges::count_if(region_->owners(), [](const auto& word) { return word.load_relaxed().equals(0); });
  result.bytes_in_use = static_cast<std::uint64_t>(in_use);
  result.bytes_held = static_cast<std::uint64_t>(held);
  result.bytes_in_channels = bytes_in_channels_;
  result.bytes_high_water = most_bytes_taken_;
  result.bytes_claimed = extents_claimed_ * abi::extent_size;
  result.bytes_claimable = static_cast<std::uint64_t>(free) * abi::extent_size;
  return result;
}

Error Slab::explain(Freed why, std::uint64_t offset, std::size_t bytes) const {
  const auto about = [&](std::string_view what) {
    return text("slab of region ", region_->name(), ": free of ", Bytes{bytes}, " at ", Hex{offset}, ": ", what);
  };
  switch (why) {
    case Freed::yes:
      break;
    case Freed::not_allocated:
      return {.code = Errc::invalid_argument,
              .message = about("nothing in use starts there; it was freed before, or never allocated")};
    case Freed::wrong_size:
      return {.code = Errc::invalid_argument, .message = about("it was allocated with another size")};
    case Freed::foreign_process:
      return {.code = Errc::wrong_thread,
              .message = about("this is a child after fork, which owns nothing of its parent's")};
  }
  return {.code = Errc::invalid_argument, .message = about("no error")};
}

// What is said of a failed allocation. Not under mutex_, since the numbers are for people.
Error Slab::why_not(std::size_t bytes) const {
  if (bytes == 0) {
    return {.code = Errc::invalid_argument, .message = "slab: an allocation of 0 bytes; ask for 1 at least"};
  }
  if (!process_.is_this_process()) {
    return {.code = Errc::wrong_thread,
            .message = text("slab of region ", region_->name(),
                            ": used in a child after fork, which owns nothing of its parent's; attach anew there")};
  }
  return no_room(bytes);
}

Error Slab::no_room(std::uint64_t bytes) const {
  const auto mine =
      std::ranges::count_if(region_->owners(), [this](const auto& word) { return word.load_relaxed().equals(owner_); });
  return {.code = Errc::exhausted,
          .message = text("slab of region ", region_->name(), ": no room for ", Bytes{bytes}, " (",
                          Bytes{region_->geometry().extent_count * abi::extent_size}, " in all, ",
                          Bytes{static_cast<std::uint64_t>(mine) * abi::extent_size},
                          " held by this process); free frames or enlarge region_size")};
}

}  // namespace isthmus
