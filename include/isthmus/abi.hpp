// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// What lies where in a region, ABI 0. ABI 0 promises nothing yet between versions, except what docs/abi.md lists.
///
///     0            4 KiB                                                        extents_offset (2 MiB aligned)
///     +------------+------------------+------------------+--- ... ---+----------+----------+----------+---
///     | header     | lane 0           | lane 1           |           | owners   | extent 0 | extent 1 |
///     | (host)     | client | host pg | client | host pg |           | (client) |          |          |
///     +------------+------------------+------------------+--- ... ---+----------+----------+----------+---
///
/// An extent belongs to one lane. A client builds channel blocks and payload frames inside its extents.
///
///     channel block:  | words page | request ring 64 KiB | reply ring 64 KiB | reserve 2 x 64 KiB |
///
/// Words with different writers are 128 bytes apart (adjacent-line prefetch takes lines in pairs).

#include <array>
#include <cstddef>
#include <cstdint>

#include "isthmus/shared_word.hpp"

namespace isthmus::abi {

inline constexpr std::uint64_t region_magic = 0x0053'554d'4854'5349;  ///< "ISTHMUS\0", little endian
inline constexpr std::uint32_t abi_version = 0;

inline constexpr std::size_t slot_size = 64;           ///< one cache line on every x86-64 and most arm64 processors
inline constexpr std::size_t writer_separation = 128;  ///< bytes between words that different sides write
inline constexpr std::uint64_t page_size = 4096;
inline constexpr std::uint64_t extent_size = std::uint64_t{2} << 20;
inline constexpr std::uint64_t min_region_size = std::uint64_t{8} << 20;
inline constexpr std::uint64_t max_region_size = std::uint64_t{64} << 30;
inline constexpr std::uint32_t max_lanes = 64;
inline constexpr std::uint32_t max_channels = 256;  ///< channels in a lane
inline constexpr std::uint32_t ring_slots = 1024;   ///< a power of two; holds the longest descriptor (590 slots)
inline constexpr std::size_t name_size = 64;        ///< region name with its terminating NUL
inline constexpr std::size_t text_size = 256;       ///< reason of a close with its terminating NUL

// ---- slots and descriptors -----------------------------------------------------------------------------------------

/// One message is 1..590 slots. words[0] is the control word; the other seven are the message's.
struct alignas(slot_size) Slot {
  std::array<SharedWord<std::uint64_t>, 8> words;
};
static_assert(sizeof(Slot) == slot_size);

/// The control word: lap (bits 0..31, the ready flag), opcode (32..47), slot count (48..57), flags (58..61), and a hint
/// of how many slots behind this one are written already (62..63). Message and ready flag travel in one cache-line
/// transfer.
struct ControlWord {
  std::uint32_t lap = 0;
  std::uint16_t opcode = 0;
  std::uint16_t slots = 0;  ///< of the whole descriptor in its head; 0 in continuation slots
  std::uint8_t flags = 0;
  std::uint8_t batch = 0;  ///< index in batch_slots: at least so many slots behind this one can be fetched ahead

  [[nodiscard]] static constexpr std::uint32_t lap_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word);
  }
  [[nodiscard]] constexpr std::uint64_t encode() const noexcept {
    return std::uint64_t{lap} | (std::uint64_t{opcode} << 32) | (std::uint64_t{slots} << 48) |
           (std::uint64_t{flags} << 58) | (std::uint64_t{batch} << 62);
  }
  [[nodiscard]] static constexpr ControlWord decode(std::uint64_t word) noexcept {
    return {static_cast<std::uint32_t>(word), static_cast<std::uint16_t>(word >> 32),
            static_cast<std::uint16_t>((word >> 48) & 0x3ff), static_cast<std::uint8_t>((word >> 58) & 0xf),
            static_cast<std::uint8_t>(word >> 62)};
  }
};
/// What the first head of a batch says of its size. Only a hint: a consumer that is lied to fetches lines in vain.
inline constexpr std::array<std::uint16_t, 4> batch_slots{0, 7, 31, 255};
inline constexpr std::uint8_t flag_continuation = 1;  ///< not the first slot of a descriptor
inline constexpr std::uint8_t flag_post = 2;          ///< nobody waits for a reply, and none is sent
inline constexpr std::uint8_t flag_fence = 4;         ///< the body starts with a Fence
inline constexpr std::uint8_t flag_frames_held = 8;   ///< of a reply: frames of posts before it may be in use still
inline constexpr std::uint8_t flags_known = 15;

/// "Not before that channel has executed up to there": {channel: 16 bits, position: 48 bits}, in front of a request's
/// body. Keeps the order of posts across the channels of a lane.
struct Fence {
  std::uint16_t channel = 0;
  std::uint64_t position = 0;  ///< of the request ring, modulo 2^48; 1 past the start of the descriptor meant

  static constexpr std::uint64_t position_mask = (std::uint64_t{1} << 48) - 1;

  [[nodiscard]] constexpr std::uint64_t encode() const noexcept {
    return std::uint64_t{channel} << 48 | (position & position_mask);
  }
  [[nodiscard]] static constexpr Fence decode(std::uint64_t word) noexcept {
    return {static_cast<std::uint16_t>(word >> 48), word & position_mask};
  }
};

/// words[1] and words[2] of a descriptor's head.
struct MessageHeader {
  std::uint32_t call_id = 0;  ///< chosen by the caller, echoed by the reply
  std::uint16_t api = 0;      ///< which API the opcode belongs to
  std::uint16_t fixed = 0;    ///< bytes of the body's fixed part; the rest is trailing
  std::uint32_t size = 0;     ///< bytes of the body, a Fence in front of it not counted
  std::int32_t status = 0;    ///< replies: 0, or the service's error; requests: 0
};
static_assert(sizeof(MessageHeader) == 16);

inline constexpr std::uint32_t fence_bytes = 8;
inline constexpr std::uint32_t head_body_bytes = 40;          ///< 64 - control word - MessageHeader
inline constexpr std::uint32_t continuation_body_bytes = 56;  ///< 64 - control word
inline constexpr std::uint32_t max_descriptor_slots = 590;    ///< 32,764 bytes of kernel parameters, and a little more
inline constexpr std::uint32_t max_body =
    head_body_bytes + (max_descriptor_slots - 1) * continuation_body_bytes - fence_bytes;

/// Slots of a descriptor with that many bytes after its head (body and fence).
[[nodiscard]] constexpr std::uint32_t slots_for(std::uint32_t bytes) noexcept {
  return bytes <= head_body_bytes
             ? 1
             : 1 + (bytes - head_body_bytes + continuation_body_bytes - 1) / continuation_body_bytes;
}
static_assert(slots_for(max_body + fence_bytes) == max_descriptor_slots && max_descriptor_slots <= ring_slots);
static_assert(max_body >= 32764);

// ---- channel block -------------------------------------------------------------------------------------------------

/// A word alone on its pair of cache lines.
template <class T>
struct alignas(writer_separation) LoneWord {
  SharedWord<T> word;
};

/// The words of a channel. "twin" is the worker's thread. Only the sleeper writes its `sleeping` word.
struct alignas(page_size) ChannelWords {
  LoneWord<std::uint32_t> request_doorbell;  ///< client: counted up to wake the twin (a futex for shm:)
  LoneWord<std::uint32_t> twin_sleeping;     ///< twin: 1 while it wants the request doorbell rung
  LoneWord<std::uint64_t> request_consumed;  ///< twin: position up to which request slots are free (credit)
  LoneWord<std::uint32_t> reply_doorbell;    ///< twin: counted up to wake the client
  LoneWord<std::uint32_t> client_sleeping;   ///< client: 1 while it wants the reply doorbell rung
  LoneWord<std::uint64_t> reply_consumed;    ///< client: position up to which reply slots are free (credit)
  LoneWord<std::uint64_t> retired;           ///< twin: request position up to which requests were executed: frames of
                                             ///< posts before it are free
};
static_assert(sizeof(ChannelWords) == page_size);

struct ChannelBlock {
  static constexpr std::uint64_t reserve_frame_size = 64 * 1024;
  static constexpr std::uint32_t reserve_frames = 2;  ///< a copy of any size makes progress with these

  ChannelWords words;
  std::array<Slot, ring_slots> requests;
  std::array<Slot, ring_slots> replies;
  std::array<std::byte, reserve_frame_size * reserve_frames> reserve;
};
static_assert(sizeof(ChannelBlock) % page_size == 0);
inline constexpr std::uint64_t channel_blocks_per_extent = extent_size / sizeof(ChannelBlock);

// ---- lane ----------------------------------------------------------------------------------------------------------

/// Written by client processes. `dead` is set only on proof: the owner's lock is gone, or the guest booted anew.
enum class ClaimState : std::uint32_t { free = 0, claiming = 1, claimed = 2, released = 3, dead = 4 };

/// Written by the host. `closing`: the worker has ended but is not reaped yet. Values fit one byte, because the daemon,
/// which maps no region, writes that byte with pwrite.
enum class HostState : std::uint32_t { free = 0, serving = 1, closing = 2, closed = 3 };

/// Who holds a lane; written before the claim turns to `claimed`. For people and logs.
struct ClaimRecord {
  std::array<SharedWord<std::uint64_t>, 2> boot_id;  ///< /proc/sys/kernel/random/boot_id, 16 bytes
  SharedWord<std::uint64_t> pid;                     ///< in the client's own pid namespace
  SharedWord<std::uint64_t> start_time;              ///< field 22 of /proc/PID/stat, clock ticks since boot
};

/// What the client's process asks of the drivers in its worker, as variables of their environment; written before the
/// claim turns to `claimed`.
struct ClaimEnvironment {
  SharedWord<std::uint64_t> size;                   ///< bytes of the text
  std::array<SharedWord<std::uint64_t>, 127> text;  ///< "KEY=VALUE", a NUL after each; little endian

  static constexpr std::size_t capacity = 127 * sizeof(std::uint64_t);
};
static_assert(sizeof(ClaimEnvironment) == 1024);

/// Directory entry of a channel: offset of its block from the region's start (page aligned) | 1. 0: none.
inline constexpr std::uint64_t channel_present = 1;

struct alignas(page_size) LaneClientPage {
  LoneWord<std::uint32_t> claim;  ///< ClaimState
  alignas(writer_separation) ClaimRecord record;
  LoneWord<std::uint32_t> changed;  ///< counted up whenever claim, directory or upcalls changed
  /// Offset of the block of the upcall pair | channel_present, or 0. In that block the host calls and the client
  /// answers.
  LoneWord<std::uint64_t> upcalls;
  /// Which channels rang (a hint), where a doorbell is shared by the channels of a lane.
  alignas(writer_separation) std::array<SharedWord<std::uint64_t>, max_channels / 64> pending;
  alignas(1024) std::array<SharedWord<std::uint64_t>, max_channels> directory;
  alignas(1024) ClaimEnvironment environment;
};
static_assert(sizeof(LaneClientPage) == page_size);

enum class ChannelState : std::uint32_t { free = 0, open = 1, refused = 2 };

struct alignas(page_size) LaneHostPage {
  LoneWord<std::uint32_t> state;                    ///< HostState, in the low byte
  LoneWord<std::uint64_t> epoch;                    ///< counts the lane's lives; laps start from its low 32 bits
  LoneWord<std::uint64_t> heartbeat;                ///< counts while the worker lives, once a second or more often
  LoneWord<std::uint32_t> upcalls;                  ///< ChannelState of the upcall pair
  alignas(512) std::array<char, text_size> reason;  ///< why the host closed the lane; valid once state is closing
  alignas(1024) std::array<SharedWord<std::uint32_t>, max_channels> channels;  ///< ChannelState
};
static_assert(sizeof(LaneHostPage) == page_size);

struct LaneControl {
  LaneClientPage client;
  LaneHostPage host;
};
static_assert(sizeof(LaneControl) == 2 * page_size);

/// Owner word of an extent: 0, or (low 48 bits of the lane's epoch) << 16 | (lane index + 1).
[[nodiscard]] constexpr std::uint64_t owner_tag(std::uint32_t lane, std::uint64_t epoch) noexcept {
  return (epoch << 16) | (std::uint64_t{lane} + 1);
}

// ---- region --------------------------------------------------------------------------------------------------------

/// Host-written, once, before anybody attaches; only `daemon` changes later. A client copies it and checks every field.
struct alignas(page_size) RegionHeader {
  SharedWord<std::uint64_t> magic;  ///< written last
  SharedWord<std::uint32_t> abi;
  SharedWord<std::uint32_t> lane_count;
  SharedWord<std::uint64_t> region_size;
  SharedWord<std::uint64_t> epoch;         ///< random; another one each time a daemon formats or adopts the region
  SharedWord<std::uint64_t> base_address;  ///< where both sides map the region if they can
  SharedWord<std::uint64_t> extents_offset;
  SharedWord<std::uint64_t> extent_count;
  std::array<char, name_size> name;
  LoneWord<std::uint32_t> daemon;  ///< 1 while a daemon serves the region, in the low byte
};
static_assert(sizeof(RegionHeader) == page_size);

/// Where the parts of a region of that size lie: a pure function, so that neither side needs to trust the other's.
struct RegionGeometry {
  std::uint64_t region_size = 0;
  std::uint32_t lane_count = 0;
  std::uint64_t owners_offset = 0;
  std::uint64_t extents_offset = 0;
  std::uint64_t extent_count = 0;

  /// \pre region_size is a power of two in [min_region_size, max_region_size]; lane_count in [1, max_lanes]
  [[nodiscard]] static constexpr RegionGeometry of(std::uint64_t region_size, std::uint32_t lane_count) noexcept {
    RegionGeometry g;
    g.region_size = region_size;
    g.lane_count = lane_count;
    g.owners_offset = page_size + lane_count * sizeof(LaneControl);
    const std::uint64_t owners_end = g.owners_offset + region_size / extent_size * sizeof(std::uint64_t);
    g.extents_offset = (owners_end + extent_size - 1) / extent_size * extent_size;
    g.extent_count = (region_size - g.extents_offset) / extent_size;
    return g;
  }
};
static_assert(RegionGeometry::of(min_region_size, max_lanes).extent_count >= 2);

}  // namespace isthmus::abi
