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

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

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
    copy_slot(head, copy_);
    out.header = std::bit_cast<abi::MessageHeader>(std::array{copy_[0], copy_[1]});
    if (position_ >= fetch_at_) [[unlikely]] {
      fetch_ahead();
    }
    // The usual descriptor: one slot, no fence. Everything else takes the long way, with the same checks.
    if ((word & ~usual_varies) == usual && head_fits(out.header)) [[likely]] {
      set_usual(word, copy_, out);
      position_ += 1;
    } else if (take_long(word, out)) {
      position_ += out.control.slots;
    } else {
      return Polled::violated;
    }
    if (position_ - published_ >= abi::ring_slots / 4) [[unlikely]] {
      publish();
    }
    return Polled::ready;
  }

  /// Takes up to `most` descriptors and gives each to `take(const Incoming&)`, until one is not there or `take` says
  /// false: the quick way through a batch, a third of poll()'s cost. The verdict is poll()'s on the next one, `ready`
  /// where it was not looked at. `take` may use everything here but poll() and drain(); take_news() is to be asked in
  /// it.
  template <class Take>
  [[nodiscard]] Polled drain(std::uint32_t most, const Take& take) {
    const std::uint64_t end = position_ + most;
    while (position_ < end) {
      if (position_ >= fetch_at_) [[unlikely]] {
        fetch_ahead();
      }
      const std::uint64_t quick_end = quick_until(end);
      const std::uint64_t expected = usual | lap(position_);
      std::uint64_t position = position_;  // so that it need not be read again after each `take`
      const abi::Slot* head = &slot(position);
      for (; position < quick_end; ++head) {
        const std::uint64_t word = head->words[0].load_acquire().snapshot();  // C1: acquires P1
        if ((word & ~usual_varies_in_a_lap) != expected) {
          break;
        }
        SlotCopy copy;
        copy_slot(*head, copy);
        Incoming incoming;
        incoming.header = std::bit_cast<abi::MessageHeader>(std::array{copy[0], copy[1]});
        if (!head_fits(incoming.header)) [[unlikely]] {
          break;
        }
        set_usual(word, copy, incoming);
        position_ = ++position;
        if (!take(static_cast<const Incoming&>(incoming))) {
          return Polled::ready;
        }
      }
      if (position_ < end && position_ < fetch_at_) {
        Incoming incoming;
        if (const Polled polled = poll(incoming); polled != Polled::ready) {
          return polled;
        }
        if (!take(static_cast<const Incoming&>(incoming))) {
          return Polled::ready;
        }
      }
    }
    return Polled::ready;
  }

  /// Tells the producer how far slots are free. To be called before this side sleeps, poll() having said `empty`.
  /// Nobody has to be woken for it: since poll() publishes each quarter of the ring, less than that is untold here, and
  /// the longest descriptor fits into the rest, of which the producer knows. True where an earlier poll() was news that
  /// take_news() has not told yet.
  [[nodiscard]] bool publish_credit() noexcept {
    static_assert(abi::max_descriptor_slots <= abi::ring_slots - abi::ring_slots / 4);
    if (published_ != position_) {
      consumed_->store_release(position_);  // C2
      published_ = position_;
    }
    return take_news();
  }

  /// Whether poll() has published credit since this was last asked. The producer may sleep until there is room: whoever
  /// gets `true` here or from publish_credit() must flush the doorbell.
  [[nodiscard]] bool take_news() noexcept { return news_ && std::exchange(news_, false); }

  /// Where the next descriptor is looked for.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  /// What the producer has been told.
  [[nodiscard]] std::uint64_t published() const noexcept { return published_; }

  struct alignas(16) SlotCopy : std::array<std::uint64_t, 7> {};
  /// A private copy of words 1 to 7, each read once, behind the control word's acquire. On x86-64 the body's two at a
  /// time, so that a reader of the copy, who does the same, finds each of its pairs in one store.
  static void copy_slot(const abi::Slot& from, SlotCopy& to) noexcept {
    const auto word = [&](std::size_t i) { return from.words[i].load_relaxed().snapshot(); };
    to[0] = word(1);
    to[1] = word(2);
#if defined(__x86_64__) && !defined(ISTHMUS_THREAD_SANITIZER)
    const auto pair = [&](std::size_t i) {
      __m128i loaded;
      // Not a plain load: that a compiler may repeat. It crosses no cache line.
      asm volatile("movdqu %1, %0" : "=x"(loaded) : "m"(*reinterpret_cast<const __m128i*>(&from.words[i])));
      return loaded;
    };
    auto* const pairs = reinterpret_cast<__m128i*>(to.data());
    _mm_store_si128(pairs + 1, pair(3));
    _mm_store_si128(pairs + 2, pair(5));
#else
    to[2] = word(3);
    to[3] = word(4);
    to[4] = word(5);
    to[5] = word(6);
#endif
    to[6] = word(7);
  }

 private:
  // Lines of a batch are asked for so many at a time, and so many ahead.
  static constexpr std::uint64_t fetch_step = 16;
  static constexpr std::uint64_t never = ~std::uint64_t{0};

  // The control word of the usual descriptor: lap, opcode, and whether it is a post, may be anything.
  static constexpr std::uint64_t usual = abi::ControlWord{.slots = 1}.encode();
  static constexpr std::uint64_t usual_varies =
      abi::ControlWord{.lap = 0xffff'ffff, .opcode = 0xffff, .flags = abi::flag_post}.encode();
  static constexpr std::uint64_t usual_varies_in_a_lap = usual_varies & ~std::uint64_t{0xffff'ffff};
  static constexpr std::size_t body_offset = sizeof(abi::MessageHeader);

  using LongBody = std::array<std::uint64_t, (abi::max_body + abi::fence_bytes + 7) / 8>;

  [[nodiscard]] static bool head_fits(const abi::MessageHeader& header) noexcept {
    return header.size <= abi::head_body_bytes && header.fixed <= header.size;
  }
  static void set_usual(std::uint64_t word, const SlotCopy& copy, Incoming& out) noexcept {
    out.control = {.lap = static_cast<std::uint32_t>(word),
                   .opcode = static_cast<std::uint16_t>(word >> 32),
                   .slots = 1,
                   .flags = static_cast<std::uint8_t>(word >> 58)};
    out.body = std::as_bytes(std::span<const std::uint64_t, 7>(copy)).subspan(body_offset, out.header.size);
    out.fence = 0;
  }
  // Up to there slots need nothing but to be taken, if they are usual: the ring does not end, no credit is due, and no
  // lines are to be asked for. poll() does all that.
  [[nodiscard]] std::uint64_t quick_until(std::uint64_t end) const noexcept {
    const std::uint64_t credit_due = published_ + abi::ring_slots / 4 - 1;
    const std::uint64_t lap_end = (position_ / abi::ring_slots + 1) * abi::ring_slots;
    return std::min({end, credit_due, lap_end, fetch_at_});
  }

  void publish() noexcept {
    consumed_->store_release(position_);  // C2: this side's reads of the slots come before
    published_ = position_;
    news_ = true;
  }

  // The misses of a batch's lines overlap that way; one by one, each would cost a whole transfer.
  [[gnu::noinline]] void begin_batch(std::uint8_t batch) noexcept {
    batch_end_ = position_ + 1 + abi::batch_slots[batch];
    fetched_ = position_ + 1;
    fetch_ahead();
  }
  [[gnu::noinline]] void fetch_ahead() noexcept {
    const std::uint64_t end = std::min(batch_end_, position_ + 1 + 2 * fetch_step);
    for (fetched_ = std::max(fetched_, position_ + 1); fetched_ < end; ++fetched_) {
      __builtin_prefetch(&slot(fetched_));
    }
    fetch_at_ = fetched_ < batch_end_ ? position_ + fetch_step : never;
  }

  [[nodiscard, gnu::noinline]] bool take_long(std::uint64_t word, Incoming& out) noexcept {
    out.control = abi::ControlWord::decode(word);
    if (out.control.batch != 0) {
      begin_batch(out.control.batch);
    }
    const bool fenced = (out.control.flags & abi::flag_fence) != 0;
    const std::uint32_t in_front = fenced ? abi::fence_bytes : 0;
    if ((out.control.flags & ~abi::flags_known) != 0 || (out.control.flags & abi::flag_continuation) != 0 ||
        out.header.size > abi::max_body || out.header.fixed > out.header.size ||
        out.control.slots != abi::slots_for(out.header.size + in_front)) {
      return false;
    }
    std::span<const std::byte> bytes;
    if (out.control.slots == 1) {
      bytes = std::as_bytes(std::span<const std::uint64_t, 7>(copy_)).subspan(body_offset);
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
    std::copy_n(copy_.begin() + body_offset / sizeof(std::uint64_t), head_words, rest.begin());
    rest = rest.subspan(head_words);
    for (std::uint32_t i = 1; i < count; ++i) {
      const abi::Slot& next = slot(position_ + i);
      // The head was published last, so each continuation must be there already; its lap is checked all the same.
      const auto control = abi::ControlWord::decode(next.words[0].load_acquire().snapshot());  // C1
      if (control.lap != lap(position_ + i) || control.flags != abi::flag_continuation) {
        return false;
      }
      SlotCopy copy{};
      copy_slot(next, copy);
      std::ranges::copy(copy, rest.begin());
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
  std::uint64_t fetch_at_ = never;  // the position where the next lines of a batch are asked for
  std::uint64_t fetched_ = 0;       // how far they were
  std::uint64_t batch_end_ = 0;     // how far the batch is known to reach
  std::uint32_t first_lap_;
  bool news_ = false;  // credit was published, and the producer was not rung since
  SlotCopy copy_{};
  std::unique_ptr<LongBody> long_body_;
};

}  // namespace isthmus
