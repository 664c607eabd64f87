// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "isthmus/abi.hpp"
#include "isthmus/service.hpp"
#include "src/transport/doorbell.hpp"
#include "src/transport/lane_order.hpp"
#include "src/transport/process_mark.hpp"
#include "src/transport/region.hpp"
#include "src/transport/reply_mailbox.hpp"
#include "src/transport/retire_gate.hpp"
#include "src/transport/ring_consumer.hpp"
#include "src/transport/ring_producer.hpp"
#include "src/transport/sleeper.hpp"

namespace isthmus {

/// The thread that answers at the far end of a ring pair: takes requests in order, has the service handle them, writes
/// the replies. Each channel has one in the worker; the upcall pair has one in the client.
class Twin {
 public:
  /// How the twin is woken, and wakes whoever waits for its replies.
  enum class WakeUp : std::uint8_t {
    futex,     ///< futexes in the region, both ways: both are processes of one kernel
    relay,     ///< the lane's thread sees the caller's pending bit and calls wake(); the caller looks by itself
    interval,  ///< both look by themselves
  };

  struct Setup {
    const Region* region = nullptr;
    abi::ChannelBlock* block = nullptr;
    std::uint32_t first_lap = 0;
    std::uint32_t number = 0;    ///< of the channel
    LaneOrder* order = nullptr;  ///< none for the upcall pair, whose requests carry no fences
    WakeUp wake_up = WakeUp::futex;
    Service* service = nullptr;
    /// Looked up when a service asks for upcalls.
    std::function<std::shared_ptr<Upcalls>()> upcalls;
    /// Called by the thread, at most once, when it ends because the caller broke the protocol or the service threw.
    std::function<void(std::string)> on_give_up;
  };

  /// Starts the thread. Throws std::system_error when there is none to be had.
  explicit Twin(Setup setup);
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
  /// Wakes the caller, so that it notices that the lane is over. Any thread.
  void wake_caller() noexcept;

 private:
  class CurrentRequest;
  enum class Stop : std::uint8_t { no, when_drained, now };

  void run();
  /// Whether the thread ends when the request ring is empty. A service that holds frames is waited for: with the thread
  /// the channel is over, and its frames are free.
  [[nodiscard]] bool may_end(Stop stop) const noexcept {
    return stop == Stop::now || (stop == Stop::when_drained && !gate_->holds());
  }
  [[nodiscard]] bool handle(const Incoming& incoming);
  [[nodiscard]] bool await_fence(abi::Fence fence);
  void take_letters();
  /// Writes parked replies while there is room.
  void deliver_parked();
  [[nodiscard]] Result<void> send_reply(const Outgoing& reply);
  /// Whether the reply ring has room for so many bytes; gives up on an impossible position.
  [[nodiscard]] bool has_room(std::size_t bytes);
  /// Tells the caller how far slots and frames are free, and rings if that is news, or `ring` says so.
  void publish_progress(bool ring = false) noexcept;
  /// Puts a reply into the ring. \pre has_room()
  void write_reply(Outgoing reply) noexcept;
  void give_up(std::string reason);

  Setup setup_;
  std::uint64_t executed_;  // position of the next request to be executed
  std::atomic<std::uint32_t> relay_{0};
  RingConsumer requests_;
  RingProducer replies_;
  Doorbell doorbell_;
  Sleeper sleeper_;
  Spinner fence_spinner_;
  std::atomic<Stop> stop_{Stop::no};
  std::atomic<bool> ended_{false};
  std::shared_ptr<ReplyMailbox> mailbox_;
  std::shared_ptr<RetireGate> gate_;
  std::deque<ReplyMailbox::Letter> parked_;  // replies for which there was no room
  std::size_t unanswered_ = 0;               // calls taken whose replies are not in the ring yet
  ProcessMark mark_ = ProcessMark::current();
  std::unique_ptr<std::thread> thread_;
};

}  // namespace isthmus
