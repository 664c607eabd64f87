// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

/// \file
/// What client, daemon and worker tell each other over Unix sockets (SOCK_SEQPACKET: one message is one datagram). No
/// call travels here. Whoever receives checks length, magic and every value.

namespace isthmus::wire {

inline constexpr std::uint32_t hello_magic = 0x4d48'5449;  // "ITHM"
inline constexpr std::uint32_t protocol_version = 0;
inline constexpr std::size_t text_size = 200;
inline constexpr std::size_t report_text_size = 500;  ///< what a dynamic linker complains of is long

/// Client to daemon, once, first.
struct ClientHello {
  std::uint32_t magic = hello_magic;
  std::uint32_t version = protocol_version;
  std::uint32_t abi = 0;
  /// 0: the client's claim carries no variables for its worker's drivers; else a hash of them, by which the daemon
  /// knows again those for which a worker that has started already is of no use.
  std::uint32_t variables = 0;
};

enum class Welcome : std::uint32_t {
  accepted = 0,          ///< two descriptors come along (SCM_RIGHTS): the region, the lane's eventfd
  version_mismatch = 1,  ///< the text says which versions
  busy = 2,              ///< max_clients reached
  failed = 3,            ///< the text says why
};

/// Daemon to client: the answer to ClientHello.
struct DaemonWelcome {
  std::uint32_t magic = hello_magic;
  std::uint32_t version = protocol_version;
  Welcome verdict = Welcome::failed;
  std::uint32_t reserved = 0;
  std::array<char, text_size> text{};  ///< for people; NUL-terminated
};

/// Daemon to client: the lane is over; the socket closes after it.
struct LaneClosed {
  std::uint32_t magic = hello_magic;
  std::uint32_t reserved = 0;
  std::array<char, text_size> text{};
};

enum class Report : std::uint32_t {
  ready = 1,    ///< the worker has mapped the region and waits for a claim; lane is 0
  taken = 2,    ///< the worker serves that lane from now on
  ended = 3,    ///< the lane is over, the text says why; the worker exits next
  note = 4,     ///< a line for the daemon's log
  loading = 5,  ///< it loads the plug-in that the text names; before ready
  warm = 6,     ///< what its plug-ins could make before a client comes is made; the text says what
  misfit = 7,   ///< that lane is claimed by a client that wants its driver to start with other variables than it did
  cold = 8,     ///< of what is made before a client comes something could not be, and will not; the text says why
};

/// Daemon to worker, one byte. Anything else than `serve` means the same as `stop`.
enum class Order : char {
  stop = 's',   ///< end the lane, and exit
  serve = 'g',  ///< to a warm worker of a VM, once: wait for a client now. One of a region may do that at a time
};

/// Worker to daemon. The daemon treats it like a guest's word.
struct WorkerReport {
  std::uint32_t magic = hello_magic;
  Report report = Report::note;
  std::uint32_t lane = 0;
  std::uint32_t orderly = 0;  ///< ended: 1 when the client released the lane or its death was proven
  std::array<char, report_text_size> text{};
};

enum class MemoryWish : std::uint32_t {
  ask = 1,   ///< how much there is
  take = 2,  ///< so many bytes of device memory; answered late where a worker has them that is about to end
  give = 3,  ///< so many back
};

/// Worker to daemon, on the socket for device memory, each answered by one MemoryAnswer.
struct MemoryRequest {
  std::uint32_t magic = hello_magic;
  MemoryWish want = MemoryWish::ask;
  std::uint64_t bytes = 0;
};
struct MemoryAnswer {
  std::uint32_t magic = hello_magic;
  std::uint32_t granted = 0;      ///< 1: what was asked for is done
  std::uint64_t total = 0;        ///< bytes for all workers of the VM or endpoint
  std::uint64_t used = 0;         ///< of these, taken
  std::uint64_t per_context = 0;  ///< bytes that the worker is to take for each context that it makes on a device
};

enum class NoteWish : std::uint32_t {
  pin = 1,        ///< keep this note; the answer names it
  read = 2,       ///< the note of that name
  take_down = 3,  ///< the worker's own note of that name is of no use any more
};
inline constexpr std::size_t note_name_size = 32;
inline constexpr std::size_t note_size = 192;

/// Worker to daemon, on the socket for notes, each answered by one NoteAnswer. With `pin` a descriptor may come along.
struct NoteRequest {
  std::uint32_t magic = hello_magic;
  NoteWish want = NoteWish::read;
  std::array<std::byte, note_name_size> name{};
  std::uint64_t size = 0;  ///< of the note, bytes
  std::array<std::byte, note_size> bytes{};
};
/// Where a note that was read has a descriptor, it comes along.
struct NoteAnswer {
  std::uint32_t magic = hello_magic;
  std::uint32_t done = 0;  ///< 1: what was wanted is done
  std::array<std::byte, note_name_size> name{};
  std::uint64_t size = 0;
  std::array<std::byte, note_size> bytes{};
};

static_assert(std::is_trivially_copyable_v<NoteRequest> && std::is_trivially_copyable_v<NoteAnswer>);
static_assert(std::is_trivially_copyable_v<MemoryRequest> && std::is_trivially_copyable_v<MemoryAnswer>);
static_assert(std::is_trivially_copyable_v<ClientHello> && std::is_trivially_copyable_v<DaemonWelcome> &&
              std::is_trivially_copyable_v<LaneClosed> && std::is_trivially_copyable_v<WorkerReport>);

/// Descriptors that a worker is born with.
inline constexpr int worker_region_fd = 3;   ///< the region's file
inline constexpr int worker_control_fd = 4;  ///< socket to the daemon; its end means: exit
inline constexpr int worker_kick_fd = 5;     ///< eventfd that the client rings; shm: only
inline constexpr int worker_memory_fd = 6;   ///< socket for device memory; only where that is limited
inline constexpr int worker_note_fd = 7;     ///< socket for notes; only with plug-ins

}  // namespace isthmus::wire
