// SPDX-License-Identifier: Apache-2.0

// Round trips: an Isthmus call against the hardware's limit and against other ways to another process.
//     rtt/RIVAL            56 bytes each way
//     behind_posts/N       N posts and a call, against the call alone
//     rtt_1k/RIVAL         1 KiB there, inside the message; 56 bytes back
//     rtt_64k/RIVAL        64 KiB there, copied once into a frame; an acknowledgement back

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "perf/rivals/rivals.hpp"
#include "perf/support/benchmark.hpp"
#include "perf/support/channel_calls.hpp"
#include "perf/support/exchange.hpp"
#include "perf/support/forked_host.hpp"
#include "perf/support/ring_call.hpp"

namespace isthmus::perf {
namespace {

using benchmark::State;

constexpr std::size_t kib = 1024;

// Single calls of both, for the plot of latencies: counters ours_p50, rival_p99.9, ...
void set_percentiles(State& state, const std::string& name, Participant& participant, std::uint32_t calls) {
  struct Percentile {
    const char* name;
    double part;
  };
  constexpr std::array percentiles{
      Percentile{"_p0", 0},         Percentile{"_p1", 0.01},  Percentile{"_p5", 0.05},     Percentile{"_p10", 0.1},
      Percentile{"_p20", 0.2},      Percentile{"_p30", 0.3},  Percentile{"_p40", 0.4},     Percentile{"_p50", 0.5},
      Percentile{"_p60", 0.6},      Percentile{"_p70", 0.7},  Percentile{"_p80", 0.8},     Percentile{"_p90", 0.9},
      Percentile{"_p95", 0.95},     Percentile{"_p99", 0.99}, Percentile{"_p99.5", 0.995}, Percentile{"_p99.9", 0.999},
      Percentile{"_p99.99", 0.9999}};
  std::vector<double> samples(calls);
  participant.sample(samples);
  std::ranges::sort(samples);
  for (const Percentile& percentile : percentiles) {
    state.counters[name + percentile.name] = quantile(samples, percentile.part);
  }
}

enum class Size : std::uint8_t { slot, kib_1, kib_64 };

std::unique_ptr<Participant> make_ours(ForkedHost& host, Size size) {
  switch (size) {
    case Size::kib_1:
      return std::make_unique<InlineCalls>(host.channel(), kib);
    case Size::kib_64:
      return std::make_unique<PayloadCalls>(host.lane(), host.channel(), 64 * kib);
    case Size::slot:
      break;
  }
  return std::make_unique<SmallCalls>(host.channel());
}

void compare(State& state, Size size, HostKind kind, const std::function<std::unique_ptr<Exchange>()>& make) {
  ForkedHost host;
  const auto ours = make_ours(host, size);
  ExchangeParticipant rival(make(), kind);
  host.pin();
  const Paired result = run_paired(*ours, rival);
  set_result(state, result);
  if (size == Size::slot) {
    // As many as in ten rounds, but no more than a second's worth of the slower one.
    const double slower = std::max(result.ours.median, result.rival.median);
    const auto calls = static_cast<std::uint32_t>(
        std::clamp(1e9 / slower, 100.0, options().quick ? 1000.0 : 10.0 * Options::max_calls));
    set_percentiles(state, "ours", *ours, calls);
    set_percentiles(state, "rival", rival, calls);
  }
}

void add_call(const std::string& name, Size size, const std::function<std::unique_ptr<Exchange>()>& make,
              HostKind kind = HostKind::process) {
  add(name, [=](State& state) { compare(state, size, kind, make); });
}

void compare_with_what_is_executed(State& state) {
  ForkedHost host;
  SmallCalls ours(host.channel());
  const auto executed = ring_call_on_one_thread();
  host.pin();
  set_result(state, run_paired(ours, *executed));
}

void compare_behind_posts(State& state, std::uint32_t posts) {
  ForkedHost host;
  CallsBehindPosts ours(host.channel(), posts);
  SmallCalls call(host.channel());
  host.pin();
  set_result(state, run_paired(ours, call));
}

}  // namespace

void register_benchmarks() {
  add_call("rtt/raw_one_line", Size::slot, [] { return raw_ping_pong(Lines::one); });
  add_call("rtt/raw_two_lines", Size::slot, [] { return raw_ping_pong(Lines::two); });
  add_call("rtt/ring_alone", Size::slot, ring_call);
  add("rtt/ring_on_one_thread", compare_with_what_is_executed);
  for (const std::uint32_t posts : {1U, 4U, 16U}) {
    add("behind_posts/" + std::to_string(posts), [=](State& state) { compare_behind_posts(state, posts); });
  }
  for (const Rival& rival : call_rivals()) {
    add_context("version " + rival.name, rival.version);
    add_call("rtt/" + rival.name, Size::slot, rival.make, rival.host);
  }
  for (const MissingRival& rival : missing_rivals()) {
    add_left_out(rival.name, rival.why);
  }
  add_call("rtt_1k/raw_copy", Size::kib_1, [] { return raw_copy(kib, true); });
  add_call("rtt_1k/unix_socket", Size::kib_1, [] { return socket_exchange(SocketKind::unix_stream, kib); });
  add_call("rtt_1k/pipe", Size::kib_1, [] { return socket_exchange(SocketKind::pipe, kib); });
  add_call("rtt_64k/raw_copy", Size::kib_64, [] { return raw_copy(64 * kib, false); });
  add_call("rtt_64k/unix_socket", Size::kib_64, [] { return socket_exchange(SocketKind::unix_stream, 64 * kib); });
  add_call("rtt_64k/pipe", Size::kib_64, [] { return socket_exchange(SocketKind::pipe, 64 * kib); });
}

}  // namespace isthmus::perf
