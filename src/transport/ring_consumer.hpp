// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "isthmus/abi.hpp"

namespace isthmus {

/// A private copy of one descriptor. `body` lives until the next poll().
struct Incoming {
  abi::ControlWord control;
  abi::MessageHeader header;
  std::span<const std::byte> body;
  std::uint64_t fence = 0;  ///< an encoded abi::Fence; only with abi::flag_fence
};

/// The one word by which the next descriptor shows, for others than the consumer's thread to look at.
struct RingHead {
  const SharedWord<std::uint64_t>* control = nullptr;
  std::uint32_t lap = 0;
};

enum class Polled : std::uint8_t {
  empty,
  ready,
  violated,  ///< the producer wrote something that no honest producer writes; the ring must not be read any more
};

/// The reading end of a single-producer single-consumer ring. One thread.
///
/// Nothing in the ring is believed: a descriptor is copied out once (the snapshot), and only the copy is parsed.
class RingConsumer {
 public:
  /// `consumed` is this side's word: how far slots are free again. The first slot has position `start`.
  RingConsumer(std::span<const abi::Slot, abi::ring_slots> slots, SharedWord<std::uint64_t>& consumed,
               std::uint32_t first_lap, std::uint64_t start = 0)
      : slots_(slots.data()),
        consumed_(&consumed),
        position_(start),
        published_(start),
        fetched_(start),
        batch_end_(start),
        first_lap_(first_lap),
        long_body_(std::make_unique<LongBody>()) {}

  /// Whether a descriptor's head is there.
  [[nodiscard]] bool ready() const noexcept {
    return abi::ControlWord::lap_of(slot(position_).words[0].load_acquire().snapshot()) == lap(position_);  // C1
  }

  /// Where the next descriptor will show. Its lap stays right until that descriptor is taken.
  [[nodiscard]] RingHead head() const noexcept { return {&slot(position_).words[0], lap(position_)}; }
  [[nodiscard]] static bool is_there(const RingHead& head) noexcept {
    return abi::ControlWord::lap_of(head.control->load_acquire().snapshot()) == head.lap;  // C1
  }

  /// Takes the next descriptor, if there is one. Its slots are free for the producer as soon as the credit is
  /// published, which happens by itself once a quarter of the ring has been consumed: ask take_news() afterwards.
  [[nodiscard]] Polled poll(Incoming& out) noexcept {
    const abi::Slot& head = slot(position_);
    const std::uint64_t word = head.words[0].load_acquire().snapshot();  // C1: acquires P1
    if (abi::ControlWord::lap_of(word) != lap(position_)) {
      return Polled::empty;
    }
    out.control = abi::ControlWord::decode(word);
    if (out.control.batch != 0 || fetched_ != batch_end_) [[unlikely]] {
      fetch_ahead(out.control.batch);
    }
    copy_words(head, short_body_);
    out.header = std::bit_cast<abi::MessageHeader>(std::array{short_body_[0], short_body_[1]});
    // The usual descriptor: one slot, no fence. Everything else takes the long way, with the same checks.
    if (out.control.slots == 1 && (out.control.flags & ~abi::flag_post) == 0 &&
        out.header.size <= abi::head_body_bytes && out.header.fixed <= out.header.size) [[likely]] {
      out.body = std::as_bytes(std::span(short_body_)).subspan(sizeof out.header, out.header.size);
      out.fence = 0;
    } else if (!take_long(out)) {
      return Polled::violated;
    }
    position_ += out.control.slots;
    if (position_ - published_ >= abi::ring_slots / 4) [[unlikely]] {
      publish();
    }
    return Polled::ready;
  }

  /// Tells the producer how far slots are free. To be called before this side sleeps, or executes something long.
  /// True when that, or an earlier poll(), was news that take_news() has not told yet.
  [[nodiscard]] bool publish_credit() noexcept {
    if (published_ != position_) {
      publish();
    }
    return take_news();
  }

  /// Whether credit was published since this was last asked. The producer may sleep until there is room: whoever gets
  /// `true` here or from publish_credit() must flush the doorbell.
  [[nodiscard]] bool take_news() noexcept { return std::exchange(news_, false); }

  /// Where the next descriptor is looked for.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  /// What the producer has been told.
  [[nodiscard]] std::uint64_t published() const noexcept { return published_; }

 private:
  static constexpr std::uint64_t fetch_distance = 16;

  using LongBody = std::array<std::uint64_t, (abi::max_body + abi::fence_bytes + 7) / 8>;

  void publish() noexcept {
    consumed_->store_release(position_);  // C2: this side's reads of the slots come before
    published_ = position_;
    news_ = true;
  }

  // The misses of a batch's lines overlap that way; one by one, each would cost a whole transfer.
  void fetch_ahead(std::uint8_t batch) noexcept {
    if (batch != 0) {
      fetched_ = position_ + 1;
      batch_end_ = fetched_ + abi::batch_slots[batch];
    }
    const std::uint64_t end = std::min(batch_end_, position_ + 1 + fetch_distance);
    for (fetched_ = std::max(fetched_, position_ + 1); fetched_ < end; ++fetched_) {
      __builtin_prefetch(&slot(fetched_));
    }
    fetched_ = std::min(fetched_, batch_end_);
  }

  static void copy_words(const abi::Slot& from, std::span<std::uint64_t, 7> to) noexcept {
    for (std::size_t i = 0; i < to.size(); ++i) {
      to[i] = from.words[i + 1].load_relaxed().snapshot();
    }
  }

  [[nodiscard, gnu::noinline]] bool take_long(Incoming& out) noexcept {
    const bool fenced = (out.control.flags & abi::flag_fence) != 0;
    const std::uint32_t in_front = fenced ? abi::fence_bytes : 0;
    if ((out.control.flags & ~abi::flags_known) != 0 || (out.control.flags & abi::flag_continuation) != 0 ||
        out.header.size > abi::max_body || out.header.fixed > out.header.size ||
        out.control.slots != abi::slots_for(out.header.size + in_front)) {
      return false;
    }
    std::span<const std::byte> bytes;
    if (out.control.slots == 1) {
      bytes = std::as_bytes(std::span(short_body_)).subspan(sizeof out.header);
    } else if (gather(out.control.slots)) {
      bytes = std::as_bytes(std::span(*long_body_));
    } else {
      return false;
    }
    out.fence = 0;
    if (fenced) {
      std::memcpy(&out.fence, bytes.data(), sizeof out.fence);
    }
    out.body = bytes.subspan(in_front, out.header.size);
    return true;
  }

  [[nodiscard]] bool gather(std::uint32_t count) noexcept {
    std::span<std::uint64_t> rest(*long_body_);
    constexpr std::size_t head_words = abi::head_body_bytes / sizeof(std::uint64_t);
    std::copy_n(short_body_.begin() + sizeof(abi::MessageHeader) / sizeof(std::uint64_t), head_words, rest.begin());
    rest = rest.subspan(head_words);
    for (std::uint32_t i = 1; i < count; ++i) {
      const abi::Slot& next = slot(position_ + i);
      // The head was published last, so each continuation must be there already; its lap is checked all the same.
      const auto control = abi::ControlWord::decode(next.words[0].load_acquire().snapshot());  // C1
      if (control.lap != lap(position_ + i) || control.flags != abi::flag_continuation) {
        return false;
      }
      copy_words(next, rest.first<7>());
      rest = rest.subspan(7);
    }
    return true;
  }

  [[nodiscard]] const abi::Slot& slot(std::uint64_t position) const noexcept {
    return slots_[position % abi::ring_slots];
  }
  [[nodiscard]] std::uint32_t lap(std::uint64_t position) const noexcept {
    return first_lap_ + static_cast<std::uint32_t>(position / abi::ring_slots);
  }

  const abi::Slot* slots_;
  SharedWord<std::uint64_t>* consumed_;
  std::uint64_t position_;
  std::uint64_t published_;
  std::uint64_t fetched_;    // how far the lines of a batch were asked for
  std::uint64_t batch_end_;  // how far a batch is known to reach
  std::uint32_t first_lap_;
  bool news_ = false;  // credit was published, and the producer was not rung since
  std::array<std::uint64_t, 7> short_body_{};
  std::unique_ptr<LongBody> long_body_;
};

}  // namespace isthmus
