// SPDX-License-Identifier: Apache-2.0
#include "isthmus/bulk_copy.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "src/transport/copy_crew.hpp"
#include "src/transport/copy_job.hpp"
#include "src/transport/streaming_copy.hpp"

namespace isthmus {
namespace {

// More do not make it quicker where it was measured, and a machine has other things to do.
constexpr std::uint32_t most_by_default = 8;
// Less for each thread is not worth a wake-up: 1 MiB by two threads is no quicker than by one, 2 MiB is.
constexpr std::size_t least_for_a_thread = std::size_t{1} << 20;

bool streams(CopyStores stores, std::size_t written) noexcept {
  return stores == CopyStores::streaming || (stores == CopyStores::automatic && written >= least_to_stream());
}

// How a whole copy is laid out in chunks: the buffers in turn.
class Layout {
 public:
  Layout(std::size_t total, std::span<const CopyBuffer> buffers) : total_(total), buffers_(buffers) {
    starts_.reserve(buffers.size());
    for (const CopyBuffer& buffer : buffers) {
      starts_.push_back(turn_);
      turn_ += buffer.bytes.size();
    }
    const std::uint64_t left = total % turn_;
    count_ = total / turn_ * buffers.size() +
             static_cast<std::uint64_t>(std::ranges::count_if(starts_, [&](auto start) { return start < left; }));
  }

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::size_t slot(std::uint64_t number) const noexcept { return number % buffers_.size(); }
  /// Bytes of all the buffers that are used.
  [[nodiscard]] std::size_t footprint() const noexcept { return std::min(total_, turn_); }
  [[nodiscard]] CopyChunk chunk(std::uint64_t number) const noexcept {
    const CopyBuffer& buffer = buffers_[slot(number)];
    const std::size_t offset = number / buffers_.size() * turn_ + starts_[slot(number)];
    const std::size_t bytes = std::min(buffer.bytes.size(), total_ - offset);
    return {.number = number,
            .offset = offset,
            .bytes = buffer.bytes.first(bytes),
            .reference = Reference::make(buffer.reference.window(), buffer.reference.offset(), bytes)};
  }

 private:
  std::size_t total_;
  std::span<const CopyBuffer> buffers_;
  std::vector<std::size_t> starts_;  // of the buffers in a turn
  std::size_t turn_ = 0;
  std::uint64_t count_ = 0;
};

Result<void> check_buffers(std::span<const CopyBuffer> buffers) {
  if (buffers.empty() || std::ranges::any_of(buffers, [](const CopyBuffer& one) { return one.bytes.empty(); })) {
    return fail(Errc::invalid_argument, "bulk copy: no buffer, or an empty one; give one at least, two for overlap");
  }
  return {};
}

// The chunks that the peer has: between `finished` and `started`.
class InFlight {
 public:
  InFlight(const Layout& layout, ChunkPeer& peer, const CopyCrew::Shift& shift)
      : layout_(&layout), peer_(&peer), shift_(&shift) {}

  [[nodiscard]] std::uint64_t started() const noexcept { return started_; }
  [[nodiscard]] std::uint64_t finished() const noexcept { return finished_; }
  [[nodiscard]] Result<void> start_next() { return check(peer_->start(layout_->chunk(started_)), started_); }
  /// Whether the next chunk can be finished without waiting.
  [[nodiscard]] bool can_finish() { return finished_ < started_ && peer_->finished(layout_->chunk(finished_)); }
  [[nodiscard]] Result<void> finish_next() { return check(peer_->finish(layout_->chunk(finished_)), finished_); }
  /// After an error: the host must be done with the rest, as far as it can be known.
  void finish_rest() {
    while (finished_ < started_ && shift_->in_its_process()) {
      std::ignore = finish_next();
    }
  }

 private:
  // Counts the chunk also when the peer failed: it is not asked again.
  [[nodiscard]] Result<void> check(Result<void> result, std::uint64_t& counter) {
    const bool start_failed = &counter == &started_ && !result;
    counter += start_failed ? 0 : 1;
    if (!shift_->in_its_process()) {
      return fail(Errc::wrong_thread, "bulk copy: this is a child after fork, which owns nothing of its parent's");
    }
    return result;
  }

  const Layout* layout_;
  ChunkPeer* peer_;
  const CopyCrew::Shift* shift_;
  std::uint64_t started_ = 0;
  std::uint64_t finished_ = 0;
};

}  // namespace

std::vector<CopyBuffer> CopyBuffer::split(const Frame& frame, std::size_t size) {
  std::vector<CopyBuffer> pieces;
  pieces.reserve(frame.size() / size + 1);
  for (std::size_t offset = 0; offset < frame.size(); offset += size) {
    const std::size_t bytes = std::min(size, frame.size() - offset);
    pieces.push_back({.bytes = frame.bytes().subspan(offset, bytes), .reference = frame.reference(offset, bytes)});
  }
  return pieces;
}

std::uint32_t BulkCopy::threads_for(std::size_t bytes) const noexcept {
  const std::size_t worth_it = bytes / least_for_a_thread;
  if (worth_it < 2 || options_.threads == 1) {
    return 1;
  }
  const std::uint32_t wanted = options_.threads == 0 ? most_by_default : options_.threads;
  const std::uint32_t possible = std::min(wanted, CopyCrew::most_threads());
  return static_cast<std::uint32_t>(std::min<std::size_t>(worth_it, possible));
}

void BulkCopy::copy(std::span<std::byte> to, std::span<const std::byte> from) const {
  const bool streaming = streams(options_.stores, from.size());
  const std::uint32_t threads = threads_for(from.size());
  if (threads == 1) {
    if (streaming) {
      streaming_copy(to.data(), from.data(), from.size());
    } else {
      cached_copy(to.data(), from.data(), from.size());
    }
    return;
  }
  CopyJob job(1, streaming, from.size() / threads);
  CopyCrew::Shift shift(job, threads - 1);
  shift.open(to.data(), from.data(), from.size(), 0);
  while (shift.copy_one()) {
  }
  shift.wait_for(0);
}

Result<void> BulkCopy::to_slab(std::span<const std::byte> source, std::span<const CopyBuffer> buffers,
                               ChunkPeer& peer) const {
  if (auto ok = check_buffers(buffers); !ok || source.empty()) {
    return ok;
  }
  const Layout layout(source.size(), buffers);
  const std::uint32_t threads = threads_for(source.size());
  CopyJob job(buffers.size(), streams(options_.stores, layout.footprint()), source.size() / threads);
  CopyCrew::Shift shift(job, threads - 1);
  InFlight flight(layout, peer, shift);
  std::uint64_t opened = 0;
  Result<void> ok;
  while (ok && flight.finished() < layout.count()) {
    if (flight.can_finish()) {
      ok = flight.finish_next();
      continue;
    }
    while (opened < layout.count() && opened < flight.finished() + buffers.size()) {
      const CopyChunk chunk = layout.chunk(opened);
      shift.open(chunk.bytes.data(), source.data() + chunk.offset, chunk.bytes.size(), layout.slot(opened));
      ++opened;
    }
    if (flight.started() < opened && job.copied(layout.slot(flight.started()))) {
      ok = flight.start_next();
    } else if (shift.copy_one()) {
      continue;
    } else if (flight.started() < opened) {
      shift.wait_for(layout.slot(flight.started()));  // first, so that the host need not wait for us
    } else {
      ok = flight.finish_next();
    }
  }
  if (!ok) {
    flight.finish_rest();
  }
  return ok;
}

Result<void> BulkCopy::from_slab(std::span<std::byte> destination, std::span<const CopyBuffer> buffers,
                                 ChunkPeer& peer) const {
  if (auto ok = check_buffers(buffers); !ok || destination.empty()) {
    return ok;
  }
  const Layout layout(destination.size(), buffers);
  const std::uint32_t threads = threads_for(destination.size());
  CopyJob job(buffers.size(), streams(options_.stores, destination.size()), destination.size() / threads);
  CopyCrew::Shift shift(job, threads - 1);
  InFlight flight(layout, peer, shift);
  std::uint64_t copied = 0;  // whose buffers are free again
  Result<void> ok;
  while (ok && copied < layout.count()) {
    if (flight.started() < layout.count() && flight.started() < copied + buffers.size()) {
      ok = flight.start_next();
    } else if (copied < flight.finished() && job.copied(layout.slot(copied))) {
      ++copied;
    } else if (const bool can_finish = flight.can_finish(); !can_finish && shift.copy_one()) {
      continue;
    } else if (!can_finish && copied < flight.finished()) {
      shift.wait_for(layout.slot(copied));
    } else {
      const CopyChunk chunk = layout.chunk(flight.finished());
      ok = flight.finish_next();
      if (ok) {
        shift.open(destination.data() + chunk.offset, chunk.bytes.data(), chunk.bytes.size(),
                   layout.slot(chunk.number));
      }
    }
  }
  if (!ok) {
    flight.finish_rest();
  }
  return ok;
}

}  // namespace isthmus
