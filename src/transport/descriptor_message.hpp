// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>

#include "src/transport/unique_fd.hpp"

namespace isthmus {

/// sendmsg() of one datagram, with a copy of a descriptor unless that is -1. Whether all of it was sent; else errno
/// says why.
[[nodiscard]] bool send_with_descriptor(int socket, std::span<const std::byte> message, int descriptor,
                                        int flags) noexcept;

struct DescriptorMessage {
  ssize_t bytes = -1;   ///< of the datagram, also of what did not fit; -1: errno says why
  UniqueFd descriptor;  ///< the first that came along
};
/// recvmsg() of one datagram into `message`. Of the descriptors that came along all but the first are closed.
[[nodiscard]] DescriptorMessage receive_with_descriptor(int socket, std::span<std::byte> message, int flags) noexcept;

}  // namespace isthmus
