// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <utility>

#include "perf/rivals/rivals.hpp"
#include "perf/support/exchange.hpp"

namespace isthmus::perf {

/// A queue between one producer and one consumer, as the benchmarks use it. Neither waits: they say how many Messages
/// they took, from 0 to `count`.
template <class Queue>
concept MessageQueue = requires(Queue& queue, const Message56* from, Message56* to, std::size_t count) {
  { queue.push(from, count) } -> std::same_as<std::size_t>;
  { queue.pop(to, count) } -> std::same_as<std::size_t>;
};

/// Round trips over a queue for each direction. Both sides look at their queue in a loop, without a pause.
template <MessageQueue Queue>
class QueueCall final : public Exchange {
 public:
  /// `queues` owns them, in memory that both sides see.
  QueueCall(std::shared_ptr<void> owner, Queue& requests, Queue& replies)
      : owner_(std::move(owner)), requests_(&requests), replies_(&replies) {}

  void client(std::uint32_t count) override {
    for (; count > 0; --count) {
      Message56 message;
      message.words.front() = ++sent_;
      message.words.back() = sent_;
      put(*requests_, message);
      get(*replies_, message);
      if (message.words.back() != sent_) {
        throw std::runtime_error("a reply does not belong to its request");
      }
    }
  }
  void host(std::uint32_t count) override {
    for (; count > 0; --count) {
      Message56 message;
      get(*requests_, message);
      put(*replies_, message);
    }
  }

 private:
  static void put(Queue& queue, const Message56& message) {
    while (queue.push(&message, 1) == 0) {
    }
  }
  static void get(Queue& queue, Message56& message) {
    while (queue.pop(&message, 1) == 0) {
    }
  }

  std::shared_ptr<void> owner_;
  Queue* requests_;
  Queue* replies_;
  std::uint64_t sent_ = 0;
};

/// How the host of a stream tells that it has taken everything.
struct alignas(128) Taken {
  std::atomic<std::uint64_t> messages{0};

  void wait_for(std::uint64_t count) const noexcept {
    while (messages.load(std::memory_order_acquire) != count) {
    }
  }
};

/// A stream over one queue: the client puts batches, the host takes at most as many at a time.
template <MessageQueue Queue>
class QueueStream final : public Exchange {
 public:
  QueueStream(std::shared_ptr<void> owner, Queue& queue, std::uint32_t batch)
      : owner_(std::move(owner)), queue_(&queue), batch_(batch) {}

  void client(std::uint32_t count) override {
    std::array<Message56, max_batch> messages{};
    std::uint64_t number = sent_;
    for (std::uint32_t left = count; left > 0;) {
      const std::uint32_t size = std::min(left, batch_);
      for (std::uint32_t i = 0; i < size; ++i) {
        messages[i].words.fill(++number);
      }
      for (std::size_t put = 0; put < size;) {
        put += queue_->push(messages.data() + put, size - put);
      }
      left -= size;
    }
    sent_ = number;
    taken_->wait_for(number);
  }
  void host(std::uint32_t count) override {
    std::array<Message56, max_batch> messages{};
    std::uint64_t number = received_;
    bool right = true;
    for (std::uint32_t left = count; left > 0;) {
      const std::size_t got = queue_->pop(messages.data(), std::min(left, batch_));
      for (std::size_t i = 0; i < got; ++i) {
        right = right && messages[i].words.front() == ++number;
      }
      left -= static_cast<std::uint32_t>(got);
    }
    if (!right) {
      throw std::runtime_error("a message is not the next one");
    }
    received_ = number;
    taken_->messages.store(number, std::memory_order_release);
  }

 private:
  static constexpr std::size_t max_batch = 256;

  std::shared_ptr<void> owner_;
  Queue* queue_;
  std::uint32_t batch_;
  SharedObject<Taken> taken_;
  alignas(128) std::uint64_t sent_ = 0;  // each side's own, also where both are threads
  alignas(128) std::uint64_t received_ = 0;
};

}  // namespace isthmus::perf
