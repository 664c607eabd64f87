// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "perf/support/exchange.hpp"

/// \file
/// Those whom Isthmus is measured against, each through its own public interface. One that this build's machine lacked
/// is not in the lists, but in missing_rivals().

namespace isthmus::perf {

/// What every rival carries: as much as an Isthmus call has in its slot besides the control word.
struct Message56 {
  std::array<std::uint64_t, 7> words{};
};
static_assert(sizeof(Message56) == 56);

inline constexpr std::size_t queue_capacity = 1024;  ///< messages, as in an Isthmus ring

struct Rival {
  std::string name;
  std::string version;
  HostKind host = HostKind::process;
  std::unique_ptr<Exchange> (*make)() = nullptr;
};

/// Round trips of a Message56.
[[nodiscard]] std::vector<Rival> call_rivals();

/// One-way streams of Messages, in batches; the host says when it has taken the last one.
struct StreamRival {
  std::string name;
  std::string version;
  HostKind host = HostKind::process;
  std::unique_ptr<Exchange> (*make)(std::uint32_t batch) = nullptr;
};
[[nodiscard]] std::vector<StreamRival> stream_rivals();

struct MissingRival {
  std::string name;
  std::string why;
};
[[nodiscard]] std::vector<MissingRival> missing_rivals();

// ---- limits: what the hardware or the kernel can do, without any library
// ------------------------------------------------

/// Plain code, no limit: a one-way stream of lines, each with its flag and seven words; the host copies the words. In
/// batches of up to a quarter of queue_capacity.
[[nodiscard]] std::unique_ptr<Exchange> raw_lines(std::uint32_t batch);

/// One word goes to and fro between two processes; in one cache line, or in a line for each direction.
enum class Lines : std::uint8_t { one, two };
[[nodiscard]] std::unique_ptr<Exchange> raw_ping_pong(Lines lines);
/// The same, and before each ping the client copies that many bytes to shared memory; the host copies them to its own
/// memory if it reads them.
[[nodiscard]] std::unique_ptr<Exchange> raw_copy(std::size_t bytes, bool host_reads);
/// Each side blocks on a futex until the other wakes it.
[[nodiscard]] std::unique_ptr<Exchange> futex_pair();

// ---- the kernel's ways
// --------------------------------------------------------------------------------------------------

enum class SocketKind : std::uint8_t {
  unix_stream,
  unix_stream_polled,  ///< non-blocking, read in a loop by either side: no sleep, no wake-up
  tcp_loopback,
  pipe,
};
/// The request has that many bytes, at least 56; the reply is a Message56.
[[nodiscard]] std::unique_ptr<Exchange> socket_exchange(SocketKind kind, std::size_t request_bytes);

// ---- libraries
// ----------------------------------------------------------------------------------------------------------

[[nodiscard]] std::unique_ptr<Exchange> boost_spsc_call();
[[nodiscard]] std::unique_ptr<Exchange> boost_spsc_stream(std::uint32_t batch);
[[nodiscard]] std::unique_ptr<Exchange> boost_message_queue_call();
[[nodiscard]] std::unique_ptr<Exchange> reader_writer_queue_call();
[[nodiscard]] std::unique_ptr<Exchange> reader_writer_queue_stream(std::uint32_t batch);
[[nodiscard]] std::unique_ptr<Exchange> rte_ring_call();
[[nodiscard]] std::unique_ptr<Exchange> rte_ring_stream(std::uint32_t batch);
[[nodiscard]] std::unique_ptr<Exchange> zeromq_call();
[[nodiscard]] std::unique_ptr<Exchange> ucx_call();

[[nodiscard]] std::string boost_version();
[[nodiscard]] std::string rte_ring_version();
[[nodiscard]] std::string zeromq_version();
[[nodiscard]] std::string ucx_version();

}  // namespace isthmus::perf
