// SPDX-License-Identifier: Apache-2.0
#include "src/transport/twin.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "src/transport/futex.hpp"
#include "src/transport/text.hpp"

namespace isthmus {

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
    return twin_->region_->resolve(reference);
  }
  Result<void> reply(std::int32_t status, std::span<const std::byte> fixed,
                     std::span<const std::byte> trailing) override {
    if (!wants_reply()) {
      return {};
    }
    if (answered_) {
      return fail(Errc::invalid_argument, text("call ", incoming_->header.call_id, ": answered twice"));
    }
    if (fixed.size() + trailing.size() > abi::max_body) {
      return fail(Errc::invalid_argument,
                  text("call ", incoming_->header.call_id, ": a reply of ", fixed.size() + trailing.size(), " bytes; ",
                       abi::max_body, " are possible, more goes through a reference"));
    }
    answered_ = true;
    return twin_->send_reply(
        {.opcode = incoming_->control.opcode,
         .header = {.call_id = incoming_->header.call_id, .api = incoming_->header.api, .status = status},
         .fixed = fixed,
         .trailing = trailing});
  }
  [[nodiscard]] bool answered() const noexcept { return answered_; }

 private:
  Twin* twin_;
  const Incoming* incoming_;
  bool answered_ = false;
};

Twin::Twin(const Region& region, abi::ChannelBlock& block, std::uint32_t first_lap, WakeUp wake_up, Service& service,
           std::function<void(std::string)> on_give_up)
    : region_(&region),
      block_(&block),
      wake_up_(wake_up),
      service_(&service),
      on_give_up_(std::move(on_give_up)),
      requests_(block.requests, block.words.request_consumed.word, first_lap),
      replies_(block.replies, block.words.reply_consumed.word, first_lap),
      doorbell_(wake_up == WakeUp::futex ? Doorbell(block.words.client_sleeping.word, block.words.reply_doorbell.word)
                                         : Doorbell(block.words.client_sleeping.word)),
      sleeper_(wake_up == WakeUp::futex ? Sleeper(block.words.twin_sleeping.word, block.words.request_doorbell.word)
                                        : Sleeper(block.words.twin_sleeping.word, relay_)),
      thread_([this] { run(); }) {}

Twin::~Twin() {
  // The client can write the word that the thread blocks on, and so take a wake-up back: one may not be enough.
  constexpr std::chrono::milliseconds longest_nap{10};
  std::chrono::microseconds nap{20};
  for (stop_now(); !ended(); wake()) {
    std::this_thread::sleep_for(nap);
    nap = std::min<std::chrono::microseconds>(nap * 2, longest_nap);
  }
  thread_.join();
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
  if (wake_up_ == WakeUp::futex) {
    SharedWord<std::uint32_t>& doorbell = block_->words.request_doorbell.word;
    static_cast<void>(doorbell.fetch_add(1));
    futex_wake(doorbell.address(), FutexScope::machine);
  } else {
    relay_.fetch_add(1, std::memory_order_seq_cst);
    futex_wake(reinterpret_cast<std::uint32_t*>(&relay_), FutexScope::process);
  }
}

void Twin::wake_client() noexcept {
  if (wake_up_ == WakeUp::futex) {
    SharedWord<std::uint32_t>& doorbell = block_->words.reply_doorbell.word;
    static_cast<void>(doorbell.fetch_add(1));
    futex_wake(doorbell.address(), FutexScope::machine);
  }
}

void Twin::run() {
  const auto wanted = [this]() noexcept {
    return requests_.ready() || stop_.load(std::memory_order_relaxed) != Stop::no;
  };
  const auto publish_credit = [this]() noexcept {
    if (requests_.publish_credit()) {
      doorbell_.flush();
    }
  };
  Incoming incoming;
  for (bool going = true; going;) {
    // Looked at before the ring: what the client wrote before it closed the channel must be seen by the poll after it.
    const Stop stop = stop_.load(std::memory_order_acquire);
    if (stop == Stop::now) {
      break;
    }
    switch (requests_.poll(incoming)) {
      case Polled::ready:
        if (requests_.take_news()) {
          doorbell_.flush();
        }
        going = handle(incoming);
        break;
      case Polled::empty:
        going = stop == Stop::no;
        if (going) {
          static_cast<void>(sleeper_.wait(wanted, Sleeper::Clock::time_point::max(), publish_credit));
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
  CurrentRequest request(*this, incoming);
  try {
    service_->handle(request);
  } catch (const std::exception& error) {
    give_up(text("the service failed with api ", request.api(), ", opcode ", request.opcode(), ": ", error.what()));
    return false;
  }
  if (request.wants_reply() && !request.answered()) {
    static_cast<void>(request.reply(status_unhandled, {}, {}));
  }
  return stop_.load(std::memory_order_acquire) != Stop::now;
}

Result<void> Twin::send_reply(const Outgoing& reply) {
  const std::uint32_t slots = abi::slots_for(static_cast<std::uint32_t>(reply.size()));
  Credit credit = replies_.credit(slots);
  if (credit == Credit::wait) {
    // The client does not read its replies: its own twin waits for it, and nobody else. Once it has closed the channel
    // it never will.
    const auto room = [&]() noexcept {
      credit = replies_.credit(slots);
      return credit != Credit::wait || stop_.load(std::memory_order_relaxed) != Stop::no;
    };
    const auto publish_credit = [this]() noexcept {
      if (requests_.publish_credit()) {
        doorbell_.flush();
      }
    };
    static_cast<void>(sleeper_.wait(room, Sleeper::Clock::time_point::max(), publish_credit));
  }
  if (credit == Credit::violated) {
    give_up("protocol violation by the client: an impossible position for the reply ring");
    stop_.store(Stop::now, std::memory_order_relaxed);
  }
  if (credit != Credit::enough) {
    return fail(Errc::closed, "the channel is closed, or its lane is over");
  }
  replies_.write(reply);
  doorbell_.flush();
  return {};
}

void Twin::give_up(std::string reason) {
  if (on_give_up_) {
    std::exchange(on_give_up_, nullptr)(std::move(reason));
  }
}

}  // namespace isthmus
