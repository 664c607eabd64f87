// SPDX-License-Identifier: Apache-2.0
#include "isthmus/channel.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "src/transport/channel_impl.hpp"
#include "src/transport/text.hpp"

namespace isthmus {
namespace {

Doorbell make_doorbell(LaneState& lane, std::uint32_t number, abi::ChannelBlock& block) noexcept {
  abi::ChannelWords& words = block.words;
  if (lane.link().shares_kernel()) {
    return {words.twin_sleeping.word, words.request_doorbell.word};
  }
  auto& pending = lane.region().lane(lane.index()).client.pending;
  return {words.twin_sleeping.word, pending.at(number / 64), std::uint64_t{1} << (number % 64)};
}

// How far a host may be behind with telling what it has executed. An honest one tells it when it tells how far slots
// are free, or as good as then, so it lags by less than this; only a position that was not reached yet could do harm.
constexpr std::uint64_t longest_lag = std::uint64_t{4} * abi::ring_slots;

Sleeper::Wiring sleeping_of(LaneState& lane, abi::ChannelWords& words) noexcept {
  return {.sleeping = &words.client_sleeping.word,
          .doorbell = lane.link().shares_kernel() ? &words.reply_doorbell.word : nullptr};
}

}  // namespace

Channel::Impl::Impl(LaneState& lane_state, std::uint32_t channel_number, abi::ChannelBlock& channel_block,
                    std::uint32_t first_lap, std::uint64_t start)
    : lane(&lane_state),
      number(channel_number),
      block(&channel_block),
      owner(thread_mark()),
      caller(lane_state, text("channel ", channel_number, " of region ", lane_state.region().name()),
             RingProducer(channel_block.requests, channel_block.words.request_consumed.word, first_lap, start),
             RingConsumer(channel_block.replies, channel_block.words.reply_consumed.word, first_lap),
             make_doorbell(lane_state, channel_number, channel_block), sleeping_of(lane_state, channel_block.words)) {}

void Channel::Impl::prepare(abi::ChannelBlock& block, std::uint32_t first_lap, std::uint64_t start) noexcept {
  abi::ChannelWords& words = block.words;
  for (auto* word : {&words.request_doorbell, &words.twin_sleeping, &words.reply_doorbell, &words.client_sleeping}) {
    word->word.store_relaxed(0);
  }
  words.request_consumed.word.store_relaxed(start);
  words.reply_consumed.word.store_relaxed(0);
  words.retired.word.store_relaxed(start);
  prepare_ring(block.requests, first_lap, start);
  prepare_ring(block.replies, first_lap);
}

Result<void> Channel::Impl::check_caller() const {
  if (!lane->is_owner_process()) {
    return fail(Errc::wrong_thread, text("channel ", number,
                                         ": used in a child after fork, which owns nothing of its "
                                         "parent's; attach anew there"));
  }
  if (owner != thread_mark()) {
    return fail(Errc::wrong_thread,
                text("channel ", number, ": used by another thread than its own; ask Lane::channel() in each thread"));
  }
  if (!lane->usable()) {
    return lane->check();
  }
  return {};
}

void Channel::Impl::write(const Message& request, std::uint32_t call_id, bool is_post) noexcept {
  const std::uint64_t before = lane->order_behind(number, caller.position(), is_post);
  caller.write(
      {.opcode = request.opcode,
       .flags = static_cast<std::uint8_t>((is_post ? abi::flag_post : 0) | (before != 0 ? abi::flag_fence : 0)),
       .header = {.call_id = call_id, .api = request.api},
       .fixed = request.fixed,
       .trailing = request.trailing,
       .fence = before});
}

Result<CallId> Channel::Impl::submit(const Message& request, std::span<std::byte> reply, Clock::time_point deadline) {
  if (auto room = caller.make_room(request.fixed.size() + request.trailing.size(), deadline); !room) {
    return std::unexpected(std::move(room.error()));
  }
  const auto call_id = caller.open_call(reply, deadline);
  if (!call_id) {
    return std::unexpected(call_id.error());
  }
  write(request, *call_id, false);
  ++counts.calls;
  return static_cast<CallId>(*call_id);
}

Result<void> Channel::Impl::check_call(CallId id) const {
  if (auto ok = check_caller(); !ok) {
    return ok;
  }
  if (!caller.knows(static_cast<std::uint32_t>(id))) {
    return fail(Errc::invalid_argument, text("channel ", number, ": call ", static_cast<std::uint32_t>(id),
                                             " is not open; its reply was taken, or it was cancelled"));
  }
  return {};
}

Result<void> Channel::Impl::retire() {
  if (!any_posted) {
    return {};
  }
  if (!block->words.retired.word.load_acquire().behind(caller.position(), longest_lag)) {  // R1
    return caller.poison("the host retired an impossible position");
  }
  posted->drain();
  any_posted = posted->size() != 0;
  return {};
}

void Channel::Impl::retire_up_to(std::uint64_t position) noexcept {
  posted->drain_up_to(position);
  any_posted = posted->size() != 0;
}

void Channel::Impl::hold_until_retired(std::vector<Frame>& frames) {
  if (!frames.empty() && posted == nullptr) {
    posted = std::make_unique<RetireList>(lane->slab(), block->words.retired.word);
  }
  for (Frame& frame : frames) {
    const Reference reference = frame.release();
    static_cast<void>(posted->hold(caller.position(), reference.offset(), reference.length));
    any_posted = true;
  }
  frames.clear();
}

void Channel::Impl::release_kept_frames() noexcept {
  if (caller.abandoned_calls() == 0) {
    for (const Reference& frame : std::exchange(kept, {})) {
      lane->slab().free(frame.offset(), frame.length);
    }
  }
}

std::unique_ptr<RetireList> Channel::Impl::take_frames() {
  // Nobody will ever know when calls that were given up are over: the frames kept for them stay until the lane ends.
  kept.clear();
  any_posted = false;
  return std::move(posted);
}

void Channel::Impl::arm() {
  if (!completion || armed || caller.open_calls() == 0) {
    return;
  }
  if (caller.answered_calls() != 0) {
    // Its reply is off the ring already, where the waiter would look for it.
    static_cast<void>(eventfd_write(completion.get(), 1));
    return;
  }
  caller.publish_credit();
  abi::ChannelWords& words = block->words;
  const bool futex = lane->link().shares_kernel();
  words.client_sleeping.word.store_relaxed(1);  // S1
  full_fence();                                 // S2; the waiter looks next (S3)
  waiter->arm({.channel = number,
               .reply = caller.next_reply(),
               .doorbell = futex ? &words.reply_doorbell.word : nullptr,
               .ticket = 0,
               .eventfd = completion.get()});
  armed = true;
}

void Channel::Impl::disarm() {
  if (armed) {
    waiter->disarm(number);
    block->words.client_sleeping.word.store_relaxed(0);
    armed = false;
  }
}

Channel::Channel(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

Channel::~Channel() {
  if (impl_->lane->is_owner_process()) {
    impl_->disarm();
  }
}

Result<Reply> Channel::call(const Message& request, std::span<std::byte> reply, Clock::time_point deadline) {
  Impl& impl = *impl_;
  if (!impl.is_caller()) [[unlikely]] {
    return std::unexpected(impl.check_caller().error());
  }
  if (impl.armed) [[unlikely]] {
    impl.disarm();
  }
  if (!impl.caller.has_room(request.fixed.size() + request.trailing.size())) [[unlikely]] {
    if (auto room = impl.caller.make_room(request.fixed.size() + request.trailing.size(), deadline); !room) {
      return std::unexpected(std::move(room.error()));
    }
  }
  if (!impl.caller.may_open()) [[unlikely]] {
    if (auto may = impl.caller.await_may_open(deadline); !may) {
      return std::unexpected(std::move(may.error()));
    }
  }
  const std::uint64_t before = impl.caller.position();
  impl.write(request, impl.caller.begin_direct(reply), false);
  impl.caller.release();
  ++impl.counts.calls;
  if (!impl.caller.spin_direct()) {
    if (auto answered = impl.caller.finish_direct(deadline); !answered) {
      impl.arm();
      return std::unexpected(std::move(answered.error()));
    }
  }
  if (!impl.kept.empty()) [[unlikely]] {
    impl.release_kept_frames();
  }
  if (impl.any_posted) [[unlikely]] {
    if (impl.caller.frames_held()) {
      std::ignore = impl.retire();  // an error is the lane's, and comes back from its next use
    } else {
      impl.retire_up_to(before);  // the twin executes in order: what was posted before an answered call is done
    }
  }
  if (impl.completion) [[unlikely]] {
    impl.arm();
  }
  return impl.caller.take_direct();
}

Result<void> Channel::post(const Message& request, Clock::time_point deadline) { return post(request, {}, deadline); }

// NOLINTNEXTLINE(*-rvalue-reference-param-not-moved): each frame is, where the post succeeds
Result<void> Channel::post(const Message& request, std::vector<Frame>&& frames, Clock::time_point deadline) {
  Impl& impl = *impl_;
  if (!impl.is_caller()) [[unlikely]] {
    return impl.check_caller();
  }
  if (!impl.caller.has_room(request.fixed.size() + request.trailing.size())) [[unlikely]] {
    impl.disarm();
    auto room = impl.caller.make_room(request.fixed.size() + request.trailing.size(), deadline);
    impl.arm();
    if (!room) {
      return room;
    }
  }
  impl.write(request, 0, true);
  ++impl.counts.posts;
  impl.hold_until_retired(frames);
  if (impl.any_posted) {
    std::ignore = impl.retire();  // an error is the lane's, and comes back from its next use
  }
  return {};
}

Result<void> Channel::hold() {
  if (auto ok = impl_->check_caller(); !ok) {
    return ok;
  }
  impl_->caller.hold();
  return {};
}

Result<void> Channel::flush() {
  if (auto ok = impl_->check_caller(); !ok) {
    return ok;
  }
  impl_->caller.release();
  return {};
}

Result<CallId> Channel::submit(const Message& request, std::span<std::byte> reply, Clock::time_point deadline) {
  if (auto ok = impl_->check_caller(); !ok) {
    return std::unexpected(std::move(ok.error()));
  }
  impl_->disarm();
  auto id = impl_->submit(request, reply, deadline);
  impl_->arm();
  return id;
}

Result<std::optional<Reply>> Channel::poll(CallId id) {
  if (auto ok = impl_->check_call(id); !ok) {
    return std::unexpected(std::move(ok.error()));
  }
  impl_->disarm();
  impl_->caller.release();
  const auto call_id = static_cast<std::uint32_t>(id);
  const auto answered = impl_->caller.poll(call_id);
  impl_->release_kept_frames();
  if (!answered) {
    return std::unexpected(answered.error());
  }
  if (!*answered) {
    impl_->arm();
    return std::nullopt;
  }
  const auto reply = impl_->caller.take_reply(call_id);
  impl_->arm();
  return reply ? Result<std::optional<Reply>>(*reply) : std::unexpected(reply.error());
}

Result<Reply> Channel::wait(CallId id, Clock::time_point deadline) {
  if (auto ok = impl_->check_call(id); !ok) {
    return std::unexpected(std::move(ok.error()));
  }
  impl_->disarm();
  const auto call_id = static_cast<std::uint32_t>(id);
  auto answered = impl_->caller.wait(call_id, deadline);
  impl_->release_kept_frames();
  if (!answered) {
    impl_->arm();
    return std::unexpected(std::move(answered.error()));
  }
  auto reply = impl_->caller.take_reply(call_id);
  impl_->arm();
  return reply;
}

Result<bool> Channel::cancel(CallId id) {
  if (auto ok = impl_->check_call(id); !ok) {
    return std::unexpected(std::move(ok.error()));
  }
  impl_->disarm();
  auto abandoned = impl_->caller.abandon(static_cast<std::uint32_t>(id));
  impl_->arm();
  return abandoned;
}

void Channel::keep(Frame frame) {
  if (!impl_->lane->is_owner_process()) {
    return;  // the frame is the parent's, and knows it
  }
  const Reference kept = frame.release();
  if (impl_->is_caller()) {  // nobody else can tell when the calls are over: then it stays until the lane ends
    impl_->kept.push_back(kept);
    impl_->release_kept_frames();
  }
}

Result<int> Channel::completion_fd() {
  if (auto ok = impl_->check_caller(); !ok) {
    return std::unexpected(std::move(ok.error()));
  }
  if (!impl_->completion) {
    auto waiter = impl_->lane->completion_waiter();
    if (!waiter) {
      return std::unexpected(std::move(waiter.error()));
    }
    UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd) {
      return fail(Errc::exhausted, text("channel ", impl_->number, ": no eventfd: ", errno_text(errno)));
    }
    impl_->waiter = std::move(*waiter);
    impl_->completion = std::move(fd);
    impl_->arm();
  }
  return impl_->completion.get();
}

ChannelStatistics Channel::statistics() const noexcept {
  ChannelStatistics counts = impl_->counts;
  counts.doorbells = impl_->caller.doorbells();
  counts.dropped_replies = impl_->caller.dropped_replies();
  return counts;
}

}  // namespace isthmus
