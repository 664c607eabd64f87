// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "isthmus/error.hpp"

namespace isthmus {

class ReplyMailbox;

/// A call that its service keeps and answers later, from any thread and in any order (Request::defer()). Move-only. One
/// that is destroyed without an answer is answered with status_unhandled. One thread at a time; may outlive the lane.
class PendingCall {
 public:
  PendingCall(PendingCall&&) noexcept = default;
  PendingCall& operator=(PendingCall&& other) noexcept;
  PendingCall(const PendingCall&) = delete;
  PendingCall& operator=(const PendingCall&) = delete;
  ~PendingCall();

  /// Answers, once; the bytes are copied. Errors: invalid_argument (too long; second answer), closed (the channel or
  /// its lane is over).
  Result<void> reply(std::int32_t status, std::span<const std::byte> fixed = {},
                     std::span<const std::byte> trailing = {});

 private:
  friend class Twin;
  PendingCall(std::shared_ptr<ReplyMailbox> mailbox, std::uint32_t call_id, std::uint16_t api,
              std::uint16_t opcode) noexcept;

  std::shared_ptr<ReplyMailbox> mailbox_;  // empty once answered, or moved from
  std::uint32_t call_id_;
  std::uint16_t api_;
  std::uint16_t opcode_;
};

}  // namespace isthmus
