// SPDX-License-Identifier: Apache-2.0
#include "perf/support/channel_calls.hpp"

#include <cstring>
#include <span>
#include <stdexcept>

#include "perf/support/must.hpp"

namespace isthmus::perf {
namespace {

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

void check_reply(const Result<Reply>& reply) {
  if (!reply) {
    throw std::runtime_error(reply.error().message);
  }
  if (reply->status != 0) {
    throw std::runtime_error("the worker answered status " + std::to_string(reply->status));
  }
}

}  // namespace

void SmallCalls::call(std::uint32_t count) {
  for (; count > 0; --count) {
    wire::OneSlot message;
    message.words.back() = ++sent_;
    wire::OneSlot answer;
    check_reply(
        channel_->call(wire::request(wire::echo, bytes_of(message)), std::as_writable_bytes(std::span(&answer, 1))));
    if (answer.words.back() != sent_) {
      throw std::runtime_error("a reply does not belong to its request");
    }
  }
}

InlineCalls::InlineCalls(Channel& channel, std::size_t bytes) : channel_(&channel), body_(bytes, std::byte{1}) {}

void InlineCalls::call(std::uint32_t count) {
  for (; count > 0; --count) {
    wire::OneSlot answer;
    check_reply(channel_->call(wire::request(wire::swallow, {}, body_), std::as_writable_bytes(std::span(&answer, 1))));
  }
}

PayloadCalls::PayloadCalls(Lane& lane, Channel& channel, std::size_t bytes)
    : channel_(&channel), frame_(must(lane.allocate(bytes))), source_(bytes, std::byte{1}) {}

void PayloadCalls::call(std::uint32_t count) {
  for (; count > 0; --count) {
    std::memcpy(frame_.data(), source_.data(), source_.size());
    const wire::Payload payload{.data = frame_.reference(), .counter = {}};
    check_reply(channel_->call(wire::request(wire::acknowledge, bytes_of(payload))));
  }
}

void Posts::call(std::uint32_t count) { CallsBehindPosts(*channel_, count).call(1); }

void CallsBehindPosts::call(std::uint32_t count) {
  wire::OneSlot message;
  for (; count > 0; --count) {
    for (std::uint32_t i = 0; i < posts_; ++i) {
      message.words.front() = i;
      if (const auto sent = channel_->post(wire::request(wire::swallow, bytes_of(message))); !sent) {
        throw std::runtime_error(sent.error().message);
      }
    }
    wire::OneSlot answer;
    check_reply(channel_->call(wire::request(wire::swallow), std::as_writable_bytes(std::span(&answer, 1))));
  }
}

}  // namespace isthmus::perf
