// SPDX-License-Identifier: Apache-2.0

// One-way throughput of 56-byte messages, from one process to another; the time is that of one message.
//     stream/batch:N/RIVAL     batches of N: Isthmus' ring against queues
//     stream/best_batch        each side with the batch, and ours against the rival, that came out best in a pilot
//     stream/post/RIVAL        Channel::post, with all that belongs to a channel, against queues with batches of 1

#include <array>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "perf/rivals/rivals.hpp"
#include "perf/support/benchmark.hpp"
#include "perf/support/channel_calls.hpp"
#include "perf/support/exchange.hpp"
#include "perf/support/forked_host.hpp"
#include "perf/support/ring_stream.hpp"

namespace isthmus::perf {
namespace {

using benchmark::State;

constexpr std::array<std::uint32_t, 3> batches{1, 16, 256};
// Long rounds: the end of a stream, when the client waits for the host, is to weigh little.
constexpr RoundSize round_size{.min_calls = 2000, .max_calls = Options::max_calls};

void compare_rings(State& state, const StreamRival& rival, std::uint32_t batch) {
  ExchangeParticipant ours(ring_stream(batch));
  ExchangeParticipant theirs(rival.make(batch), rival.host);
  set_result(state, run_paired(ours, theirs, round_size));
}

void compare_posts(State& state, const StreamRival& rival) {
  ForkedHost host;
  Posts ours(host.channel());
  ExchangeParticipant theirs(rival.make(1), rival.host);
  host.pin();
  set_result(state, run_paired(ours, theirs, round_size));
}

struct Candidate {
  std::string name;
  std::uint32_t batch = 0;
  HostKind host = HostKind::process;
  std::function<std::unique_ptr<Exchange>(std::uint32_t)> make;
};

// The fastest, by the median of some rounds.
const Candidate& fastest(const std::vector<Candidate>& candidates) {
  constexpr int rounds = 7;
  const Candidate* best = nullptr;
  double least = std::numeric_limits<double>::max();
  for (const Candidate& candidate : candidates) {
    ExchangeParticipant participant(candidate.make(candidate.batch), candidate.host);
    std::vector<double> times;
    times.reserve(rounds);
    for (int i = 0; i < rounds; ++i) {
      times.push_back(static_cast<double>(participant.round(Options::max_calls).count()));
    }
    if (const double median = quartiles(times).median; median < least) {
      least = median;
      best = &candidate;
    }
  }
  if (best == nullptr) {
    throw std::runtime_error("no rival is there");
  }
  return *best;
}

void compare_best(State& state) {
  std::vector<Candidate> ours;
  std::vector<Candidate> theirs;
  for (const std::uint32_t batch : batches) {
    ours.push_back({.name = "isthmus", .batch = batch, .host = HostKind::process, .make = ring_stream});
    for (const StreamRival& rival : stream_rivals()) {
      theirs.push_back({.name = rival.name, .batch = batch, .host = rival.host, .make = rival.make});
    }
  }
  const Candidate& our_best = fastest(ours);
  const Candidate& their_best = fastest(theirs);
  ExchangeParticipant our_side(our_best.make(our_best.batch), our_best.host);
  ExchangeParticipant their_side(their_best.make(their_best.batch), their_best.host);
  set_result(state, run_paired(our_side, their_side, round_size));
  state.SetLabel("isthmus batch " + std::to_string(our_best.batch) + ", " + their_best.name + " batch " +
                 std::to_string(their_best.batch));
}

}  // namespace

void register_benchmarks() {
  for (const std::uint32_t batch : batches) {
    std::vector<StreamRival> rivals = stream_rivals();
    if (batch == batches.back()) {  // one by one, whoever polls without a pause is slow, not the lines
      rivals.push_back({.name = "raw_lines", .version = "", .make = raw_lines});
    }
    for (const StreamRival& rival : rivals) {
      add("stream/batch:" + std::to_string(batch) + "/" + rival.name,
          [rival, batch](State& state) { compare_rings(state, rival, batch); });
    }
  }
  add("stream/best_batch", compare_best);
  for (const StreamRival& rival : stream_rivals()) {
    add("stream/post/" + rival.name, [rival](State& state) { compare_posts(state, rival); });
  }
}

}  // namespace isthmus::perf
