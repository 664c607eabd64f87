// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <tuple>

#include "isthmus/marshal/message.hpp"
#include "isthmus/upcalls.hpp"

namespace isthmus::opencl {

/// A client that reads no upcalls for so long has lost them; it only harms itself.
inline constexpr std::chrono::seconds upcall_patience{10};

/// Sends an upcall that nobody answers, where the client serves any. Any thread; may wait for room.
template <marshal::MessageKind M>
void tell(const std::shared_ptr<Upcalls>& upcalls, const typename M::Request& fixed) {
  if (upcalls != nullptr) {
    std::ignore = upcalls->post({.api = M::api, .opcode = M::opcode, .fixed = marshal::bytes_of(fixed), .trailing = {}},
                                Channel::Clock::now() + upcall_patience);
  }
}

}  // namespace isthmus::opencl
