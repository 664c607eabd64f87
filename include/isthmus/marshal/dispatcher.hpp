// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "isthmus/error.hpp"
#include "isthmus/marshal/api.hpp"
#include "isthmus/marshal/message.hpp"
#include "isthmus/marshal/negotiation.hpp"
#include "isthmus/marshal/trailing.hpp"
#include "isthmus/service.hpp"

namespace isthmus::marshal {

/// Status of a reply to a request whose fixed part says something that this host does not know.
inline constexpr std::int32_t status_unknown_fields = INT32_MIN + 1;

/// What a handler gets besides the fixed part of its request. Valid while the handler runs.
class Call {
 public:
  explicit Call(Request& request) noexcept : request_(&request) {}

  /// The request's trailing bytes: a private copy.
  [[nodiscard]] std::span<const std::byte> trailing() const noexcept { return request_->trailing(); }
  /// The payload that a reference names, in shared memory; nothing when it lies outside the lane's windows.
  [[nodiscard]] std::optional<std::span<std::byte>> resolve(Reference reference) const noexcept {
    return request_->resolve(reference);
  }
  /// Trailing bytes of the reply; they must stay valid until the handler has returned.
  void reply_trailing(std::span<const std::byte> bytes) noexcept { reply_trailing_ = bytes; }
  [[nodiscard]] std::span<const std::byte> reply_trailing() const noexcept { return reply_trailing_; }

  /// Whether the client waits; a post takes no reply.
  [[nodiscard]] bool wants_reply() const noexcept { return request_->wants_reply(); }
  /// Keeps the call, to be answered later (Request::defer()); what the handler returns is dropped then.
  /// \pre wants_reply(), and it was not called before
  [[nodiscard]] PendingCall defer() { return request_->defer(); }
  /// Keeps the frames that this post names from the client until the hold ends (Request::hold_frames()).
  [[nodiscard]] FrameHold hold_frames() { return request_->hold_frames(); }
  /// The way back to the client; empty when it serves no upcalls.
  [[nodiscard]] std::shared_ptr<Upcalls> upcalls() const noexcept { return request_->upcalls(); }

 private:
  Request* request_;
  std::span<const std::byte> reply_trailing_;
};

/// Whether an object has a function for that kind: Reply or an error status (not 0), from the request and the call.
template <class B, class M>
concept Handles = MessageKind<M> && requires(B& backend, const typename M::Request& request, Call& call) {
  { backend.handle(request, call) } -> std::convertible_to<std::expected<typename M::Reply, std::int32_t>>;
};

/// A Service that knows kinds of messages and hands each to its function. To be filled before serving; then any thread.
/// It answers negotiation (marshal::open) for the APIs that were offered; whether a client has negotiated is not asked
/// later, because every message is checked by itself.
class Dispatcher final : public Service {
 public:
  /// Registers the function for one kind: Reply or an error status (not 0), from the request and the call. It is called
  /// by many threads at the same time. A kind registered twice keeps the last function.
  template <MessageKind M, class F>
    requires std::is_invocable_r_v<std::expected<typename M::Reply, std::int32_t>, F&, const typename M::Request&,
                                   Call&>
  void on(F function) {
    static_assert(M::api != negotiation_api, "API 0 is negotiation's own");
    handlers_[key(M::api, M::opcode)] = [function = std::move(function)](Request& request) mutable {
      typename M::Request fixed;
      if (!read_fixed(request.fixed(), fixed)) {
        std::ignore = request.reply(status_unknown_fields);
        return;
      }
      Call call(request);
      const std::expected<typename M::Reply, std::int32_t> reply = function(std::as_const(fixed), call);
      if (reply) {
        std::ignore = request.reply(0, bytes_of(*reply), call.reply_trailing());
      } else {
        std::ignore = request.reply(reply.error());
      }
    };
  }

  /// Offers an API to clients that ask for it; its functions are registered by on(). \pre at most Negotiate::most_names
  /// APIs. One that is offered twice keeps the last version.
  template <ApiDescriptor A>
  void offer() {
    std::erase_if(offers_, [](const Offer& offer) { return offer.id == A::id; });
    offers_.push_back({.id = A::id, .name = std::string(A::name), .version = version_of<A>()});
    write_names();
  }

  /// Offers an API, all of whose messages an object handles by overloads of handle(); it must outlive the dispatcher. A
  /// message without its function does not compile:
  ///
  ///     std::expected<Read::Reply, std::int32_t> handle(const Read::Request& request, marshal::Call& call);
  template <ApiDescriptor A, class B>
  void serve(B& backend) {
    offer<A>();
    A::Messages::each([&self = *this, &backend]<class M>() { self.template serve_message<M>(backend); });
  }

  /// Takes over what another dispatcher serves. Errors: invalid_argument (both have a function for some message, or
  /// offer the same API: nothing is taken over).
  Result<void> merge(Dispatcher&& other) {
    for (const Offer& offer : other.offers_) {
      if (std::ranges::find(offers_, offer.id, &Offer::id) != offers_.end()) {
        return fail(Errc::invalid_argument,
                    "API " + offer.name + " (" + std::to_string(offer.id) + ") is served already");
      }
    }
    for (const auto& [key, function] : other.handlers_) {
      if (handlers_.contains(key)) {
        return fail(Errc::invalid_argument, "message " + std::to_string(key & 0xffff) + " of API " +
                                                std::to_string(key >> 16) + " is served already");
      }
    }
    handlers_.merge(other.handlers_);
    std::ranges::move(other.offers_, std::back_inserter(offers_));
    other.offers_.clear();
    write_names();
    return {};
  }

  /// Whether anything is registered.
  [[nodiscard]] bool empty() const noexcept { return handlers_.empty() && offers_.empty(); }

  void handle(Request& request) override {
    if (request.api() == negotiation_api) {
      negotiate(request);
      return;
    }
    const auto found = handlers_.find(key(request.api(), request.opcode()));
    if (found != handlers_.end()) {
      found->second(request);
    }
  }

 private:
  struct Offer {
    std::uint16_t id = 0;
    std::string name;
    ApiVersion version;
  };

  template <class M, class B>
  void serve_message(B& backend) {
    static_assert(Handles<B, M>, "the object has no handle(const M::Request&, Call&) that returns M::Reply or status");
    on<M>([&backend](const typename M::Request& request, Call& call) -> std::expected<typename M::Reply, std::int32_t> {
      return backend.handle(request, call);
    });
  }

  void negotiate(Request& request) const {
    if (request.opcode() != Negotiate::opcode) {
      return;  // answered with status_unhandled: something of a later release
    }
    Negotiate::Request asked;
    if (!read_fixed(request.fixed(), asked)) {
      std::ignore = request.reply(status_unknown_fields);
      return;
    }
    Negotiate::Reply reply;
    const auto found = std::ranges::find(offers_, asked.id, &Offer::id);
    if (found != offers_.end()) {
      reply = {.offered = 1, .worker = found->version};
    }
    std::ignore = request.reply(0, bytes_of(reply), names_);
  }
  // The trailing bytes of every answer, made beforehand.
  void write_names() {
    std::size_t size = sizeof(std::uint32_t);
    for (const Offer& offer : offers_) {
      size += sizeof(std::uint32_t) + offer.name.size();
    }
    names_.resize(size);
    TrailingWriter writer(names_);
    writer.count(offers_.size());
    for (const Offer& offer : offers_) {
      writer.string(offer.name);
    }
  }

  [[nodiscard]] static std::uint32_t key(std::uint16_t api, std::uint16_t opcode) noexcept {
    return std::uint32_t{api} << 16 | opcode;
  }

  std::unordered_map<std::uint32_t, std::move_only_function<void(Request&)>> handlers_;
  std::vector<Offer> offers_;
  std::vector<std::byte> names_ = std::vector<std::byte>(sizeof(std::uint32_t));  // of an empty list
};

}  // namespace isthmus::marshal
