// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "isthmus/abi.hpp"

namespace isthmus {

/// One message on its way into a ring. The body is the two pieces joined: a fixed part and an optional trailing one.
struct Outgoing {
  std::uint16_t opcode = 0;
  std::uint8_t flags = 0;
  abi::MessageHeader header;  ///< `size` and `fixed` are filled in by the ring
  std::span<const std::byte> fixed;
  std::span<const std::byte> trailing;
  std::uint64_t fence = 0;  ///< an encoded abi::Fence; only with abi::flag_fence

  /// Bytes after the head.
  [[nodiscard]] std::size_t size() const noexcept {
    return ((flags & abi::flag_fence) != 0 ? abi::fence_bytes : 0) + fixed.size() + trailing.size();
  }
};

enum class Credit : std::uint8_t {
  enough,
  wait,      ///< the consumer has not freed so many slots yet
  violated,  ///< the consumer's published position is impossible
};

/// The writing end of a single-producer single-consumer ring. One thread.
///
/// Positions count slots from 0 for ever; slot and lap follow from the position. Memory order, with the labels of
/// docs/memory-model.md: continuation slots are stored first, the head last (P1, release; the consumer's C1 acquires).
class RingProducer {
 public:
  /// `consumed` is the word in which the consumer publishes how far it has come. The first slot has position `start`,
  /// and `consumed` holds that.
  RingProducer(std::span<abi::Slot, abi::ring_slots> slots, const SharedWord<std::uint64_t>& consumed,
               std::uint32_t first_lap, std::uint64_t start = 0) noexcept
      : slots_(slots.data()),
        consumed_(&consumed),
        position_(start),
        limit_(start + abi::ring_slots),
        first_lap_(first_lap) {}

  /// Whether a descriptor of that many slots may be written now. Reads shared memory only when the credit that is
  /// known of is used up.
  [[nodiscard]] Credit credit(std::uint32_t slots) noexcept {
    if (limit_ - position_ >= slots) [[likely]] {
      return Credit::enough;
    }
    // P2: acquires C2, so that the consumer's reads of a slot come before this side's next write to it.
    const auto in_flight = consumed_->load_acquire().behind(position_, abi::ring_slots);
    if (!in_flight) {
      return Credit::violated;
    }
    limit_ = position_ + abi::ring_slots - *in_flight;
    return limit_ - position_ >= slots ? Credit::enough : Credit::wait;
  }

  /// Writes and publishes one descriptor.
  /// \pre body <= abi::max_body, and credit(abi::slots_for(message.size())) said `enough`
  void write(const Outgoing& message) noexcept {
    const auto bytes = static_cast<std::uint32_t>(message.size());
    abi::MessageHeader header = message.header;
    header.size = static_cast<std::uint32_t>(message.fixed.size() + message.trailing.size());
    header.fixed = static_cast<std::uint16_t>(message.fixed.size());
    const auto head = std::bit_cast<std::array<std::uint64_t, 2>>(header);
    if (bytes <= abi::head_body_bytes) [[likely]] {
      abi::Slot& target = slot(position_);
      target.words[1].store_relaxed(head[0]);
      target.words[2].store_relaxed(head[1]);
      if (bytes == message.fixed.size() && bytes % 8 == 0) [[likely]] {  // whole words: straight from where they are
        store_words(target, message.fixed.data(), bytes);
      } else {
        std::array<std::byte, abi::head_body_bytes> body{};
        std::byte* at = body.data();
        if ((message.flags & abi::flag_fence) != 0) {
          std::memcpy(at, &message.fence, sizeof message.fence);
          at += sizeof message.fence;
        }
        copy_small(at, message.fixed);
        copy_small(at + message.fixed.size(), message.trailing);
        store_words(target, body.data(), bytes);
      }
      show(target, position_, {.opcode = message.opcode, .slots = 1, .flags = message.flags});
      position_ += 1;
    } else {
      write_long(message, head);
    }
  }

  /// Starts a batch: what is written from now on shows to the consumer all at once, at release(). Since the consumer
  /// looks at nothing behind the first slot meanwhile, no line is taken back and forth while the batch is written. The
  /// other side waits for it: release soon, and before waiting for anything, credit included.
  void hold() noexcept {
    if (hold_ == Hold::none) {
      hold_ = Hold::wanted;
    }
  }
  /// Shows the batch. Harmless where there is none.
  void release() noexcept {
    if (hold_ == Hold::held) {
      held_control_.batch = batch_of(static_cast<std::uint32_t>(position_ - held_position_ - 1));
      slot(held_position_).words[0].store_release(held_control_.encode());  // P1
    }
    hold_ = Hold::none;
  }
  [[nodiscard]] bool holds() const noexcept { return hold_ != Hold::none; }

  /// Where the next descriptor will start.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }

 private:
  enum class Hold : std::uint8_t {
    none,
    wanted,  ///< a batch was begun, and has nothing yet
    held,    ///< its first head is not stored yet
  };

  static std::uint64_t word_at(const std::byte* from) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, from, sizeof word);
    return word;
  }
  // At most 40 bytes, rounded up to words: without a loop.
  static void store_words(abi::Slot& to, const std::byte* from, std::size_t bytes) noexcept {
    if (bytes > 32) {
      to.words[7].store_relaxed(word_at(from + 32));
    }
    if (bytes > 24) {
      to.words[6].store_relaxed(word_at(from + 24));
    }
    if (bytes > 16) {
      to.words[5].store_relaxed(word_at(from + 16));
    }
    if (bytes > 8) {
      to.words[4].store_relaxed(word_at(from + 8));
    }
    if (bytes > 0) {
      to.words[3].store_relaxed(word_at(from));
    }
  }

  // At most 40 bytes: a call of memcpy would cost more than the copy.
  static void copy_small(std::byte* to, std::span<const std::byte> from) noexcept {
    const std::byte* at = from.data();
    std::size_t left = from.size();
    for (; left >= 8; left -= 8, to += 8, at += 8) {
      std::memcpy(to, at, 8);
    }
    for (; left != 0; --left) {
      *to++ = *at++;
    }
  }

  [[gnu::noinline]] void write_long(const Outgoing& message, std::array<std::uint64_t, 2> header) noexcept {
    const std::uint32_t count = abi::slots_for(static_cast<std::uint32_t>(message.size()));
    Source source(message);
    std::array<std::uint64_t, 7> words{header[0], header[1]};
    source.fill(std::as_writable_bytes(std::span(words)).subspan(sizeof(abi::MessageHeader)));
    abi::Slot& head = slot(position_);
    store_all(head, words);
    for (std::uint32_t i = 1; i < count; ++i) {
      words.fill(0);
      source.fill(std::as_writable_bytes(std::span(words)));
      abi::Slot& next = slot(position_ + i);
      store_all(next, words);
      next.words[0].store_release(  // P1
          control_word(position_ + i, {.opcode = message.opcode, .flags = abi::flag_continuation}).encode());
    }
    show(head, position_,
         {.opcode = message.opcode, .slots = static_cast<std::uint16_t>(count), .flags = message.flags});
    position_ += count;
  }
  static void store_all(abi::Slot& to, const std::array<std::uint64_t, 7>& words) noexcept {
    for (std::size_t i = 0; i < words.size(); ++i) {
      to.words[i + 1].store_relaxed(words[i]);
    }
  }

  // The bytes after the head, taken piece by piece.
  class Source {
   public:
    explicit Source(const Outgoing& message) noexcept
        : fence_(message.fence),
          pieces_{(message.flags & abi::flag_fence) != 0 ? std::as_bytes(std::span(&fence_, 1))
                                                         : std::span<const std::byte>(),
                  message.fixed, message.trailing} {}
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;

    void fill(std::span<std::byte> target) noexcept {
      for (auto& piece : pieces_) {
        const std::size_t n = std::min(target.size(), piece.size());
        if (n != 0) {
          std::memcpy(target.data(), piece.data(), n);
          target = target.subspan(n);
          piece = piece.subspan(n);
        }
      }
    }

   private:
    std::uint64_t fence_;
    std::array<std::span<const std::byte>, 3> pieces_;
  };

  // Lines that the consumer is not looking at yet are fetched for writing ahead of time: only within a batch, which it
  // does not look at. Else it follows close behind, and a line that is taken from it early has to be taken back.
  static void prefetch_for_writing(const abi::Slot& target) noexcept {
#if defined(__x86_64__)
    asm volatile("prefetchw %0" : : "m"(target));
#else
    __builtin_prefetch(&target, 1);
#endif
  }

  [[nodiscard]] abi::Slot& slot(std::uint64_t position) const noexcept { return slots_[position % abi::ring_slots]; }
  [[nodiscard]] abi::ControlWord control_word(std::uint64_t position, abi::ControlWord control) const noexcept {
    control.lap = first_lap_ + static_cast<std::uint32_t>(position / abi::ring_slots);
    return control;
  }

  // Stores a head's control word, the last of its descriptor.
  void show(abi::Slot& head, std::uint64_t position, const abi::ControlWord& without_lap) noexcept {
    const abi::ControlWord control = control_word(position, without_lap);
    if (hold_ == Hold::wanted) [[unlikely]] {
      hold_ = Hold::held;
      held_position_ = position;
      held_control_ = control;
    } else {
      head.words[0].store_release(control.encode());  // P1
    }
    if (hold_ != Hold::none) {
      prefetch_for_writing(slot(position + prefetch_distance));
    }
  }

  static std::uint8_t batch_of(std::uint32_t slots_behind) noexcept {
    std::uint8_t index = 0;
    while (index + 1U < abi::batch_slots.size() && abi::batch_slots[index + 1U] <= slots_behind) {
      ++index;
    }
    return index;
  }

  static constexpr std::uint64_t prefetch_distance = 8;

  abi::Slot* slots_;
  const SharedWord<std::uint64_t>* consumed_;
  std::uint64_t position_;
  std::uint64_t limit_;  // slots before that position are free, as far as it is known
  std::uint32_t first_lap_;
  Hold hold_ = Hold::none;
  std::uint64_t held_position_ = 0;  // of the first head of a batch
  abi::ControlWord held_control_;
};

/// Makes every slot look empty to a consumer that starts at position `start`, whatever the memory held.
inline void prepare_ring(std::span<abi::Slot, abi::ring_slots> slots, std::uint32_t first_lap,
                         std::uint64_t start = 0) noexcept {
  const std::uint32_t lap = first_lap + static_cast<std::uint32_t>(start / abi::ring_slots);
  for (abi::Slot& slot : slots) {
    slot.words[0].store_relaxed(abi::ControlWord{.lap = lap - 1}.encode());
  }
}

}  // namespace isthmus
