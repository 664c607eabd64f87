// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "isthmus/local_lane.hpp"
#include "isthmus/reference.hpp"

namespace isthmus::perf {

/// What the benchmarks ask of their host. Bodies are fixed parts unless said otherwise.
namespace wire {

inline constexpr std::uint16_t api = 0x7ffe;

inline constexpr std::uint16_t echo = 1;         ///< the body comes back
inline constexpr std::uint16_t acknowledge = 2;  ///< Payload; its reference is checked, its bytes are not read
inline constexpr std::uint16_t count = 3;        ///< as acknowledge, then the word at `counter` is counted up
inline constexpr std::uint16_t swallow = 4;      ///< any body; answered, if it is a call, by an OneSlot
inline constexpr std::uint16_t pin = 5;          ///< Pin

struct Payload {
  Reference data;
  Reference counter;  ///< 8 bytes; length 0: none
};
struct Pin {
  std::int32_t cpu = 0;
  std::int32_t reserved = 0;
};

/// As much as one slot takes: with its 16 bytes of header, a message of 56 bytes.
struct OneSlot {
  std::array<std::uint64_t, 5> words{};
};
static_assert(sizeof(OneSlot) == 40);

[[nodiscard]] inline Message request(std::uint16_t opcode, std::span<const std::byte> fixed = {},
                                     std::span<const std::byte> trailing = {}) noexcept {
  return {.api = api, .opcode = opcode, .fixed = fixed, .trailing = trailing};
}

}  // namespace wire

/// A lane whose worker is a forked process, without a daemon.
class ForkedHost {
 public:
  /// Starts the worker and attaches. Neither side is pinned then; each has waited once already. To be made while the
  /// program has one thread.
  explicit ForkedHost(std::uint64_t region_size = std::uint64_t{32} << 20);

  [[nodiscard]] Lane& lane() noexcept { return local_.lane(); }
  /// The calling thread's channel.
  [[nodiscard]] Channel& channel();
  /// Pins the calling thread and its twin as placement() says.
  void pin();
  /// How often twins rang clients, and clients twins, on the channels that are open: read from the region.
  [[nodiscard]] std::uint64_t doorbells();

 private:
  LocalLane local_;
};

}  // namespace isthmus::perf
