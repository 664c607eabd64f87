// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "isthmus/abi.hpp"
#include "isthmus/channel.hpp"
#include "isthmus/marshal/message.hpp"

namespace isthmus::marshal {

/// What a typed call brought back.
template <MessageKind M>
struct Outcome {
  std::int32_t status = 0;  ///< 0, or the service's error code; the reply is meaningful only with 0
  typename M::Reply reply;
  std::uint32_t trailing = 0;  ///< trailing bytes of the reply, written to the caller's buffer
};

/// Typed calls over one channel. As thread-bound as the channel is.
class Client {
 public:
  using Clock = Channel::Clock;

  explicit Client(Channel& channel) noexcept : channel_(&channel) {}

  /// Sends a request and waits for its reply; trailing bytes of the reply go to `reply_trailing`. Nothing is allocated.
  /// Errors: those of Channel::call, and protocol_violation (a reply of this kind in a form we do not know).
  template <MessageKind M>
  [[nodiscard]] Result<Outcome<M>> call(const typename M::Request& request, std::span<const std::byte> trailing = {},
                                        std::span<std::byte> reply_trailing = {},
                                        Clock::time_point deadline = Channel::no_deadline) {
    if (reply_trailing.empty()) {
      // Room for a fixed part that a newer host has made longer.
      std::array<std::byte, fixed_size<typename M::Reply> + slack> small;
      return finish<M>(channel_->call(message<M>(request, trailing), small, deadline), small, {});
    }
    std::array<std::byte, abi::max_body> large;
    return finish<M>(channel_->call(message<M>(request, trailing), large, deadline), large, reply_trailing);
  }

  /// Sends a request that nobody waits for. Errors: those of Channel::post.
  template <MessageKind M>
  [[nodiscard]] Result<void> post(const typename M::Request& request, std::span<const std::byte> trailing = {}) {
    return channel_->post(message<M>(request, trailing));
  }
  /// The same with frames that the request names: they are handed over, and freed once the host has executed it; after
  /// an error they are still the caller's.
  template <MessageKind M>
  [[nodiscard]] Result<void> post(const typename M::Request& request, std::vector<Frame>&& frames,
                                  std::span<const std::byte> trailing = {}) {
    return channel_->post(message<M>(request, trailing), std::move(frames));
  }

 private:
  static constexpr std::size_t slack = 128;

  template <MessageKind M>
  [[nodiscard]] static Message message(const typename M::Request& request, std::span<const std::byte> trailing) {
    return {.api = M::api, .opcode = M::opcode, .fixed = bytes_of(request), .trailing = trailing};
  }

  template <MessageKind M>
  [[nodiscard]] static Result<Outcome<M>> finish(const Result<Reply>& reply, std::span<const std::byte> body,
                                                 std::span<std::byte> trailing) {
    if (!reply) {
      return std::unexpected(reply.error());
    }
    Outcome<M> outcome{.status = reply->status, .reply = {}, .trailing = reply->size - reply->fixed};
    if (outcome.status == 0 && !read_fixed(body.first(reply->fixed), outcome.reply)) {
      return fail(Errc::protocol_violation, "a reply holds fields that this version does not know");
    }
    if (outcome.trailing > trailing.size()) {
      return fail(Errc::invalid_argument, "the reply's trailing bytes are longer than the buffer for them");
    }
    std::ranges::copy(body.subspan(reply->fixed, outcome.trailing), trailing.begin());
    return outcome;
  }

  Channel* channel_;
};

}  // namespace isthmus::marshal
