// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "isthmus/abi.hpp"
#include "isthmus/channel.hpp"
#include "src/transport/doorbell.hpp"
#include "src/transport/lane_state.hpp"
#include "src/transport/ring_consumer.hpp"
#include "src/transport/ring_producer.hpp"
#include "src/transport/sleeper.hpp"

namespace isthmus {

/// The client's end of a channel.
struct Channel::Impl {
  Impl(LaneState& lane, std::uint32_t number, abi::ChannelBlock& block, std::uint32_t first_lap);

  /// Prepares the memory of a channel block that is not in the directory yet.
  static void prepare(abi::ChannelBlock& block, std::uint32_t first_lap) noexcept;

  [[nodiscard]] Result<void> check_caller() const;
  [[nodiscard]] Result<void> check_message(const Message& request) const;
  [[nodiscard]] Result<void> send(const Message& request, std::uint32_t call_id, std::uint8_t flags,
                                  Clock::time_point deadline);
  [[nodiscard]] Result<Reply> receive(std::uint32_t call_id, std::span<std::byte> reply, Clock::time_point deadline);
  /// Takes the next reply, if there is one.
  [[nodiscard]] Result<bool> poll_reply(Incoming& incoming);
  [[nodiscard]] Result<void> drop_late_replies();
  /// Fails when no call of that number was given up.
  [[nodiscard]] Result<void> drop_late_reply(std::uint32_t call_id);
  template <class Ready>
  [[nodiscard]] Result<void> wait(const Ready& ready, Clock::time_point deadline);
  [[nodiscard]] std::unexpected<Error> poison(std::string what);

  LaneState* lane;
  std::uint32_t number;
  abi::ChannelBlock* block;
  const void* owner;  // address of a thread-local of the owning thread
  RingProducer requests;
  RingConsumer replies;
  Doorbell doorbell;
  Sleeper sleeper;
  std::uint32_t last_call_id = 0;
  std::vector<std::uint32_t> abandoned;  // calls that were given up and whose replies are still to come
  ChannelStatistics counts;
};

/// An address that differs in every thread.
[[nodiscard]] const void* thread_mark() noexcept;

}  // namespace isthmus
