// SPDX-License-Identifier: Apache-2.0
#include "perf/support/ring_call.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <stdexcept>

#include "isthmus/abi.hpp"
#include "perf/support/forked_host.hpp"
#include "perf/support/rings.hpp"
#include "perf/support/shared_object.hpp"
#include "src/transport/doorbell.hpp"
#include "src/transport/ring_consumer.hpp"
#include "src/transport/ring_producer.hpp"

namespace isthmus::perf {
namespace {

struct End {
  RingProducer out;
  RingConsumer in;
  Doorbell bell;

  void send(std::span<const std::byte> body) {
    if (out.credit(1) != Credit::enough) {
      throw std::runtime_error("a ring for one message at a time is full");
    }
    Outgoing outgoing;
    outgoing.opcode = wire::echo;
    outgoing.fixed = body;
    out.write(outgoing);
    bell.flush();
  }
  void receive(Incoming& incoming) {
    Polled polled = Polled::empty;
    while (polled == Polled::empty) {
      polled = in.poll(incoming);
    }
    if (polled == Polled::violated) {
      throw std::runtime_error("the ring is violated");
    }
    if (in.take_news()) {
      bell.flush();
    }
  }
};

// Both rings of a channel, and who is at their ends.
class Rings {
 public:
  Rings() {
    prepare_ring(block_->requests, first_lap);
    prepare_ring(block_->replies, first_lap);
  }

  void ask() {
    wire::OneSlot message;
    message.words.back() = ++sent_;
    client_.send(std::as_bytes(std::span(&message, 1)));
  }
  void answer() {
    host_.receive(incoming_);
    host_.send(incoming_.body);
  }
  void take_answer() {
    client_.receive(incoming_);
    wire::OneSlot answer;
    std::memcpy(&answer, incoming_.body.data(), std::min(incoming_.body.size(), sizeof answer));
    if (answer.words.back() != sent_) {
      throw std::runtime_error("a reply does not belong to its request");
    }
  }

 private:
  [[nodiscard]] abi::ChannelWords& words() const noexcept { return block_->words; }

  SharedObject<abi::ChannelBlock> block_;
  End client_{RingProducer(block_->requests, words().request_consumed.word, first_lap),
              RingConsumer(block_->replies, words().reply_consumed.word, first_lap),
              Doorbell(words().twin_sleeping.word, words().request_doorbell.word)};
  End host_{RingProducer(block_->replies, words().reply_consumed.word, first_lap),
            RingConsumer(block_->requests, words().request_consumed.word, first_lap),
            Doorbell(words().client_sleeping.word, words().reply_doorbell.word)};
  Incoming incoming_;
  std::uint64_t sent_ = 0;
};

class RingCall final : public Exchange {
 public:
  void client(std::uint32_t count) override {
    for (; count > 0; --count) {
      rings_.ask();
      rings_.take_answer();
    }
  }
  void host(std::uint32_t count) override {
    for (; count > 0; --count) {
      rings_.answer();
    }
  }

 private:
  Rings rings_;
};

class RingCallOnOneThread final : public Participant {
 public:
  void call(std::uint32_t count) override {
    for (; count > 0; --count) {
      rings_.ask();
      rings_.answer();
      rings_.take_answer();
    }
  }

 private:
  Rings rings_;
};

}  // namespace

std::unique_ptr<Exchange> ring_call() { return std::make_unique<RingCall>(); }

std::unique_ptr<Participant> ring_call_on_one_thread() { return std::make_unique<RingCallOnOneThread>(); }

}  // namespace isthmus::perf
