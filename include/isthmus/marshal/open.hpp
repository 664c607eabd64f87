// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isthmus/marshal/api.hpp"
#include "isthmus/marshal/client.hpp"
#include "isthmus/marshal/negotiation.hpp"
#include "isthmus/marshal/trailing.hpp"
#include "isthmus/service.hpp"

namespace isthmus::marshal {

/// An API that the worker offers, on one channel. As thread-bound as the channel is; cheap to copy.
template <ApiDescriptor A>
class Opened {
 public:
  using Api = A;
  using Clock = Client::Clock;

  /// As Client::call, for messages of this API. Errors: also unsupported (the worker's minor version does not know the
  /// message; nothing was sent).
  template <MessageKind M>
    requires(A::Messages::template contain<M>)
  [[nodiscard]] Result<Outcome<M>> call(const typename M::Request& request, std::span<const std::byte> trailing = {},
                                        std::span<std::byte> reply_trailing = {},
                                        Clock::time_point deadline = Channel::no_deadline) {
    if (since<M> > agreed_.minor) {
      return std::unexpected(too_old(since<M>));
    }
    return client_.template call<M>(request, trailing, reply_trailing, deadline);
  }
  /// As Client::post, with the same addition.
  template <MessageKind M>
    requires(A::Messages::template contain<M>)
  [[nodiscard]] Result<void> post(const typename M::Request& request, std::span<const std::byte> trailing = {}) {
    if (since<M> > agreed_.minor) {
      return std::unexpected(too_old(since<M>));
    }
    return client_.template post<M>(request, trailing);
  }
  template <MessageKind M>
    requires(A::Messages::template contain<M>)
  [[nodiscard]] Result<void> post(const typename M::Request& request, std::vector<Frame>&& frames,
                                  std::span<const std::byte> trailing = {}) {
    if (since<M> > agreed_.minor) {
      return std::unexpected(too_old(since<M>));
    }
    return client_.template post<M>(request, std::move(frames), trailing);
  }

  /// The same API on another channel of the same lane, for another thread: no round trip, because a lane has one
  /// worker.
  [[nodiscard]] Opened on(Channel& other) const noexcept { return Opened(other, agreed_); }

  /// The minor version that both sides know.
  [[nodiscard]] std::uint16_t minor() const noexcept { return agreed_.minor; }
  /// The feature bits that both sides have.
  [[nodiscard]] std::uint64_t features() const noexcept { return agreed_.features; }
  [[nodiscard]] bool has(std::uint64_t feature_bits) const noexcept {
    return (agreed_.features & feature_bits) == feature_bits;
  }

 private:
  template <ApiDescriptor B>
  friend Result<Opened<B>> open(Channel& channel, Client::Clock::time_point deadline);

  Opened(Channel& channel, const ApiVersion& agreed) noexcept : client_(channel), agreed_(agreed) {}

  [[nodiscard]] Error too_old(std::uint16_t needed) const {
    return {Errc::unsupported, std::string("API ").append(A::name) + ": this message came with minor version " +
                                   std::to_string(needed) + ", the worker speaks " + std::to_string(agreed_.minor) +
                                   "; update the host, or do without it"};
  }

  Client client_;
  ApiVersion agreed_;
};

namespace detail {

// "it offers probe, opencl", from what the worker sent: for people, so only harmless characters pass.
inline std::string offered_names(std::span<const std::byte> trailing) {
  TrailingReader reader(trailing);
  std::string list;
  const auto count = reader.count(Negotiate::most_names);
  for (std::size_t i = 0; count && i < *count; ++i) {
    const auto name = reader.string(Negotiate::longest_name);
    if (!name || !std::ranges::all_of(*name, [](char c) { return c > ' ' && c <= '~'; })) {
      break;
    }
    list.append(list.empty() ? "it offers " : ", ").append(*name);
  }
  return list.empty() ? "it offers none" : list;
}

inline Error not_offered(std::string_view name, std::span<const std::byte> trailing) {
  return {Errc::not_found, std::string("the worker does not offer API ")
                               .append(name)
                               .append(" (")
                               .append(offered_names(trailing))
                               .append("); ask for plugins = [\"")
                               .append(name)
                               .append("\"] in isthmusd.toml")};
}

}  // namespace detail

/// Asks the worker for an API, by one call. Keep the object: all channels of a lane get the same answer (Opened::on).
/// Errors: not_found (the worker has no such API), version_mismatch (it has another version, or is too old to
/// negotiate), and those of Client::call.
template <ApiDescriptor A>
[[nodiscard]] Result<Opened<A>> open(Channel& channel, Client::Clock::time_point deadline = Channel::no_deadline) {
  constexpr ApiVersion mine = version_of<A>();
  std::array<std::byte, 8 + Negotiate::most_names*(Negotiate::longest_name + 4)> names;
  const auto answer =
      Client(channel).call<Negotiate>({.id = A::id, .reserved = {}, .client = mine}, {}, names, deadline);
  if (!answer) {
    return std::unexpected(answer.error());
  }
  if (answer->status != 0) {
    return fail(Errc::version_mismatch,
                std::string("API ").append(A::name).append(": the worker cannot negotiate (status ") +
                    std::to_string(answer->status) + "); it is of another release: update the host");
  }
  if (answer->reply.offered != 1) {
    return std::unexpected(detail::not_offered(A::name, std::span(names).first(answer->trailing)));
  }
  const auto agreed = agree(A::name, mine, answer->reply.worker);
  if (!agreed) {
    return std::unexpected(agreed.error());
  }
  return Opened<A>(channel, *agreed);
}

}  // namespace isthmus::marshal
