// SPDX-License-Identifier: Apache-2.0
#include "perf/support/thread_calls.hpp"

#include <array>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>

#include "isthmus/abi.hpp"
#include "perf/support/channel_calls.hpp"
#include "perf/support/child.hpp"
#include "perf/support/forked_host.hpp"
#include "perf/support/must.hpp"
#include "perf/support/options.hpp"
#include "perf/support/placement.hpp"
#include "perf/support/rings.hpp"
#include "perf/support/shared_object.hpp"
#include "src/transport/doorbell.hpp"
#include "src/transport/futex.hpp"
#include "src/transport/ring_consumer.hpp"
#include "src/transport/ring_producer.hpp"

namespace isthmus::perf {
namespace {

// Longer rounds than elsewhere: the kernel is to hand the processors around many times in each.
constexpr int round_times = 8;

// One side of a pair.
class BlockingEnd {
 public:
  enum class Side : std::uint8_t { client, host };

  BlockingEnd(abi::ChannelBlock& block, Side side, const std::atomic<bool>& over)
      : mine_(side == Side::client ? Words{&block.words.client_sleeping.word, &block.words.reply_doorbell.word}
                                   : Words{&block.words.twin_sleeping.word, &block.words.request_doorbell.word}),
        out_(side == Side::client ? RingProducer(block.requests, block.words.request_consumed.word, first_lap)
                                  : RingProducer(block.replies, block.words.reply_consumed.word, first_lap)),
        in_(side == Side::client ? RingConsumer(block.replies, block.words.reply_consumed.word, first_lap)
                                 : RingConsumer(block.requests, block.words.request_consumed.word, first_lap)),
        bell_(side == Side::client ? Doorbell(block.words.twin_sleeping.word, block.words.request_doorbell.word)
                                   : Doorbell(block.words.client_sleeping.word, block.words.reply_doorbell.word)),
        over_(&over) {}

  void send(std::span<const std::byte> body) {
    if (out_.credit(1) != Credit::enough) {
      throw std::runtime_error("a ring for one message at a time is full");
    }
    Outgoing outgoing;
    outgoing.opcode = wire::echo;
    outgoing.fixed = body;
    out_.write(outgoing);
    bell_.flush();
  }
  // False when it is all over.
  bool receive(Incoming& incoming) {
    while (in_.poll(incoming) != Polled::ready) {
      if (over_->load(std::memory_order_relaxed)) {
        return false;
      }
      block();
    }
    if (in_.take_news()) {
      bell_.flush();
    }
    return true;
  }

 private:
  struct Words {
    SharedWord<std::uint32_t>* sleeping;
    SharedWord<std::uint32_t>* doorbell;
  };

  // As src/transport/sleeper.hpp explains.
  void block() {
    const std::uint32_t ticket = mine_.doorbell->load_acquire().bits(~0U);
    mine_.sleeping->store_relaxed(1);
    full_fence();
    if (!in_.ready() && !over_->load(std::memory_order_relaxed)) {
      futex_wait(mine_.doorbell->address(), ticket, std::chrono::milliseconds(100), FutexScope::machine);
    }
    mine_.sleeping->store_relaxed(0);
  }

  Words mine_;
  RingProducer out_;
  RingConsumer in_;
  Doorbell bell_;
  const std::atomic<bool>* over_;
};

}  // namespace

ThreadCalls::ThreadCalls(std::uint32_t threads, const std::function<std::function<void()>(std::uint32_t)>& make) {
  for (std::uint32_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this, make, i] { run(make(i)); });
  }
  while (resting_.load() != threads_.size()) {
    std::this_thread::yield();
  }
}

ThreadCalls::~ThreadCalls() {
  round_.store(end);
  round_.notify_all();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void ThreadCalls::run(const std::function<void()>& one_call) {
  one_call();
  for (std::uint32_t seen = 0;;) {
    resting_.fetch_add(1);
    round_.wait(seen);
    seen = round_.load();
    // A thread that woke too late for its round finds an even number, and rests again.
    if (seen != end && seen % 2 == 1) {
      std::uint64_t calls = 0;
      for (; round_.load(std::memory_order_relaxed) == seen; ++calls) {
        one_call();
      }
      calls_.fetch_add(calls);
      seen = round_.load();
    }
    if (seen == end) {
      break;
    }
  }
}

std::uint64_t ThreadCalls::calls_in(std::chrono::nanoseconds time) {
  calls_.store(0);
  resting_.store(0);
  round_.fetch_add(1);
  round_.notify_all();
  std::this_thread::sleep_for(time);
  round_.fetch_add(1);
  while (resting_.load() != threads_.size()) {
    std::this_thread::yield();
  }
  return calls_.load();
}

void ThreadCalls::call(std::uint32_t /*count*/) { static_cast<void>(calls_in(options().round_time)); }

std::chrono::nanoseconds ThreadCalls::round(std::uint32_t calls) {
  const Clock::time_point start = Clock::now();
  const std::uint64_t made = calls_in(options().round_time * round_times);
  const auto took = std::chrono::duration<double, std::nano>(Clock::now() - start);
  if (made == 0) {
    throw std::runtime_error("no thread made a call");
  }
  return std::chrono::nanoseconds(static_cast<std::int64_t>(took.count() / static_cast<double>(made) * calls));
}

std::unique_ptr<ThreadCalls> channel_thread_calls(Lane& lane, std::uint32_t threads) {
  return std::make_unique<ThreadCalls>(threads, [&lane](std::uint32_t) {
    auto calls = std::make_shared<SmallCalls>(*must(lane.channel()));
    return [calls] { calls->call(1); };
  });
}

struct BlockingPairs::Impl {
  static constexpr std::uint32_t max_pairs = 64;
  struct Shared {
    std::array<abi::ChannelBlock, max_pairs> blocks;
    std::atomic<bool> over{false};
  };

  explicit Impl(std::uint32_t count) : pairs(count) {
    if (pairs > max_pairs) {
      throw std::invalid_argument("BlockingPairs: too many");
    }
    for (abi::ChannelBlock& block : shared->blocks) {
      prepare_ring(block.requests, first_lap);
      prepare_ring(block.replies, first_lap);
    }
    host.emplace([this] { return serve(); });
    unpin();
    clients.emplace(pairs, [this](std::uint32_t number) {
      auto end = std::make_shared<BlockingEnd>(shared->blocks.at(number), BlockingEnd::Side::client, shared->over);
      return [end] {
        const wire::OneSlot message;
        Incoming incoming;
        end->send(std::as_bytes(std::span(&message, 1)));
        static_cast<void>(end->receive(incoming));
      };
    });
  }

  int serve() {
    std::vector<std::thread> threads;
    threads.reserve(pairs);
    for (std::uint32_t i = 0; i < pairs; ++i) {
      threads.emplace_back([this, i] {
        BlockingEnd end(shared->blocks.at(i), BlockingEnd::Side::host, shared->over);
        Incoming incoming;
        while (end.receive(incoming)) {
          end.send(incoming.body);
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    return 0;
  }

  std::uint32_t pairs;
  SharedObject<Shared> shared;
  std::optional<Child> host;
  std::optional<ThreadCalls> clients;
};

BlockingPairs::BlockingPairs(std::uint32_t pairs) : impl_(std::make_unique<Impl>(pairs)) {}

BlockingPairs::~BlockingPairs() {
  impl_->clients.reset();
  impl_->shared->over.store(true);  // whoever sleeps sees it within its 100 ms
}

ThreadCalls& BlockingPairs::clients() noexcept { return *impl_->clients; }

}  // namespace isthmus::perf
