// SPDX-License-Identifier: Apache-2.0
#include "perf/support/ring_stream.hpp"

#include <algorithm>
#include <atomic>
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
#include "src/transport/stream_pace.hpp"

namespace isthmus::perf {
namespace {

struct Shared {
  abi::ChannelBlock block;
  alignas(128) std::atomic<std::uint64_t> taken{0};
};

class RingStream final : public Exchange {
 public:
  explicit RingStream(std::uint32_t batch)
      : batch_(batch),
        producer_(shared_->block.requests, shared_->block.words.request_consumed.word, first_lap),
        consumer_(shared_->block.requests, shared_->block.words.request_consumed.word, first_lap),
        to_host_(shared_->block.words.twin_sleeping.word, shared_->block.words.request_doorbell.word),
        to_client_(shared_->block.words.client_sleeping.word, shared_->block.words.reply_doorbell.word) {
    prepare_ring(shared_->block.requests, first_lap);
  }

  void client(std::uint32_t count) override {
    for (std::uint32_t left = count; left > 0;) {
      const std::uint32_t size = std::min(left, batch_);
      if (size > 1) {
        producer_.hold();
      }
      for (std::uint32_t i = 0; i < size; ++i) {
        put();
      }
      producer_.release();
      to_host_.flush();
      left -= size;
    }
    while (shared_->taken.load(std::memory_order_acquire) != sent_) {
    }
  }
  void host(std::uint32_t count) override {
    bool right = true;
    std::uint64_t received = received_;
    const auto take = [&](const Incoming& incoming) {
      pace_.took(true);
      wire::OneSlot message;
      if (incoming.body.size() != sizeof message) [[unlikely]] {
        right = false;
        return false;
      }
      std::memcpy(&message, incoming.body.data(), sizeof message);
      right = right && message.words.front() == ++received;
      if (consumer_.take_news()) {
        to_client_.flush();
      }
      return true;
    };
    for (const std::uint64_t end = received_ + count; right && received < end;) {
      switch (consumer_.drain(static_cast<std::uint32_t>(end - received), take)) {
        case Polled::empty:  // as a twin does after a post
          keep_away(pace_.caught_up());
          break;
        case Polled::violated:
          throw std::runtime_error("the ring is violated");
        case Polled::ready:
          break;
      }
    }
    received_ = received;
    if (!right) {
      throw std::runtime_error("a message is not the next one, or has another size");
    }
    shared_->taken.store(received_, std::memory_order_release);
  }

 private:
  void put() {
    wire::OneSlot message;
    message.words.fill(++sent_);
    for (Credit credit = producer_.credit(1); credit != Credit::enough; credit = producer_.credit(1)) {
      producer_.release();
      if (credit == Credit::violated) {
        throw std::runtime_error("the ring is violated");
      }
    }
    Outgoing outgoing;
    outgoing.opcode = wire::swallow;
    outgoing.fixed = std::as_bytes(std::span(&message, 1));
    producer_.write(outgoing);
  }

  SharedObject<Shared> shared_;
  std::uint32_t batch_;
  RingProducer producer_;
  RingConsumer consumer_;
  StreamPace pace_;
  Doorbell to_host_;
  Doorbell to_client_;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
};

}  // namespace

std::unique_ptr<Exchange> ring_stream(std::uint32_t batch) { return std::make_unique<RingStream>(batch); }

}  // namespace isthmus::perf
