// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "isthmus/channel.hpp"
#include "isthmus/error.hpp"
#include "src/transport/doorbell.hpp"
#include "src/transport/ring_consumer.hpp"
#include "src/transport/ring_producer.hpp"
#include "src/transport/sleeper.hpp"

namespace isthmus {

/// What a Caller must know of the lane that its ring pair belongs to.
class CallerLane {
 public:
  /// Whether the other side is still there; called now and then while waiting.
  [[nodiscard]] virtual Result<void> check() = 0;
  /// A quick look whether check() may have something to say. On the way of those who are woken while they wait.
  [[nodiscard]] virtual bool seems_over() const noexcept = 0;
  /// The other side broke the protocol: the lane is to end.
  virtual void poison(Error reason) noexcept = 0;

 protected:
  ~CallerLane() = default;
};

/// The calling end of a ring pair: writes requests, matches replies to them by call id, in whatever order they come. A
/// client's channel is one; the host's end of the upcall pair is another. One thread at a time.
class Caller {
 public:
  using Clock = std::chrono::steady_clock;

  /// Bits of a call id that say where the call is kept; the rest counts, so that ids are not soon used again.
  static constexpr std::uint32_t index_bits = 10;
  static constexpr std::uint32_t index_mask = (1U << index_bits) - 1;
  /// Calls that can be open at a time; the last index is the one of the call made the short way.
  static constexpr std::size_t most_in_flight = index_mask;

  /// `name` stands in front of error texts.
  Caller(CallerLane& lane, std::string name, const RingProducer& requests, RingConsumer replies,
         const Doorbell& doorbell, const Sleeper::Wiring& sleeping);

  /// Waits until a request with so long a body can be written, whatever fence it will carry.
  [[nodiscard]] Result<void> make_room(std::size_t body, Clock::time_point deadline);
  /// Takes a call id; the reply's body will be written to `reply`. Errors: exhausted (too many in flight).
  [[nodiscard]] Result<std::uint32_t> open_call(std::span<std::byte> reply, Clock::time_point deadline);
  /// Gives an id back whose request was not written.
  void drop_call(std::uint32_t call_id) noexcept;
  /// Writes, and flushes unless a batch is held. \pre make_room() for it
  void write(const Outgoing& request) noexcept {
    requests_.write(request);
    if (!requests_.holds()) [[likely]] {
      doorbell_.flush();
    }
  }
  /// Starts a batch (RingProducer::hold()), which any wait of this side ends.
  void hold() noexcept { requests_.hold(); }
  /// Ends it, if there is one.
  void release() noexcept {
    if (requests_.holds()) {
      requests_.release();
      doorbell_.flush();
    }
  }

  // One call at a time can be made the short way, which a blocking call takes: its reply is matched without the table
  // of open calls, and nothing is allocated.

  /// Whether a request with so long a body can be written now.
  [[nodiscard]] bool has_room(std::size_t body) noexcept {
    return body <= abi::max_body &&
           requests_.credit(abi::slots_for(static_cast<std::uint32_t>(body) + abi::fence_bytes)) == Credit::enough;
  }
  /// Whether one more call may be open: calls that were given up count until they are answered, so that the other side
  /// knows a limit for what it must keep.
  [[nodiscard]] bool may_open() const noexcept { return open_ + abandoned_ < most_in_flight; }
  /// Waits until that is so, if late replies can make it so. Errors: exhausted, timed_out.
  [[nodiscard]] Result<void> await_may_open(Clock::time_point deadline);
  /// Takes the id of the call that is made the short way. \pre may_open()
  [[nodiscard]] std::uint32_t begin_direct(std::span<std::byte> reply) noexcept {
    direct_.id += index_mask + 1;  // the next generation, with the same index
    direct_.state = Pending::State::waiting;
    direct_.buffer = reply;
    return direct_.id;
  }
  /// Looks for its reply for as long as that of a busy host takes; false leaves the rest to finish_direct().
  [[nodiscard]] bool spin_direct() noexcept {
    return sleeper_.look_briefly([this]() noexcept {
      return replies_.ready() && (take_one() == Took::failure || direct_.state == Pending::State::answered);
    }) && direct_.state == Pending::State::answered;
  }
  /// Blocks for its reply. A call that times out is given up.
  [[nodiscard]] Result<void> finish_direct(Clock::time_point deadline);
  [[nodiscard]] Result<Reply> take_direct() {
    direct_.state = Pending::State::unused;
    if (direct_.reply.size > direct_.buffer.size()) [[unlikely]] {
      return reply_too_long(direct_);
    }
    return direct_.reply;
  }

  /// Takes the replies that are there. Whether the call is answered.
  [[nodiscard]] Result<bool> poll(std::uint32_t call_id);
  /// Blocks until the call is answered. A call that times out stays open.
  [[nodiscard]] Result<void> wait(std::uint32_t call_id, Clock::time_point deadline);
  /// The reply of an answered call, whose id is void afterwards.
  [[nodiscard]] Result<Reply> take_reply(std::uint32_t call_id);
  /// Forgets a call: true if its reply is still to come, and will be dropped.
  [[nodiscard]] Result<bool> abandon(std::uint32_t call_id);

  [[nodiscard]] bool knows(std::uint32_t call_id) const noexcept;
  /// Calls whose replies somebody waits for, or that were answered and not taken.
  [[nodiscard]] std::size_t open_calls() const noexcept { return open_; }
  /// Of these, calls that were answered, whose reply is off the ring and not taken.
  [[nodiscard]] std::size_t answered_calls() const noexcept { return answered_; }
  /// Calls that were given up and are not answered yet.
  [[nodiscard]] std::size_t abandoned_calls() const noexcept { return abandoned_; }
  [[nodiscard]] std::uint64_t dropped_replies() const noexcept { return dropped_; }
  [[nodiscard]] std::uint64_t doorbells() const noexcept { return doorbell_.rung(); }
  /// Whether the host said, with the answer to the last call that was made the short way, that frames of posts before
  /// it may still be in use.
  [[nodiscard]] bool frames_held() const noexcept { return frames_held_; }
  [[nodiscard]] std::uint64_t position() const noexcept { return requests_.position(); }
  /// Where the next reply will show.
  [[nodiscard]] RingHead next_reply() const noexcept { return replies_.head(); }
  /// Tells the other side how far replies were taken; to be called before this side waits elsewhere.
  void publish_credit() noexcept;
  [[nodiscard]] std::unexpected<Error> poison(const std::string& what);

 private:
  struct Pending {
    enum class State : std::uint8_t { unused, waiting, answered, abandoned };
    std::uint32_t id = 0;
    State state = State::unused;
    std::span<std::byte> buffer;
    Reply reply;
  };

  enum class Took : std::uint8_t {
    nothing,
    reply,
    failure,  ///< failure_ says why; the lane is poisoned
  };

  /// Takes the next reply, if there is one.
  [[nodiscard]] Took take_one() noexcept {
    Incoming incoming;
    const Polled polled = replies_.poll(incoming);
    if (polled == Polled::ready && incoming.header.call_id == direct_.id && direct_.state == Pending::State::waiting &&
        (incoming.control.flags & ~abi::flag_frames_held) == 0) [[likely]] {
      if (replies_.take_news()) [[unlikely]] {
        doorbell_.flush();
      }
      frames_held_ = incoming.control.flags != 0;
      answer(direct_, incoming);
      return Took::reply;
    }
    return polled == Polled::empty ? Took::nothing : take_other(polled, incoming);
  }
  static void answer(Pending& pending, const Incoming& incoming) noexcept {
    pending.state = Pending::State::answered;
    pending.reply = {.status = incoming.header.status, .size = incoming.header.size, .fixed = incoming.header.fixed};
    if (incoming.body.size() <= pending.buffer.size()) {
      std::ranges::copy(incoming.body, pending.buffer.begin());
    }
  }
  [[nodiscard]] Took take_other(Polled polled, const Incoming& incoming) noexcept;
  [[nodiscard]] Took fail_with(const std::string& what) noexcept;
  [[nodiscard]] std::unexpected<Error> reply_too_long(const Pending& pending) const;
  [[nodiscard]] Pending* find(std::uint32_t call_id) noexcept;
  void release(Pending& pending) noexcept;
  template <class Ready>
  [[nodiscard]] Result<void> block_until(const Ready& ready, Clock::time_point deadline);

  CallerLane* lane_;
  std::string name_;
  RingProducer requests_;
  RingConsumer replies_;
  Doorbell doorbell_;
  Sleeper sleeper_;
  Pending direct_{.id = index_mask, .state = Pending::State::unused, .buffer = {}, .reply = {}};
  std::vector<std::uint32_t> abandoned_direct_;  // ids of calls made the short way that were given up
  std::optional<Error> failure_;
  std::vector<Pending> pending_;
  std::vector<std::uint16_t> unused_;  // indices into pending_
  std::size_t open_ = 0;
  std::size_t answered_ = 0;
  std::size_t abandoned_ = 0;
  std::uint64_t dropped_ = 0;
  bool frames_held_ = false;
};

}  // namespace isthmus
