// SPDX-License-Identifier: Apache-2.0
#include "perf/support/bulk_path.hpp"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <vector>

#include "perf/support/forked_host.hpp"
#include "perf/support/must.hpp"
#include "src/transport/spin.hpp"

namespace isthmus::perf {
namespace {

constexpr std::size_t staging_frames = 8;

// The host counts a word of shared memory up for every chunk that it has taken.
class ChunkCounter {
 public:
  explicit ChunkCounter(Lane& lane) : channel_(must(lane.channel())), frame_(must(lane.allocate(sizeof(Word)))) {
    word().store(0, std::memory_order_relaxed);
  }

  void announce(Reference chunk) {
    const wire::Payload payload{.data = chunk, .counter = frame_.reference()};
    must(channel_->post(wire::request(wire::count, std::as_bytes(std::span(&payload, 1)))));
    ++announced_;
  }
  /// Waits until at most that many announced chunks are still with the host.
  void wait_until_left(std::uint64_t chunks) const {
    constexpr int polls_before_yield = 64;
    for (int polls = 0; announced_ - word().load(std::memory_order_acquire) > chunks; ++polls) {
      if (polls % polls_before_yield == polls_before_yield - 1) {
        sched_yield();  // the twin may need this processor
      } else {
        spin_pause();
      }
    }
  }

 private:
  using Word = std::uint64_t;
  [[nodiscard]] std::atomic_ref<Word> word() const noexcept {
    return std::atomic_ref(*reinterpret_cast<Word*>(frame_.data()));
  }

  Channel* channel_;
  Frame frame_;
  std::uint64_t announced_ = 0;
};

class Staged final : public BulkPath {
 public:
  explicit Staged(Lane& lane) : counter_(lane) {
    for (std::size_t i = 0; i < staging_frames; ++i) {
      frames_.push_back(must(lane.allocate(bulk_chunk_size)));
      std::memset(frames_.back().data(), 0, bulk_chunk_size);
    }
  }

  void send(std::span<const std::byte> source) override {
    while (!source.empty()) {
      const auto chunk = source.first(std::min(source.size(), bulk_chunk_size));
      const Frame& frame = frames_[next_++ % staging_frames];
      counter_.wait_until_left(staging_frames - 1);
      std::memcpy(frame.data(), chunk.data(), chunk.size());
      counter_.announce(frame.reference(0, chunk.size()));
      source = source.subspan(chunk.size());
    }
    counter_.wait_until_left(0);
  }

 private:
  ChunkCounter counter_;
  std::vector<Frame> frames_;
  std::size_t next_ = 0;
};

class Whole final : public BulkPath {
 public:
  Whole(Lane& lane, std::size_t size) : counter_(lane), frame_(must(lane.allocate(size))) {
    std::memset(frame_.data(), 0, size);
  }

  void send(std::span<const std::byte> source) override {
    for (std::size_t at = 0; at < source.size();) {
      const std::size_t size = std::min(source.size() - at, bulk_chunk_size);
      std::memcpy(frame_.data() + at, source.data() + at, size);
      counter_.announce(frame_.reference(at, size));
      at += size;
    }
    counter_.wait_until_left(0);
  }

 private:
  ChunkCounter counter_;
  Frame frame_;
};

}  // namespace

std::unique_ptr<BulkPath> staged_bulk_path(Lane& lane) { return std::make_unique<Staged>(lane); }

std::unique_ptr<BulkPath> whole_bulk_path(Lane& lane, std::size_t size) { return std::make_unique<Whole>(lane, size); }

}  // namespace isthmus::perf
