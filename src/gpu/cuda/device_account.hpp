// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "isthmus/plugin.hpp"
#include "src/gpu/cuda/cu.hpp"

namespace isthmus::cuda {

/// What of the VM's device memory this lane has, where that is limited: asked for before the driver is, and given back
/// after the driver has it back. Without a limit it does nothing. Any thread.
///
/// Memory in the order of streams is a pool's: what is freed there may stay, because the stream has not come so far, or
/// because the program has the pool keep it. It is given back when the pool holds less.
class DeviceAccount {
 public:
  /// Bytes that a pool holds, or UINT64_MAX where the driver does not say.
  using Reserved = std::function<std::uint64_t(CUmemoryPool)>;

  /// `limit` may be null: none.
  DeviceAccount(std::shared_ptr<plugin::DeviceMemory> limit, Reserved reserved)
      : limit_(std::move(limit)), reserved_(std::move(reserved)) {}

  /// Has the driver allocate: `allocate()` answers a CUresult, and `key()` then names what was made, by an address or
  /// handle that nothing else in the lane has; what had that name is replaced. `context` is whose memory it is, or
  /// null. CUDA_ERROR_OUT_OF_MEMORY where the limit is reached.
  template <class Allocate, class Key>
  [[nodiscard]] CUresult spend(std::uint64_t bytes, CUcontext context, Allocate allocate, Key key) {
    const Entry entry{.context = context, .bytes = counted_as(bytes), .pool = std::nullopt};
    return spend_for(entry.bytes, allocate, [&] { note(key(), entry); });
  }
  /// The same from a pool.
  template <class Allocate, class Key>
  [[nodiscard]] CUresult spend_in_pool(std::uint64_t bytes, CUmemoryPool pool, Allocate allocate, Key key) {
    const Entry entry{.context = nullptr, .bytes = counted_as(bytes), .pool = pool};
    return spend_for(entry.bytes, allocate, [&] { note(key(), entry); });
  }
  /// Has the driver make a context: `make()` answers a CUresult, and `handle()` then names it. It counts as what the
  /// configuration says that one takes, until forget().
  template <class Make, class Handle>
  [[nodiscard]] CUresult spend_for_context(Make make, Handle handle) {
    const std::uint64_t bytes = limit_ == nullptr ? 0 : limit_->state().per_context;
    return spend_for(bytes, make, [&] { note_context(handle(), bytes); });
  }
  /// The same with one that is there, and for which so many bytes were taken of the limit.
  void adopt_context(CUcontext context, std::uint64_t bytes);
  /// Has the driver free what was spent under that key: `free()` answers a CUresult.
  template <class Free>
  [[nodiscard]] CUresult settle(std::uint64_t key, Free free) {
    // Known before it is free: another thread may get the address as soon as the driver has it back.
    const auto entry = take_out(key);
    const CUresult code = free();
    if (entry && code == CUDA_SUCCESS) {
      let_go(*entry);
    } else if (entry) {
      put_back(key, *entry);
    }
    return code;
  }
  /// Gives back what the pools hold no more. To be called when the device was waited for.
  void reclaim();
  /// Nothing is allocated from that pool any more. `destroy()` is called once it holds nothing that counts: at once, or
  /// in a later reclaim(), because nobody can ask a pool that is gone what it still holds.
  void retire(CUmemoryPool pool, std::function<void()> destroy);
  /// Has the driver destroy a context: `destroy()` answers a CUresult, which may be that of work that failed earlier.
  /// What the context took, and all that was in it, is given back in any case.
  template <class Destroy>
  CUresult forget(CUcontext context, Destroy destroy) {
    // Known before it is gone: another thread may get the handle as soon as the driver has it back.
    const std::uint64_t bytes = take_out_all_of(context);
    const CUresult code = destroy();
    if (bytes != 0) {
      limit_->give(bytes);
    }
    return code;
  }

  /// Whether there is a limit: then what takes memory without asking, as graphs do whenever they run, is refused.
  [[nodiscard]] bool has_limit() const noexcept { return limit_ != nullptr; }
  /// A device's free and total bytes as the client is to see them.
  void limit(std::uint64_t& free, std::uint64_t& total);
  [[nodiscard]] std::uint64_t limited(std::uint64_t total);

 private:
  struct Entry {
    CUcontext context;
    std::uint64_t bytes;
    std::optional<CUmemoryPool> pool;
  };
  struct Pool {
    std::uint64_t live = 0;         // bytes of entries_
    std::uint64_t freed = 0;        // bytes that the pool may still hold
    std::function<void()> destroy;  // of one that is retired
  };
  template <class Allocate, class Note>
  [[nodiscard]] CUresult spend_for(std::uint64_t bytes, Allocate allocate, Note note_it) {
    if (limit_ == nullptr) {
      return allocate();
    }
    if (!take(bytes)) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const CUresult code = allocate();
    if (code == CUDA_SUCCESS) {
      note_it();
    } else {
      limit_->give(bytes);
    }
    return code;
  }
  [[nodiscard]] static std::uint64_t counted_as(std::uint64_t bytes) noexcept;
  [[nodiscard]] bool take(std::uint64_t bytes);
  void note(std::uint64_t key, const Entry& entry);
  void note_context(CUcontext context, std::uint64_t bytes);
  [[nodiscard]] std::optional<Entry> take_out(std::uint64_t key);
  [[nodiscard]] std::uint64_t take_out_all_of(CUcontext context);
  void put_back(std::uint64_t key, const Entry& entry);
  void let_go(const Entry& entry);

  std::shared_ptr<plugin::DeviceMemory> limit_;
  Reserved reserved_;
  std::mutex mutex_;
  std::map<std::uint64_t, Entry> entries_;
  std::map<CUmemoryPool, Pool> pools_;
};

/// Bytes that an array takes at least, with that many levels (0 or 1: one); UINT64_MAX where the numbers overflow.
[[nodiscard]] std::uint64_t bytes_of_array(const CUDA_ARRAY3D_DESCRIPTOR& array, std::uint64_t levels) noexcept;

}  // namespace isthmus::cuda
