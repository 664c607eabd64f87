// SPDX-License-Identifier: Apache-2.0
#include "isthmus/pending_call.hpp"

#include <tuple>
#include <utility>

#include "isthmus/service.hpp"
#include "src/transport/reply_mailbox.hpp"
#include "src/transport/text.hpp"

namespace isthmus {

PendingCall::PendingCall(std::shared_ptr<ReplyMailbox> mailbox, std::uint32_t call_id, std::uint16_t api,
                         std::uint16_t opcode) noexcept
    : mailbox_(std::move(mailbox)), call_id_(call_id), api_(api), opcode_(opcode) {}

PendingCall& PendingCall::operator=(PendingCall&& other) noexcept {
  std::swap(mailbox_, other.mailbox_);
  std::swap(call_id_, other.call_id_);
  std::swap(api_, other.api_);
  std::swap(opcode_, other.opcode_);
  return *this;
}

PendingCall::~PendingCall() {
  if (mailbox_ != nullptr) {
    std::ignore = reply(status_unhandled);  // the lane may be over
  }
}

Result<void> PendingCall::reply(std::int32_t status, std::span<const std::byte> fixed,
                                std::span<const std::byte> trailing) {
  if (mailbox_ == nullptr) {
    return fail(Errc::invalid_argument, text("call ", call_id_, ": answered twice"));
  }
  if (fixed.size() + trailing.size() > abi::max_body) {
    return fail(Errc::invalid_argument,
                text("call ", call_id_, ": a reply of ", fixed.size() + trailing.size(), " bytes; ", abi::max_body,
                     " are possible, more goes through a reference"));
  }
  ReplyMailbox::Letter letter{
      .opcode = opcode_,
      .header = {.call_id = call_id_, .api = api_, .fixed = static_cast<std::uint16_t>(fixed.size()), .status = status},
      .body = {fixed.begin(), fixed.end()}};
  letter.body.insert(letter.body.end(), trailing.begin(), trailing.end());
  return std::exchange(mailbox_, nullptr)->put(std::move(letter));
}

}  // namespace isthmus
