// SPDX-License-Identifier: Apache-2.0
#include "src/transport/twin.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <string_view>
#include <tuple>
#include <utility>

#include "src/transport/caller.hpp"
#include "src/transport/futex.hpp"
#include "src/transport/stream_pace.hpp"
#include "src/transport/text.hpp"

namespace isthmus {
namespace {

Sleeper::Wiring sleeping_of(Twin::WakeUp wake_up, abi::ChannelWords& words, std::atomic<std::uint32_t>& relay) {
  switch (wake_up) {
    case Twin::WakeUp::futex:
      return {.sleeping = &words.twin_sleeping.word, .doorbell = &words.request_doorbell.word};
    case Twin::WakeUp::relay:
      return {.sleeping = &words.twin_sleeping.word, .relay = &relay};
    case Twin::WakeUp::interval:
      break;
  }
  return {.sleeping = &words.twin_sleeping.word};
}

Doorbell doorbell_of(Twin::WakeUp wake_up, abi::ChannelWords& words) {
  return wake_up == Twin::WakeUp::futex ? Doorbell(words.client_sleeping.word, words.reply_doorbell.word)
                                        : Doorbell(words.client_sleeping.word);
}

// What an honest caller has open at most, the one made the short way included. It bounds what is kept for a caller.
constexpr std::size_t most_unanswered = Caller::most_in_flight + 1;

std::uint32_t slots_of(const ReplyMailbox::Letter& letter) noexcept {
  return abi::slots_for(static_cast<std::uint32_t>(letter.body.size()));
}

}  // namespace

class Twin::CurrentRequest final : public Request {
 public:
  CurrentRequest(Twin& twin, const Incoming& incoming) noexcept : twin_(&twin), incoming_(&incoming) {}

  std::uint16_t api() const noexcept override { return incoming_->header.api; }
  std::uint16_t opcode() const noexcept override { return incoming_->control.opcode; }
  std::span<const std::byte> fixed() const noexcept override { return incoming_->body.first(incoming_->header.fixed); }
  std::span<const std::byte> trailing() const noexcept override {
    return incoming_->body.subspan(incoming_->header.fixed);
  }
  bool wants_reply() const noexcept override { return (incoming_->control.flags & abi::flag_post) == 0; }
  std::optional<std::span<std::byte>> resolve(Reference reference) const noexcept override {
    return twin_->setup_.region->resolve(reference);
  }
  Result<void> reply(std::int32_t status, std::span<const std::byte> fixed,
                     std::span<const std::byte> trailing) override {
    if (!wants_reply()) {
      return {};
    }
    if (settled_) {
      return fail(Errc::invalid_argument, text("call ", incoming_->header.call_id, ": answered twice"));
    }
    if (fixed.size() + trailing.size() > abi::max_body) {
      return fail(Errc::invalid_argument,
                  text("call ", incoming_->header.call_id, ": a reply of ", fixed.size() + trailing.size(), " bytes; ",
                       abi::max_body, " are possible, more goes through a reference"));
    }
    settled_ = true;
    return twin_->send_reply(
        {.opcode = incoming_->control.opcode,
         .header = {.call_id = incoming_->header.call_id, .api = incoming_->header.api, .status = status},
         .fixed = fixed,
         .trailing = trailing});
  }
  PendingCall defer() override {
    // A post has no answer, and a call only one: otherwise nothing is kept.
    const bool keeps = wants_reply() && !std::exchange(settled_, true);
    return {keeps ? twin_->mailbox_ : std::shared_ptr<ReplyMailbox>(), incoming_->header.call_id, incoming_->header.api,
            incoming_->control.opcode};
  }
  FrameHold hold_frames() override { return wants_reply() ? FrameHold() : FrameHold(twin_->gate_, twin_->executed_); }
  std::shared_ptr<Upcalls> upcalls() const noexcept override {
    return twin_->setup_.upcalls ? twin_->setup_.upcalls() : nullptr;
  }
  [[nodiscard]] bool settled() const noexcept { return settled_; }

 private:
  Twin* twin_;
  const Incoming* incoming_;
  bool settled_ = false;  // answered or deferred
};

Twin::Twin(Setup setup)
    : setup_(std::move(setup)),
      executed_(setup_.order != nullptr ? setup_.order->executed(setup_.number) : 0),
      requests_(setup_.block->requests, setup_.block->words.request_consumed.word, setup_.first_lap, executed_),
      replies_(setup_.block->replies, setup_.block->words.reply_consumed.word, setup_.first_lap),
      doorbell_(doorbell_of(setup_.wake_up, setup_.block->words)),
      sleeper_(sleeping_of(setup_.wake_up, setup_.block->words, relay_)),
      mailbox_(std::make_shared<ReplyMailbox>([this] {
        full_fence();  // W2, as in Doorbell::flush(); W1 is the mailbox's flag
        if (setup_.block->words.twin_sleeping.word.load_relaxed().equals(1)) {
          wake();
        }
      })),
      gate_(std::make_shared<RetireGate>(setup_.block->words.retired.word, executed_,
                                         [this] {
                                           if (stop_.load(std::memory_order_seq_cst) != Stop::no) {
                                             wake();
                                           }
                                         })),
      thread_(std::make_unique<std::thread>([this] { run(); })) {}

Twin::~Twin() {
  if (!mark_.is_this_process()) {
    // The thread exists in the parent only: it can be neither joined nor detached here, nor destroyed.
    std::ignore = thread_.release();
    return;
  }
  // The caller can write the word that the thread blocks on, and so take a wake-up back: one may not be enough.
  constexpr std::chrono::milliseconds longest_nap{10};
  std::chrono::microseconds nap{20};
  for (stop_now(); !ended(); wake()) {
    std::this_thread::sleep_for(nap);
    nap = std::min<std::chrono::microseconds>(nap * 2, longest_nap);
  }
  thread_->join();
  mailbox_->close();
  gate_->close();
}

void Twin::stop_when_drained() noexcept {
  Stop expected = Stop::no;
  stop_.compare_exchange_strong(expected, Stop::when_drained, std::memory_order_seq_cst);
  wake();
}

void Twin::stop_now() noexcept {
  stop_.store(Stop::now, std::memory_order_seq_cst);
  wake();
}

void Twin::wake() noexcept {
  if (setup_.wake_up == WakeUp::futex) {
    SharedWord<std::uint32_t>& doorbell = setup_.block->words.request_doorbell.word;
    static_cast<void>(doorbell.fetch_add(1));
    futex_wake(doorbell.address(), FutexScope::machine);
  } else {
    relay_.fetch_add(1, std::memory_order_seq_cst);
    futex_wake(reinterpret_cast<std::uint32_t*>(&relay_), FutexScope::process);
  }
}

void Twin::wake_caller() noexcept {
  if (setup_.wake_up == WakeUp::futex) {
    SharedWord<std::uint32_t>& doorbell = setup_.block->words.reply_doorbell.word;
    static_cast<void>(doorbell.fetch_add(1));
    futex_wake(doorbell.address(), FutexScope::machine);
  }
}

void Twin::publish_progress(bool ring) noexcept {
  gate_->publish(executed_);
  if (requests_.publish_credit() || ring) {
    doorbell_.flush();
  }
}

void Twin::run() {
  const auto wanted = [this]() noexcept {
    return requests_.ready() || mailbox_->has_letters() || may_end(stop_.load(std::memory_order_seq_cst)) ||
           (!parked_.empty() && replies_.credit(slots_of(parked_.front())) != Credit::wait);
  };
  StreamPace pace;
  bool going = true;
  // Whatever else is to be done is looked for after each request.
  const auto take = [&](const Incoming& incoming) {
    if (requests_.take_news()) {
      publish_progress(true);
    }
    pace.took((incoming.control.flags & abi::flag_post) != 0);
    going = handle(incoming);
    return going && !mailbox_->has_letters() && parked_.empty();
  };
  while (going) {
    // Looked at before the ring: what the client wrote before it closed the channel must be seen by the poll after it.
    const Stop stop = stop_.load(std::memory_order_seq_cst);
    if (stop == Stop::now) {
      break;
    }
    if (mailbox_->has_letters()) {
      take_letters();
    }
    if (!parked_.empty()) [[unlikely]] {
      deliver_parked();
    }
    switch (requests_.drain(abi::ring_slots, take)) {
      case Polled::ready:
        break;
      case Polled::empty:
        going = going && !may_end(stop);
        if (going) {
          if (const std::uint32_t pauses = pace.caught_up(); pauses > 0) {
            keep_away(pauses);
          } else {
            static_cast<void>(
                sleeper_.wait(wanted, Sleeper::Clock::time_point::max(), [this]() noexcept { publish_progress(); }));
          }
        }
        break;
      case Polled::violated:
        give_up("protocol violation by the client: a malformed request");
        going = false;
        break;
    }
  }
  ended_.store(true, std::memory_order_release);
}

bool Twin::handle(const Incoming& incoming) {
  if ((incoming.control.flags & ~abi::flag_post) != 0) {
    if ((incoming.control.flags & abi::flag_frames_held) != 0) {
      give_up("protocol violation by the client: a malformed request, with a reply's flag");
      return false;
    }
    if (!await_fence(abi::Fence::decode(incoming.fence))) {
      return false;
    }
  }
  CurrentRequest request(*this, incoming);
  if (request.wants_reply() && ++unanswered_ > most_unanswered) {
    give_up(text("protocol violation by the client: more than ", most_unanswered, " calls at a time"));
    return false;
  }
  const auto threw = [&](std::string_view what) {
    give_up(text("the service failed with api ", request.api(), ", opcode ", request.opcode(), ": ", what));
    return false;
  };
  try {
    setup_.service->handle(request);
  } catch (const std::exception& error) {
    return threw(error.what());
#if defined(__GLIBCXX__)
  } catch (const __cxxabiv1::__forced_unwind&) {
    throw;  // the thread ends itself, by pthread_exit()
#endif
  } catch (...) {
    return threw("it threw what is no std::exception");
  }
  if (request.wants_reply() && !request.settled()) {
    std::ignore = request.reply(status_unhandled, {}, {});
  }
  executed_ = requests_.position();
  if (setup_.order != nullptr) {
    setup_.order->advance(setup_.number, executed_);
  }
  return stop_.load(std::memory_order_acquire) != Stop::now;
}

bool Twin::await_fence(abi::Fence fence) {
  if (setup_.order == nullptr) {
    give_up("protocol violation by the client: a fence where there is no order");
    return false;
  }
  // What is waited for is a post, which executes without waiting for anything outside; so spinning nearly always does,
  // and short naps do for the rest. Nobody has to remember whom to wake.
  constexpr std::chrono::microseconds longest_nap{500};
  std::chrono::microseconds nap{10};
  LaneOrder::Verdict verdict = LaneOrder::Verdict::wait;
  const auto settled = [&]() noexcept {
    verdict = setup_.order->look(fence, setup_.number);
    return verdict != LaneOrder::Verdict::wait || stop_.load(std::memory_order_relaxed) == Stop::now;
  };
  while (!settled() && !fence_spinner_.spin(settled)) {
    publish_progress();
    std::this_thread::sleep_for(nap);
    nap = std::min(nap * 2, longest_nap);
  }
  if (verdict == LaneOrder::Verdict::impossible) {
    give_up(
        text("protocol violation by the client: a fence names channel ", fence.channel, ", position ", fence.position));
  }
  return verdict == LaneOrder::Verdict::reached;
}

void Twin::take_letters() {
  for (ReplyMailbox::Letter& letter : mailbox_->take()) {
    parked_.push_back(std::move(letter));
  }
}

bool Twin::has_room(std::size_t bytes) {
  const Credit credit = replies_.credit(abi::slots_for(static_cast<std::uint32_t>(bytes)));
  if (credit == Credit::violated) {
    give_up("protocol violation by the client: an impossible position for the reply ring");
    stop_.store(Stop::now, std::memory_order_relaxed);
  }
  return credit == Credit::enough;
}

void Twin::deliver_parked() {
  bool any = false;
  while (!parked_.empty() && has_room(parked_.front().body.size())) {
    const ReplyMailbox::Letter& letter = parked_.front();
    const std::span<const std::byte> body(letter.body);
    write_reply({.opcode = letter.opcode,
                 .header = letter.header,
                 .fixed = body.first(letter.header.fixed),
                 .trailing = body.subspan(letter.header.fixed)});
    parked_.pop_front();
    --unanswered_;
    any = true;
  }
  if (any) {
    doorbell_.flush();
  }
}

Result<void> Twin::send_reply(const Outgoing& reply) {
  if (parked_.empty() && has_room(reply.size())) [[likely]] {
    write_reply(reply);
    --unanswered_;
    doorbell_.flush();
    return {};
  }
  // The client does not read its replies just now. The twin goes on all the same: posts that stand behind this call
  // must not wait for a thread of the client.
  ReplyMailbox::Letter letter{
      .opcode = reply.opcode, .header = reply.header, .body = {reply.fixed.begin(), reply.fixed.end()}};
  letter.header.fixed = static_cast<std::uint16_t>(reply.fixed.size());
  letter.body.insert(letter.body.end(), reply.trailing.begin(), reply.trailing.end());
  parked_.push_back(std::move(letter));
  return {};
}

void Twin::write_reply(Outgoing reply) noexcept {
  if (gate_->holds()) [[unlikely]] {
    reply.flags |= abi::flag_frames_held;
  }
  replies_.write(reply);
}

void Twin::give_up(std::string reason) {
  if (setup_.on_give_up) {
    std::exchange(setup_.on_give_up, nullptr)(std::move(reason));
  }
}

}  // namespace isthmus
