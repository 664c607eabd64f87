// SPDX-License-Identifier: Apache-2.0

// How sides wait for each other, and what it costs:
//     wake/PAUSE/RIVAL          a call after that long a pause, in which the other side may have gone to sleep
//     doorbells/stream          doorbells of 1000 posts, one after the other
//     doorbells/think:20us      doorbells of 1000 calls, the client thinking for 20 us before each
//     threads/64                64 threads call at the same time; against 64 pairs that block at once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "perf/rivals/rivals.hpp"
#include "perf/support/benchmark.hpp"
#include "perf/support/channel_calls.hpp"
#include "perf/support/exchange.hpp"
#include "perf/support/forked_host.hpp"
#include "perf/support/thread_calls.hpp"

namespace isthmus::perf {
namespace {

using benchmark::State;
using namespace std::chrono_literals;

void compare_wake_up(State& state, std::chrono::nanoseconds pause, std::uint32_t calls,
                     const std::function<std::unique_ptr<Exchange>()>& make) {
  ForkedHost host;
  SmallCalls calls_of_ours(host.channel());
  ExchangeParticipant exchange(make());
  host.pin();
  AfterPause ours(calls_of_ours, pause);
  AfterPause rival(exchange, pause);
  set_result(state, run_paired(ours, rival, {.min_calls = calls, .max_calls = calls}));
}

void add_wake_ups(const std::string& name, std::chrono::nanoseconds pause, std::uint32_t calls) {
  const auto with = [&](const std::string& rival, const std::function<std::unique_ptr<Exchange>()>& make) {
    add("wake/" + name + "/" + rival, [=](State& state) { compare_wake_up(state, pause, calls, make); });
  };
  with("futex", futex_pair);
  with("unix_socket", [] { return socket_exchange(SocketKind::unix_stream, sizeof(Message56)); });
}

// Of both directions, for 1000 messages.
template <class Messages>
double doorbells_of_1000(ForkedHost& host, std::uint32_t count, const Messages& messages) {
  messages(std::uint32_t{1000});
  const std::uint64_t before = host.doorbells();
  messages(count);
  return static_cast<double>(host.doorbells() - before) * 1000 / count;
}

void count_stream_doorbells(State& state) {
  ForkedHost host;
  host.pin();
  Posts posts(host.channel());
  const std::uint32_t count = options().rounds * Options::max_calls;
  set_result(state, doorbells_of_1000(host, count, [&](std::uint32_t n) { posts.call(n); }), "doorbells of 1000 posts");
}

void count_call_doorbells(State& state) {
  constexpr std::chrono::microseconds think_time{20};
  ForkedHost host;
  host.pin();
  SmallCalls calls(host.channel());
  const double doorbells = doorbells_of_1000(host, Options::max_calls, [&](std::uint32_t count) {
    for (; count > 0; --count) {
      busy_wait(think_time);
      calls.call(1);
    }
  });
  set_result(state, doorbells, "doorbells of 1000 calls");
}

void compare_threads(State& state, std::uint32_t threads) {
  BlockingPairs blocking(threads);
  ForkedHost host;
  const auto ours = channel_thread_calls(host.lane(), threads);
  set_result(state, run_paired(*ours, blocking.clients(), {.min_calls = 1, .max_calls = 1}));
}

}  // namespace

void register_benchmarks() {
  add_wake_ups("10us", 10us, 100);
  add_wake_ups("1ms", 1ms, 10);
  add_wake_ups("100ms", 100ms, 1);
  add("doorbells/stream", count_stream_doorbells);
  add("doorbells/think:20us", count_call_doorbells);
  add("threads/64", [](State& state) { compare_threads(state, 64); });
}

}  // namespace isthmus::perf
