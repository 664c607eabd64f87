// SPDX-License-Identifier: Apache-2.0
#include "src/transport/caller.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "src/transport/text.hpp"

namespace isthmus {
namespace {

// Every wait has a bound after which the peer's life is checked.
constexpr std::chrono::milliseconds longest_wait_unchecked{100};

}  // namespace

Caller::Caller(CallerLane& lane, std::string name, const RingProducer& requests, RingConsumer replies,
               const Doorbell& doorbell, const Sleeper::Wiring& sleeping)
    : lane_(&lane),
      name_(std::move(name)),
      requests_(requests),
      replies_(std::move(replies)),
      doorbell_(doorbell),
      sleeper_(sleeping) {}

template <class Ready>
Result<void> Caller::block_until(const Ready& ready, Clock::time_point deadline) {
  release();
  const auto woken = [&]() noexcept { return ready() || lane_->seems_over(); };
  for (;;) {
    const Clock::time_point now_and_then = Clock::now() + longest_wait_unchecked;
    static_cast<void>(sleeper_.wait(woken, std::min(deadline, now_and_then), [this]() noexcept { publish_credit(); }));
    if (ready()) {
      return {};
    }
    if (auto host = lane_->check(); !host) {
      return host;
    }
    if (Clock::now() >= deadline) {
      return fail(Errc::timed_out, text(name_, ": the deadline has passed without an answer"));
    }
  }
}

void Caller::publish_credit() noexcept {
  if (replies_.publish_credit()) {
    doorbell_.flush();
  }
}

Result<void> Caller::make_room(std::size_t body, Clock::time_point deadline) {
  if (body > abi::max_body) {
    return fail(Errc::invalid_argument, text(name_, ": a request of ", body, " bytes; ", abi::max_body,
                                             " are possible, more goes into a Frame"));
  }
  const std::uint32_t slots = abi::slots_for(static_cast<std::uint32_t>(body) + abi::fence_bytes);
  Credit credit = requests_.credit(slots);
  while (credit == Credit::wait) {
    // Replies are taken meanwhile: a twin that waits for room in the reply ring makes none in the request ring.
    const auto room = [&]() noexcept {
      credit = requests_.credit(slots);
      return credit != Credit::wait || replies_.ready();
    };
    if (auto waited = block_until(room, deadline); !waited) {
      return waited;
    }
    Took took = Took::reply;
    while (took == Took::reply) {
      took = take_one();
    }
    if (took == Took::failure) {
      return std::unexpected(*failure_);
    }
  }
  if (credit == Credit::violated) {
    return poison("the other side published an impossible position for the request ring");
  }
  return {};
}

Result<void> Caller::await_may_open(Clock::time_point deadline) {
  for (;;) {
    Took took = Took::reply;
    while (!may_open() && took == Took::reply) {
      took = take_one();
    }
    if (took == Took::failure) {
      return std::unexpected(*failure_);
    }
    if (may_open()) {
      return {};
    }
    // Late replies will make room; answers that the caller has still to take will not.
    if (abandoned_ == 0) {
      return fail(Errc::exhausted, text(name_, ": ", most_in_flight, " calls are open already; take their replies"));
    }
    if (auto waited = block_until([this]() noexcept { return replies_.ready(); }, deadline); !waited) {
      return waited;
    }
  }
}

Result<std::uint32_t> Caller::open_call(std::span<std::byte> reply, Clock::time_point deadline) {
  if (auto may = await_may_open(deadline); !may) {
    return std::unexpected(std::move(may.error()));
  }
  if (unused_.empty()) {
    const std::size_t first = pending_.size();
    pending_.resize(std::min(most_in_flight, std::max<std::size_t>(16, first * 2)));
    for (std::size_t i = pending_.size(); i-- > first;) {
      pending_[i].id = static_cast<std::uint32_t>(i);
      unused_.push_back(static_cast<std::uint16_t>(i));
    }
  }
  Pending& pending = pending_[unused_.back()];
  unused_.pop_back();
  pending.id += index_mask + 1;  // the next generation, with the same index
  pending.state = Pending::State::waiting;
  pending.buffer = reply;
  ++open_;
  return pending.id;
}

void Caller::drop_call(std::uint32_t call_id) noexcept {
  if (Pending* pending = find(call_id)) {
    --open_;
    release(*pending);
  }
}

Caller::Pending* Caller::find(std::uint32_t call_id) noexcept {
  const std::size_t index = call_id & index_mask;
  if (index >= pending_.size() || pending_[index].id != call_id || pending_[index].state == Pending::State::unused) {
    return nullptr;
  }
  return &pending_[index];
}

bool Caller::knows(std::uint32_t call_id) const noexcept {
  const std::size_t index = call_id & index_mask;
  return index < pending_.size() && pending_[index].id == call_id &&
         (pending_[index].state == Pending::State::waiting || pending_[index].state == Pending::State::answered);
}

void Caller::release(Pending& pending) noexcept {
  pending.state = Pending::State::unused;
  unused_.push_back(static_cast<std::uint16_t>(pending.id & index_mask));
}

Caller::Took Caller::fail_with(const std::string& what) noexcept {
  failure_ = poison(what).error();
  return Took::failure;
}

Caller::Took Caller::take_other(Polled polled, const Incoming& incoming) noexcept {
  if (polled == Polled::violated) {
    return fail_with("the other side wrote a malformed reply");
  }
  if (replies_.take_news()) {
    doorbell_.flush();
  }
  const std::uint32_t call_id = incoming.header.call_id;
  const bool is_reply = (incoming.control.flags & ~abi::flag_frames_held) == 0;
  Pending* pending = find(call_id);
  const auto given_up = std::ranges::find(abandoned_direct_, call_id);
  if (is_reply && pending != nullptr && pending->state == Pending::State::waiting) {
    answer(*pending, incoming);
    ++answered_;
  } else if (is_reply && pending != nullptr && pending->state == Pending::State::abandoned) {
    --abandoned_;
    ++dropped_;
    release(*pending);
  } else if (is_reply && given_up != abandoned_direct_.end()) {
    --abandoned_;
    ++dropped_;
    abandoned_direct_.erase(given_up);
  } else {
    return fail_with(text("the other side answered call ", call_id, ", which was not asked"));
  }
  return Took::reply;
}

Result<void> Caller::finish_direct(Clock::time_point deadline) {
  for (;;) {
    Took took = Took::reply;
    while (took == Took::reply && direct_.state == Pending::State::waiting && !failure_) {
      took = take_one();
    }
    if (failure_) {
      return std::unexpected(*failure_);
    }
    if (direct_.state == Pending::State::answered) {
      return {};
    }
    auto waited = block_until([this]() noexcept { return replies_.ready(); }, deadline);
    if (!waited) {
      if (waited.error().code == Errc::timed_out) {
        abandoned_direct_.push_back(direct_.id);
        ++abandoned_;
      }
      direct_.state = Pending::State::unused;
      return waited;
    }
  }
}

std::unexpected<Error> Caller::reply_too_long(const Pending& pending) const {
  return fail(Errc::invalid_argument,
              text(name_, ": a reply of ", pending.reply.size, " bytes for a buffer of ", pending.buffer.size()));
}

Result<bool> Caller::poll(std::uint32_t call_id) {
  for (;;) {
    const Pending* pending = find(call_id);
    if (pending != nullptr && pending->state == Pending::State::answered) {
      return true;
    }
    const Took took = take_one();
    if (took == Took::failure) {
      return std::unexpected(*failure_);
    }
    if (took == Took::nothing) {
      return false;
    }
  }
}

Result<void> Caller::wait(std::uint32_t call_id, Clock::time_point deadline) {
  for (;;) {
    const auto answered = poll(call_id);
    if (!answered) {
      return std::unexpected(answered.error());
    }
    if (*answered) {
      return {};
    }
    if (auto waited = block_until([this]() noexcept { return replies_.ready(); }, deadline); !waited) {
      return waited;
    }
  }
}

Result<Reply> Caller::take_reply(std::uint32_t call_id) {
  Pending& pending = *find(call_id);
  --open_;
  --answered_;
  release(pending);
  if (pending.reply.size > pending.buffer.size()) {
    return reply_too_long(pending);
  }
  return pending.reply;
}

Result<bool> Caller::abandon(std::uint32_t call_id) {
  const auto answered = poll(call_id);
  if (!answered) {
    return answered;
  }
  Pending& pending = *find(call_id);
  --open_;
  if (*answered) {
    --answered_;
    release(pending);
    return false;
  }
  pending.state = Pending::State::abandoned;
  pending.buffer = {};
  ++abandoned_;
  return true;
}

std::unexpected<Error> Caller::poison(const std::string& what) {
  Error error{Errc::protocol_violation, text(name_, ": ", what)};
  lane_->poison(error);
  return std::unexpected(std::move(error));
}

}  // namespace isthmus
