// SPDX-License-Identifier: Apache-2.0
#include "perf/support/bulk_path.hpp"

#include <sched.h>

#include <atomic>
#include <cstring>

#include "perf/support/forked_host.hpp"
#include "perf/support/must.hpp"
#include "src/transport/spin.hpp"

namespace isthmus::perf {

// The host counts a word of shared memory up for every chunk that it has taken.
class BulkPath::Host final : public ChunkPeer {
 public:
  explicit Host(Lane& lane) : channel_(must(lane.channel())), frame_(must(lane.allocate(sizeof(Word)))) {
    word().store(0, std::memory_order_relaxed);
  }

  Result<void> start(const CopyChunk& chunk) override {
    const wire::Payload payload{.data = chunk.reference, .counter = frame_.reference()};
    return channel_->post(wire::request(wire::count, std::as_bytes(std::span(&payload, 1))));
  }
  bool finished(const CopyChunk&) override { return word().load(std::memory_order_acquire) > finished_; }
  Result<void> finish(const CopyChunk& chunk) override {
    constexpr int polls_before_yield = 64;
    for (int polls = 0; !finished(chunk); ++polls) {
      if (polls % polls_before_yield == polls_before_yield - 1) {
        sched_yield();  // the twin may need this processor
      } else {
        spin_pause();
      }
    }
    ++finished_;
    return {};
  }

 private:
  using Word = std::uint64_t;
  [[nodiscard]] std::atomic_ref<Word> word() const noexcept {
    return std::atomic_ref(*reinterpret_cast<Word*>(frame_.data()));
  }

  Channel* channel_;
  Frame frame_;
  Word finished_ = 0;
};

BulkPath::BulkPath(Lane& lane, std::uint32_t threads, std::size_t slab_bytes)
    : host_(std::make_unique<Host>(lane)),
      engine_({.threads = threads, .stores = CopyStores::automatic}),
      frame_(must(lane.allocate(slab_bytes))),
      buffers_(CopyBuffer::split(frame_, bulk_chunk_size)) {
  std::memset(frame_.data(), 0, frame_.size());
}

BulkPath::~BulkPath() = default;

void BulkPath::send(std::span<const std::byte> source) { must(engine_.to_slab(source, buffers_, *host_)); }

}  // namespace isthmus::perf
