// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <span>

#include "src/transport/unique_fd.hpp"

namespace isthmus {

/// How many descriptors come along with a message at most.
inline constexpr std::size_t most_descriptors = 2;

/// sendmsg() of one datagram, with copies of descriptors. Whether all of it was sent; else errno says why.
/// \pre most_descriptors or fewer
[[nodiscard]] bool send_with_descriptors(int socket, std::span<const std::byte> message,
                                         std::span<const int> descriptors, int flags) noexcept;
/// The same with one, or none where that is -1.
[[nodiscard]] inline bool send_with_descriptor(int socket, std::span<const std::byte> message, int descriptor,
                                               int flags) noexcept {
  return send_with_descriptors(socket, message, std::span(&descriptor, descriptor >= 0 ? 1 : 0), flags);
}

struct DescriptorMessage {
  ssize_t bytes = -1;                                  ///< as recvmsg() says; -1: errno says why
  std::array<UniqueFd, most_descriptors> descriptors;  ///< what came along, in order
};
/// recvmsg() of one datagram into `message`. Descriptors are closed on exec; more than most_descriptors are closed.
[[nodiscard]] DescriptorMessage receive_with_descriptors(int socket, std::span<std::byte> message, int flags) noexcept;

}  // namespace isthmus
