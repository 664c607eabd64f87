// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "isthmus/abi.hpp"
#include "isthmus/service.hpp"
#include "src/transport/doorbell.hpp"
#include "src/transport/region.hpp"
#include "src/transport/ring_consumer.hpp"
#include "src/transport/ring_producer.hpp"
#include "src/transport/sleeper.hpp"

namespace isthmus {

/// The worker's thread of one channel: takes requests in order, has the service handle them, writes the replies.
class Twin {
 public:
  /// How the twin and its client wake each other.
  enum class WakeUp : std::uint8_t {
    futex,  ///< a futex in the region: both are processes of one kernel
    relay,  ///< the lane's thread sees the client's pending bit and calls wake(); the client looks by itself
  };

  /// Starts the thread. `on_give_up` is called by it, at most once, with the reason for which the lane cannot go on:
  /// the client broke the protocol, or the service threw an exception. Throws std::system_error when no thread can be
  /// had.
  Twin(const Region& region, abi::ChannelBlock& block, std::uint32_t first_lap, WakeUp wake_up, Service& service,
       std::function<void(std::string)> on_give_up);
  Twin(const Twin&) = delete;
  Twin& operator=(const Twin&) = delete;
  Twin(Twin&&) = delete;
  Twin& operator=(Twin&&) = delete;
  /// Stops and joins the thread: waits for the request that is being handled.
  ~Twin();

  /// Asks the thread to end once the request ring is empty. Any thread.
  void stop_when_drained() noexcept;
  /// Asks the thread to end after the request that it is handling. Any thread.
  void stop_now() noexcept;
  /// Whether the thread has ended. Any thread.
  [[nodiscard]] bool ended() const noexcept { return ended_.load(std::memory_order_acquire); }
  /// Lets the thread look at its ring. Any thread.
  void wake() noexcept;
  /// Wakes the client, so that it notices that the lane is over. Any thread.
  void wake_client() noexcept;

 private:
  class CurrentRequest;
  enum class Stop : std::uint8_t { no, when_drained, now };

  void run();
  [[nodiscard]] bool handle(const Incoming& incoming);
  [[nodiscard]] Result<void> send_reply(const Outgoing& reply);
  void give_up(std::string reason);

  const Region* region_;
  abi::ChannelBlock* block_;
  WakeUp wake_up_;
  Service* service_;
  std::function<void(std::string)> on_give_up_;
  std::atomic<std::uint32_t> relay_{0};
  RingConsumer requests_;
  RingProducer replies_;
  Doorbell doorbell_;
  Sleeper sleeper_;
  std::atomic<Stop> stop_{Stop::no};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

}  // namespace isthmus
