// SPDX-License-Identifier: Apache-2.0
#include "perf/rivals/rivals.hpp"

#include "perf/support/placement.hpp"

namespace isthmus::perf {

std::vector<Rival> call_rivals() {
  const std::string kernel = kernel_name();
  std::vector<Rival> rivals;
#ifdef ISTHMUS_BENCH_BOOST
  rivals.push_back({.name = "boost_spsc_queue", .version = "Boost " + boost_version(), .make = boost_spsc_call});
  rivals.push_back(
      {.name = "boost_message_queue", .version = "Boost " + boost_version(), .make = boost_message_queue_call});
#endif
#ifdef ISTHMUS_BENCH_READERWRITERQUEUE
  rivals.push_back({.name = "readerwriterqueue",
                    .version = "readerwriterqueue " ISTHMUS_BENCH_READERWRITERQUEUE ", threads",
                    .host = HostKind::thread,
                    .make = reader_writer_queue_call});
#endif
#ifdef ISTHMUS_BENCH_DPDK
  rivals.push_back({.name = "dpdk_rte_ring", .version = rte_ring_version(), .make = rte_ring_call});
#endif
#ifdef ISTHMUS_BENCH_UCX
  rivals.push_back({.name = "ucx_posix", .version = "UCX " + ucx_version(), .make = ucx_call});
#endif
#ifdef ISTHMUS_BENCH_ZEROMQ
  rivals.push_back({.name = "zeromq_ipc", .version = "ZeroMQ " + zeromq_version(), .make = zeromq_call});
#endif
  rivals.push_back({.name = "unix_socket", .version = kernel, .make = [] {
                      return socket_exchange(SocketKind::unix_stream, sizeof(Message56));
                    }});
  rivals.push_back({.name = "unix_socket_polled", .version = kernel, .make = [] {
                      return socket_exchange(SocketKind::unix_stream_polled, sizeof(Message56));
                    }});
  rivals.push_back({.name = "tcp_loopback", .version = kernel, .make = [] {
                      return socket_exchange(SocketKind::tcp_loopback, sizeof(Message56));
                    }});
  rivals.push_back(
      {.name = "pipe", .version = kernel, .make = [] { return socket_exchange(SocketKind::pipe, sizeof(Message56)); }});
  return rivals;
}

std::vector<StreamRival> stream_rivals() {
  std::vector<StreamRival> rivals;
#ifdef ISTHMUS_BENCH_BOOST
  rivals.push_back({.name = "boost_spsc_queue", .version = "Boost " + boost_version(), .make = boost_spsc_stream});
#endif
#ifdef ISTHMUS_BENCH_READERWRITERQUEUE
  rivals.push_back({.name = "readerwriterqueue",
                    .version = "readerwriterqueue " ISTHMUS_BENCH_READERWRITERQUEUE ", threads",
                    .host = HostKind::thread,
                    .make = reader_writer_queue_stream});
#endif
#ifdef ISTHMUS_BENCH_DPDK
  rivals.push_back({.name = "dpdk_rte_ring", .version = rte_ring_version(), .make = rte_ring_stream});
#endif
  return rivals;
}

std::vector<MissingRival> missing_rivals() {
  std::vector<MissingRival> missing;
  [[maybe_unused]] const auto add = [&missing](const char* name, const char* package) {
    missing.push_back({name, std::string(package) + " was missing when the build was configured"});
  };
#ifndef ISTHMUS_BENCH_BOOST
  add("boost_spsc_queue", "libboost-dev");
  add("boost_message_queue", "libboost-dev");
#endif
#ifndef ISTHMUS_BENCH_READERWRITERQUEUE
  add("readerwriterqueue", "libreaderwriterqueue-dev");
#endif
#ifndef ISTHMUS_BENCH_DPDK
  add("dpdk_rte_ring", "libdpdk-dev");
#endif
#ifndef ISTHMUS_BENCH_UCX
  add("ucx_posix", "libucx-dev");
#endif
#ifndef ISTHMUS_BENCH_ZEROMQ
  add("zeromq_ipc", "libzmq3-dev");
#endif
  return missing;
}

}  // namespace isthmus::perf
