// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "isthmus/channel.hpp"
#include "isthmus/frame.hpp"
#include "perf/support/forked_host.hpp"
#include "perf/support/participant.hpp"

namespace isthmus::perf {

/// Isthmus calls whose body comes back: one slot each way.
class SmallCalls final : public Participant {
 public:
  explicit SmallCalls(Channel& channel) noexcept : channel_(&channel) {}
  void call(std::uint32_t count) override;

 private:
  Channel* channel_;
  std::uint64_t sent_ = 0;
};

/// Isthmus calls with that many bytes in the message itself, answered by 56 bytes.
class InlineCalls final : public Participant {
 public:
  InlineCalls(Channel& channel, std::size_t bytes);
  void call(std::uint32_t count) override;

 private:
  Channel* channel_;
  std::vector<std::byte> body_;
};

/// Isthmus calls by which the host gets that many bytes in a frame: the client copies them there first, from memory of
/// its own. The host checks the reference, and does not read.
class PayloadCalls final : public Participant {
 public:
  PayloadCalls(Lane& lane, Channel& channel, std::size_t bytes);
  void call(std::uint32_t count) override;

 private:
  Channel* channel_;
  Frame frame_;
  std::vector<std::byte> source_;
};

/// Isthmus posts; the round ends with a call, which comes behind them in the channel.
class Posts final : public Participant {
 public:
  explicit Posts(Channel& channel) noexcept : channel_(&channel) {}
  void call(std::uint32_t count) override;

 private:
  Channel* channel_;
};

/// Isthmus calls, each behind that many posts: as a program starts work and waits for it.
class CallsBehindPosts final : public Participant {
 public:
  CallsBehindPosts(Channel& channel, std::uint32_t posts) noexcept : channel_(&channel), posts_(posts) {}
  void call(std::uint32_t count) override;

 private:
  Channel* channel_;
  std::uint32_t posts_;
};

}  // namespace isthmus::perf
