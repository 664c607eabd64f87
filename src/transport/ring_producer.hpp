// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "isthmus/abi.hpp"

namespace isthmus {

/// One message on its way into a ring. The body is the two pieces joined: a fixed part and an optional trailing one.
struct Outgoing {
  std::uint16_t opcode = 0;
  std::uint8_t flags = 0;
  abi::MessageHeader header;  ///< `size` and `fixed` are filled in by the ring
  std::span<const std::byte> fixed;
  std::span<const std::byte> trailing;

  [[nodiscard]] std::size_t size() const noexcept { return fixed.size() + trailing.size(); }
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
  /// `consumed` is the word in which the consumer publishes how far it has come.
  RingProducer(std::span<abi::Slot, abi::ring_slots> slots, const SharedWord<std::uint64_t>& consumed,
               std::uint32_t first_lap) noexcept
      : slots_(slots.data()), consumed_(&consumed), first_lap_(first_lap) {}

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
  /// \pre message.size() <= abi::max_body, and credit(abi::slots_for(message.size())) said `enough`
  void write(const Outgoing& message) noexcept {
    const auto size = static_cast<std::uint32_t>(message.size());
    const std::uint32_t count = abi::slots_for(size);
    std::span<const std::byte> fixed = message.fixed;
    std::span<const std::byte> trailing = message.trailing;

    std::array<std::uint64_t, 7> head{};
    abi::MessageHeader header = message.header;
    header.size = size;
    header.fixed = static_cast<std::uint16_t>(fixed.size());
    std::memcpy(head.data(), &header, sizeof header);
    fill(std::as_writable_bytes(std::span(head)).subspan(sizeof header), fixed, trailing);

    for (std::uint32_t i = 1; i < count; ++i) {
      std::array<std::uint64_t, 7> words{};
      fill(std::as_writable_bytes(std::span(words)), fixed, trailing);
      store(position_ + i, {.opcode = message.opcode, .flags = abi::flag_continuation}, words);
    }
    store(position_, {.opcode = message.opcode, .slots = static_cast<std::uint16_t>(count), .flags = message.flags},
          head);
    position_ += count;
    free_ -= count;
  }

  /// Slots written since the ring was made.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }

 private:
  static void fill(std::span<std::byte> target, std::span<const std::byte>& fixed,
                   std::span<const std::byte>& trailing) noexcept {
    for (auto* source : {&fixed, &trailing}) {
      const std::size_t n = std::min(target.size(), source->size());
      if (n != 0) {
        std::memcpy(target.data(), source->data(), n);
        target = target.subspan(n);
        *source = source->subspan(n);
      }
    }
  }

  void store(std::uint64_t position, abi::ControlWord control, const std::array<std::uint64_t, 7>& words) noexcept {
    abi::Slot& slot = slots_[position % abi::ring_slots];
    for (std::size_t i = 0; i < words.size(); ++i) {
      slot.words[i + 1].store_relaxed(words[i]);
    }
    control.lap = first_lap_ + static_cast<std::uint32_t>(position / abi::ring_slots);
    slot.words[0].store_release(control.encode());  // P1
  }

  abi::Slot* slots_;
  const SharedWord<std::uint64_t>* consumed_;
  std::uint64_t position_ = 0;
  std::uint32_t first_lap_;
  std::uint32_t free_ = abi::ring_slots;
};

/// Makes every slot of both rings look empty to a consumer that starts at `first_lap`, whatever the memory held.
inline void prepare_ring(std::span<abi::Slot, abi::ring_slots> slots, std::uint32_t first_lap) noexcept {
  for (abi::Slot& slot : slots) {
    slot.words[0].store_relaxed(abi::ControlWord{.lap = first_lap - 1}.encode());
  }
}

}  // namespace isthmus
