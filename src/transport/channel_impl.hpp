// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "isthmus/abi.hpp"
#include "isthmus/channel.hpp"
#include "src/transport/caller.hpp"
#include "src/transport/completion_waiter.hpp"
#include "src/transport/lane_state.hpp"
#include "src/transport/retire_list.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus {

/// An address that differs in every thread.
[[nodiscard]] inline const void* thread_mark() noexcept {
  static thread_local char mark = 0;
  return &mark;
}

/// The client's end of a channel: a Caller that keeps the order of the lane and belongs to one thread.
struct Channel::Impl {
  Impl(LaneState& lane, std::uint32_t number, abi::ChannelBlock& block, std::uint32_t first_lap, std::uint64_t start);

  /// Prepares the memory of a channel block that is not in the directory yet.
  static void prepare(abi::ChannelBlock& block, std::uint32_t first_lap, std::uint64_t start) noexcept;

  /// Whether this is the channel's thread and process, and the lane is not known to be over.
  [[nodiscard]] bool is_caller() const noexcept { return owner == thread_mark() && lane->usable(); }
  /// The same, with the reason why not.
  [[nodiscard]] Result<void> check_caller() const;
  /// Writes a request with the fence that keeps it behind what came before it in the lane. \pre room was made for it
  void write(const Message& request, std::uint32_t call_id, bool is_post) noexcept;
  [[nodiscard]] Result<CallId> submit(const Message& request, std::span<std::byte> reply, Clock::time_point deadline);
  [[nodiscard]] Result<void> check_call(CallId id) const;
  /// Frees the frames of posts that the host has executed.
  [[nodiscard]] Result<void> retire();
  /// The same for posts that are known to be executed.
  void retire_up_to(std::uint64_t position) noexcept;
  /// Keeps frames until the host has executed the post that was just written.
  void hold_until_retired(std::vector<Frame>& frames);
  /// Frees the frames that were kept for calls that were given up, once all of those are answered.
  void release_kept_frames() noexcept;
  /// With a completion descriptor: has it made readable when the next reply comes.
  void arm();
  void disarm();

  LaneState* lane;
  std::uint32_t number;
  abi::ChannelBlock* block;
  const void* owner;  // address of a thread-local of the owning thread
  Caller caller;
  ChannelStatistics counts;

  /// What is not free yet, for whoever frees it when the channel is gone; may be nothing.
  [[nodiscard]] std::unique_ptr<RetireList> take_frames();

  std::unique_ptr<RetireList> posted;  // made by the first post with frames
  bool any_posted = false;             // false: `posted` is empty
  std::vector<Reference> kept;         // until no call that was given up is unanswered

  UniqueFd completion;                       // eventfd, once asked for
  std::shared_ptr<CompletionWaiter> waiter;  // set with it
  bool armed = false;
};

}  // namespace isthmus
