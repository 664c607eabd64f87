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
      : slots_(slots.data()), consumed_(&consumed), position_(start), first_lap_(first_lap) {}

  /// Whether a descriptor of that many slots may be written now. Reads shared memory only when the credit that is
  /// known of is used up.
  [[nodiscard]] Credit credit(std::uint32_t slots) noexcept {
    if (free_ >= slots) {
      return Credit::enough;
    }
    // P2: acquires C2, so that the consumer's reads of a slot come before this side's next write to it.
    const auto in_flight = consumed_->load_acquire().behind(position_, abi::ring_slots);
    if (!in_flight) {
      return Credit::violated;
    }
    free_ = abi::ring_slots - static_cast<std::uint32_t>(*in_flight);
    return free_ >= slots ? Credit::enough : Credit::wait;
  }

  /// Writes and publishes one descriptor.
  /// \pre body <= abi::max_body, and credit(abi::slots_for(message.size())) said `enough`
  void write(const Outgoing& message) noexcept {
    const auto bytes = static_cast<std::uint32_t>(message.size());
    abi::MessageHeader header = message.header;
    header.size = static_cast<std::uint32_t>(message.fixed.size() + message.trailing.size());
    header.fixed = static_cast<std::uint16_t>(message.fixed.size());
    std::array<std::uint64_t, 8> head;  // NOLINT(*-member-init): what is not filled is not stored
    std::memcpy(head.data(), &header, sizeof header);
    if (bytes <= abi::head_body_bytes) [[likely]] {
      auto* body = reinterpret_cast<std::byte*>(head.data()) + sizeof header;
      head[2 + bytes / 8] = 0;  // the last word may be filled in part
      if ((message.flags & abi::flag_fence) != 0) {
        std::memcpy(body, &message.fence, sizeof message.fence);
        body += sizeof message.fence;
      }
      copy_small(body, message.fixed);
      copy_small(body + message.fixed.size(), message.trailing);
      store(position_, {.opcode = message.opcode, .slots = 1, .flags = message.flags},
            std::span(head).first(2 + (bytes + 7) / 8));
      position_ += 1;
      free_ -= 1;
    } else {
      write_long(message, std::span(head).first<7>());
    }
  }

  /// Starts a batch: what is written from now on shows to the consumer all at once, at release(). Since the consumer
  /// looks at nothing behind the first slot meanwhile, no line is taken back and forth while the batch is written. The
  /// other side waits for it: release soon, and before waiting for anything, credit included.
  void hold() noexcept { holding_ = true; }
  /// Shows the batch. Harmless where there is none.
  void release() noexcept {
    if (held_ != nullptr) {
      held_control_.batch = batch_of(static_cast<std::uint32_t>(position_ - held_position_ - 1));
      std::exchange(held_, nullptr)->words[0].store_release(held_control_.encode());  // P1
    }
    holding_ = false;
  }
  [[nodiscard]] bool holds() const noexcept { return holding_; }

  /// Where the next descriptor will start.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }

 private:
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

  [[gnu::noinline]] void write_long(const Outgoing& message, std::span<std::uint64_t, 7> head) noexcept {
    const std::uint32_t count = abi::slots_for(static_cast<std::uint32_t>(message.size()));
    Source source(message);
    source.fill(std::as_writable_bytes(head).subspan(sizeof(abi::MessageHeader)));
    for (std::uint32_t i = 1; i < count; ++i) {
      std::array<std::uint64_t, 7> words{};
      source.fill(std::as_writable_bytes(std::span(words)));
      store(position_ + i, {.opcode = message.opcode, .flags = abi::flag_continuation}, words);
    }
    store(position_, {.opcode = message.opcode, .slots = static_cast<std::uint16_t>(count), .flags = message.flags},
          head);
    position_ += count;
    free_ -= count;
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

  // Lines that the consumer is not looking at yet are fetched for writing ahead of time.
  static void prefetch_for_writing(const abi::Slot& slot) noexcept {
#if defined(__x86_64__)
    asm volatile("prefetchw %0" : : "m"(slot));
#else
    __builtin_prefetch(&slot, 1);
#endif
  }

  void store(std::uint64_t position, abi::ControlWord control, std::span<const std::uint64_t> words) noexcept {
    abi::Slot& slot = slots_[position % abi::ring_slots];
    for (std::size_t i = 0; i < words.size(); ++i) {
      slot.words[i + 1].store_relaxed(words[i]);
    }
    control.lap = first_lap_ + static_cast<std::uint32_t>(position / abi::ring_slots);
    if (holding_ && held_ == nullptr && (control.flags & abi::flag_continuation) == 0) [[unlikely]] {
      held_ = &slot;
      held_position_ = position;
      held_control_ = control;
    } else {
      slot.words[0].store_release(control.encode());  // P1
    }
    prefetch_for_writing(slots_[(position + prefetch_distance) % abi::ring_slots]);
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
  std::uint32_t first_lap_;
  std::uint32_t free_ = abi::ring_slots;
  bool holding_ = false;
  abi::Slot* held_ = nullptr;  // the first head of a batch, not stored yet
  std::uint64_t held_position_ = 0;
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
