// SPDX-License-Identifier: Apache-2.0
#include "isthmus/channel.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "src/transport/channel_impl.hpp"
#include "src/transport/text.hpp"

namespace isthmus {
namespace {

// Every wait has a bound after which the peer's life is checked.
constexpr std::chrono::milliseconds longest_wait_unchecked{100};

Doorbell make_doorbell(LaneState& lane, std::uint32_t number, abi::ChannelBlock& block) noexcept {
  abi::ChannelWords& words = block.words;
  if (lane.link().shares_kernel()) {
    return {words.twin_sleeping.word, words.request_doorbell.word};
  }
  auto& pending = lane.region().lane(lane.index()).client.pending;
  return {words.twin_sleeping.word, pending.at(number / 64), std::uint64_t{1} << (number % 64)};
}

Sleeper make_sleeper(LaneState& lane, abi::ChannelWords& words) noexcept {
  return lane.link().shares_kernel() ? Sleeper(words.client_sleeping.word, words.reply_doorbell.word)
                                     : Sleeper(words.client_sleeping.word);
}

}  // namespace

const void* thread_mark() noexcept {
  static thread_local char mark = 0;
  return &mark;
}

Channel::Impl::Impl(LaneState& lane_state, std::uint32_t channel_number, abi::ChannelBlock& channel_block,
                    std::uint32_t first_lap)
    : lane(&lane_state),
      number(channel_number),
      block(&channel_block),
      owner(thread_mark()),
      requests(channel_block.requests, channel_block.words.request_consumed.word, first_lap),
      replies(channel_block.replies, channel_block.words.reply_consumed.word, first_lap),
      doorbell(make_doorbell(lane_state, channel_number, channel_block)),
      sleeper(make_sleeper(lane_state, channel_block.words)) {}

void Channel::Impl::prepare(abi::ChannelBlock& block, std::uint32_t first_lap) noexcept {
  abi::ChannelWords& words = block.words;
  for (auto* word : {&words.request_doorbell, &words.twin_sleeping, &words.reply_doorbell, &words.client_sleeping}) {
    word->word.store_relaxed(0);
  }
  for (auto* word : {&words.request_consumed, &words.reply_consumed, &words.retired}) {
    word->word.store_relaxed(0);
  }
  prepare_ring(block.requests, first_lap);
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

Result<void> Channel::Impl::check_message(const Message& request) const {
  const std::size_t size = request.fixed.size() + request.trailing.size();
  if (size > abi::max_body) {
    return fail(Errc::invalid_argument, text("channel ", number, ": a request of ", size, " bytes; ", abi::max_body,
                                             " are possible, more goes into a Frame"));
  }
  return {};
}

template <class Ready>
Result<void> Channel::Impl::wait(const Ready& ready, Clock::time_point deadline) {
  for (;;) {
    const Clock::time_point now_and_then = Clock::now() + longest_wait_unchecked;
    const auto publish_credit = [this]() noexcept {
      if (replies.publish_credit()) {
        doorbell.flush();
      }
    };
    if (sleeper.wait(ready, std::min(deadline, now_and_then), publish_credit)) {
      return {};
    }
    if (auto host = lane->check(); !host) {
      return host;
    }
    if (Clock::now() >= deadline) {
      return fail(Errc::timed_out, text("channel ", number, ": the deadline has passed without an answer"));
    }
  }
}

Result<void> Channel::Impl::send(const Message& request, std::uint32_t call_id, std::uint8_t flags,
                                 Clock::time_point deadline) {
  const std::uint32_t slots =
      abi::slots_for(static_cast<std::uint32_t>(request.fixed.size() + request.trailing.size()));
  Credit credit = requests.credit(slots);
  while (credit == Credit::wait) {
    // Late replies are dropped meanwhile: a twin that waits for room in the reply ring makes none in the request ring.
    const auto room = [&]() noexcept {
      credit = requests.credit(slots);
      return credit != Credit::wait || replies.ready();
    };
    if (auto waited = wait(room, deadline); !waited) {
      return waited;
    }
    if (auto dropped = drop_late_replies(); !dropped) {
      return dropped;
    }
  }
  if (credit == Credit::violated) {
    return poison("the host published an impossible position for the request ring");
  }
  requests.write({.opcode = request.opcode,
                  .flags = flags,
                  .header = {.call_id = call_id, .api = request.api},
                  .fixed = request.fixed,
                  .trailing = request.trailing});
  doorbell.flush();
  return {};
}

Result<bool> Channel::Impl::poll_reply(Incoming& incoming) {
  const Polled polled = replies.poll(incoming);
  if (polled == Polled::violated) {
    return poison("the host wrote a malformed reply");
  }
  if (replies.take_news()) {
    doorbell.flush();
  }
  return polled == Polled::ready;
}

Result<void> Channel::Impl::drop_late_replies() {
  Incoming incoming;
  for (;;) {
    const Result<bool> got = poll_reply(incoming);
    if (!got) {
      return std::unexpected(got.error());
    }
    if (!*got) {
      return {};
    }
    if (auto dropped = drop_late_reply(incoming.header.call_id); !dropped) {
      return dropped;
    }
  }
}

Result<Reply> Channel::Impl::receive(std::uint32_t call_id, std::span<std::byte> reply, Clock::time_point deadline) {
  Incoming incoming;
  for (;;) {
    const Result<bool> got = poll_reply(incoming);
    if (!got) {
      return std::unexpected(got.error());
    }
    if (*got && incoming.header.call_id == call_id) {
      break;
    }
    if (*got) {
      if (auto dropped = drop_late_reply(incoming.header.call_id); !dropped) {
        return std::unexpected(std::move(dropped.error()));
      }
      continue;
    }
    const auto waited = wait([this]() noexcept { return replies.ready(); }, deadline);
    if (!waited) {
      if (waited.error().code == Errc::timed_out) {
        abandoned.push_back(call_id);
      }
      return std::unexpected(waited.error());
    }
  }
  if (incoming.body.size() > reply.size()) {
    return fail(Errc::invalid_argument, text("channel ", number, ": a reply of ", incoming.body.size(),
                                             " bytes for a buffer of ", reply.size()));
  }
  if (!incoming.body.empty()) {
    std::memcpy(reply.data(), incoming.body.data(), incoming.body.size());
  }
  return Reply{.status = incoming.header.status, .size = incoming.header.size, .fixed = incoming.header.fixed};
}

Result<void> Channel::Impl::drop_late_reply(std::uint32_t call_id) {
  const auto found = std::ranges::find(abandoned, call_id);
  if (found == abandoned.end()) {
    return poison(text("the host answered call ", call_id, ", which was not asked"));
  }
  abandoned.erase(found);
  ++counts.dropped_replies;
  return {};
}

std::unexpected<Error> Channel::Impl::poison(std::string what) {
  Error error{Errc::protocol_violation, text("channel ", number, " of region ", lane->region().name(), ": ", what)};
  lane->poison(error);
  return std::unexpected(std::move(error));
}

Channel::Channel(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Channel::~Channel() = default;

Result<Reply> Channel::call(const Message& request, std::span<std::byte> reply, Clock::time_point deadline) {
  if (auto ok = impl_->check_caller(); !ok) {
    return std::unexpected(std::move(ok.error()));
  }
  if (auto ok = impl_->check_message(request); !ok) {
    return std::unexpected(std::move(ok.error()));
  }
  const std::uint32_t call_id = ++impl_->last_call_id;
  if (auto sent = impl_->send(request, call_id, 0, deadline); !sent) {
    return std::unexpected(std::move(sent.error()));
  }
  ++impl_->counts.calls;
  return impl_->receive(call_id, reply, deadline);
}

Result<void> Channel::post(const Message& request, Clock::time_point deadline) {
  if (auto ok = impl_->check_caller(); !ok) {
    return ok;
  }
  if (auto ok = impl_->check_message(request); !ok) {
    return ok;
  }
  if (auto sent = impl_->send(request, 0, abi::flag_post, deadline); !sent) {
    return sent;
  }
  ++impl_->counts.posts;
  return {};
}

ChannelStatistics Channel::statistics() const noexcept {
  ChannelStatistics counts = impl_->counts;
  counts.doorbells = impl_->doorbell.rung();
  return counts;
}

}  // namespace isthmus
