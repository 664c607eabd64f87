// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "isthmus/marshal/message.hpp"
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
  /// The way back to the client; empty when it serves no upcalls.
  [[nodiscard]] std::shared_ptr<Upcalls> upcalls() const noexcept { return request_->upcalls(); }

 private:
  Request* request_;
  std::span<const std::byte> reply_trailing_;
};

/// A Service that knows kinds of messages and hands each to its function. To be filled before serving; then any thread.
class Dispatcher final : public Service {
 public:
  /// Registers the function for one kind: Reply or an error status (not 0), from the request and the call. It is called
  /// by many threads at the same time. A kind registered twice keeps the last function.
  template <MessageKind M, class F>
    requires std::is_invocable_r_v<std::expected<typename M::Reply, std::int32_t>, F&, const typename M::Request&,
                                   Call&>
  void on(F function) {
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

  void handle(Request& request) override {
    const auto found = handlers_.find(key(request.api(), request.opcode()));
    if (found != handlers_.end()) {
      found->second(request);
    }
  }

 private:
  [[nodiscard]] static std::uint32_t key(std::uint16_t api, std::uint16_t opcode) noexcept {
    return std::uint32_t{api} << 16 | opcode;
  }

  std::unordered_map<std::uint32_t, std::move_only_function<void(Request&)>> handlers_;
};

}  // namespace isthmus::marshal
