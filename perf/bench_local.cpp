// SPDX-License-Identifier: Apache-2.0

// What costs time without a peer, in one thread:
//     validation/copied      RingConsumer::poll against the same copying without its checks: what the checks cost
//     validation/in_place    ... against a consumer that believes the ring and reads it where it is: snapshot and
//     checks slab/SIZE              a frame allocated and given back, against malloc and free

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "isthmus/abi.hpp"
#include "perf/support/benchmark.hpp"
#include "perf/support/forked_host.hpp"
#include "perf/support/must.hpp"
#include "perf/support/placement.hpp"
#include "src/transport/ring_consumer.hpp"
#include "src/transport/ring_producer.hpp"

namespace isthmus::perf {
namespace {

using benchmark::State;

// ---- validation -----------------------------------------------------------------------------------------------------

constexpr std::uint32_t first_lap = 1;

// A ring that its one thread fills and then empties; only the emptying is timed.
template <class Consumer>
class FilledRing final : public Participant {
 public:
  FilledRing() : producer_(block_->requests, block_->words.request_consumed.word, first_lap), consumer_(*block_) {
    prepare_ring(block_->requests, first_lap);
  }
  void call(std::uint32_t count) override { static_cast<void>(take(count)); }
  std::chrono::nanoseconds round(std::uint32_t calls) override {
    static_cast<void>(take(abi::ring_slots));  // warm
    return take(calls);
  }

 private:
  std::chrono::nanoseconds take(std::uint32_t count) {
    std::chrono::nanoseconds time{0};
    for (std::uint32_t left = count; left > 0;) {
      const std::uint32_t size = std::min(left, abi::ring_slots);
      fill(size);
      const Clock::time_point start = Clock::now();
      const std::uint64_t sum = consumer_.take(size);
      time += Clock::now() - start;
      check(sum, size);
      left -= size;
    }
    return time;
  }
  void fill(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      wire::OneSlot body;
      body.words.fill(++number_);
      Outgoing outgoing;
      outgoing.opcode = wire::swallow;
      outgoing.fixed = std::as_bytes(std::span(&body, 1));
      if (producer_.credit(1) != Credit::enough) {
        throw std::runtime_error("the ring is full");
      }
      producer_.write(outgoing);
    }
  }
  void check(std::uint64_t sum, std::uint64_t count) const {
    const std::uint64_t first = number_ - count + 1;
    if (sum != (first + number_) * count / 2) {
      throw std::runtime_error("the descriptors that came out are not those that went in");
    }
  }

  std::unique_ptr<abi::ChannelBlock> block_ = std::make_unique<abi::ChannelBlock>();
  RingProducer producer_;
  Consumer consumer_;
  std::uint64_t number_ = 0;
};

std::uint64_t first_word(std::span<const std::byte> body) {
  std::uint64_t word = 0;
  std::memcpy(&word, body.data(), sizeof word);
  return word;
}

class Validating {
 public:
  explicit Validating(abi::ChannelBlock& block)
      : consumer_(block.requests, block.words.request_consumed.word, first_lap) {}

  std::uint64_t take(std::uint32_t count) {
    std::uint64_t sum = 0;
    Incoming incoming;
    for (; count > 0; --count) {
      if (consumer_.poll(incoming) != Polled::ready) {
        return 0;
      }
      benchmark::DoNotOptimize(incoming);
      sum += first_word(incoming.body);
    }
    static_cast<void>(consumer_.publish_credit());
    return sum;
  }

 private:
  RingConsumer consumer_;
};

// What RingConsumer would be if it believed the producer: the lap tells that a message is there, and whatever the
// message says is true. One-slot messages only.
template <bool copies>
class Trusting {
 public:
  explicit Trusting(abi::ChannelBlock& block)
      : slots_(block.requests.data()), consumed_(&block.words.request_consumed.word) {}

  std::uint64_t take(std::uint32_t count) {
    std::uint64_t sum = 0;
    Incoming incoming;
    for (; count > 0; --count) {
      if (!poll(incoming)) {
        return 0;
      }
      benchmark::DoNotOptimize(incoming);
      sum += first_word(incoming.body);
    }
    publish();
    return sum;
  }

 private:
  // The words as they are, past the type that allows no unchecked reading.
  static std::span<const std::uint64_t, 8> words(const abi::Slot& slot) {
    static_assert(sizeof(abi::Slot) == 8 * sizeof(std::uint64_t));
    return std::span<const std::uint64_t, 8>(reinterpret_cast<const std::uint64_t*>(&slot), 8);
  }
  static std::uint64_t load(const std::uint64_t& word, std::memory_order order) {
    return std::atomic_ref(const_cast<std::uint64_t&>(word)).load(order);
  }

  bool poll(Incoming& out) {
    const auto slot = words(slots_[position_ % abi::ring_slots]);
    out.control = abi::ControlWord::decode(load(slot[0], std::memory_order_acquire));
    if (out.control.lap != first_lap + static_cast<std::uint32_t>(position_ / abi::ring_slots)) {
      return false;
    }
    const std::byte* body = nullptr;
    if constexpr (copies) {
      RingConsumer::copy_slot(slots_[position_ % abi::ring_slots], copy_);
      out.header = std::bit_cast<abi::MessageHeader>(std::array{copy_[0], copy_[1]});
      body = std::as_bytes(std::span<const std::uint64_t, 7>(copy_)).data();
    } else {
      out.header = std::bit_cast<abi::MessageHeader>(
          std::array{load(slot[1], std::memory_order_relaxed), load(slot[2], std::memory_order_relaxed)});
      body = std::as_bytes(slot.subspan(1)).data();
    }
    out.body = std::span(body + sizeof out.header, out.header.size);
    position_ += out.control.slots;
    if (position_ - published_ >= abi::ring_slots / 4) {
      publish();
    }
    return true;
  }
  void publish() {
    consumed_->store_release(position_);
    published_ = position_;
  }

  const abi::Slot* slots_;
  SharedWord<std::uint64_t>* consumed_;
  std::uint64_t position_ = 0;
  std::uint64_t published_ = 0;
  RingConsumer::SlotCopy copy_{};
};

// What counts is the difference, not the ratio.
template <bool copies>
void compare_validation(State& state) {
  pin_to(placement().client_cpu);
  FilledRing<Validating> ours;
  FilledRing<Trusting<copies>> trusting;
  const RoundSize size{.min_calls = Options::max_calls, .max_calls = Options::max_calls};
  set_result(state, run_paired(ours, trusting, size));
}

// ---- slab -----------------------------------------------------------------------------------------------------------

// Eight pieces live at a time, given back in another order than they came.
constexpr std::size_t live = 8;
constexpr std::array<std::size_t, live> order{3, 6, 1, 4, 7, 2, 5, 0};

class SlabFrames final : public Participant {
 public:
  SlabFrames(Lane& lane, std::size_t bytes) : lane_(&lane), bytes_(bytes) {}
  void call(std::uint32_t count) override {
    for (std::uint32_t i = 0; i < count; ++i) {
      Frame& place = frames_[order[i % live]];
      place = Frame();
      place = must(lane_->allocate(bytes_));
      *place.data() = std::byte{1};
    }
  }

 private:
  Lane* lane_;
  std::size_t bytes_;
  std::array<Frame, live> frames_;
};

class Malloc final : public Participant {
 public:
  explicit Malloc(std::size_t bytes) : bytes_(bytes) {}
  void call(std::uint32_t count) override {
    for (std::uint32_t i = 0; i < count; ++i) {
      auto& place = pieces_[order[i % live]];
      place.reset();
      place.reset(static_cast<std::byte*>(std::malloc(bytes_)));  // NOLINT(cppcoreguidelines-no-malloc): the rival
      benchmark::DoNotOptimize(place.get());
      *place = std::byte{1};
    }
  }

 private:
  struct Release {
    void operator()(std::byte* piece) const { std::free(piece); }  // NOLINT(cppcoreguidelines-no-malloc)
  };
  std::size_t bytes_;
  std::array<std::unique_ptr<std::byte, Release>, live> pieces_;
};

void compare_slab(State& state, std::size_t bytes) {
  ForkedHost host(std::uint64_t{64} << 20);
  host.pin();
  SlabFrames ours(host.lane(), bytes);
  Malloc theirs(bytes);
  set_result(state, run_paired(ours, theirs, {.min_calls = 1000, .max_calls = Options::max_calls}));
}

}  // namespace

void register_benchmarks() {
  add("validation/copied", compare_validation<true>);
  add("validation/in_place", compare_validation<false>);
  for (const std::size_t bytes : {std::size_t{256}, std::size_t{4096}, std::size_t{65536}, std::size_t{1} << 20}) {
    add("slab/" + std::to_string(bytes), [bytes](State& state) { compare_slab(state, bytes); });
  }
}

}  // namespace isthmus::perf
