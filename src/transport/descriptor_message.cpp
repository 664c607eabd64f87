// SPDX-License-Identifier: Apache-2.0
#include "src/transport/descriptor_message.hpp"

#include <sys/socket.h>

#include <array>
#include <cstring>

namespace isthmus {

bool send_with_descriptor(int socket, std::span<const std::byte> message, int descriptor, int flags) noexcept {
  iovec part{.iov_base = const_cast<std::byte*>(message.data()),  // NOLINT(cppcoreguidelines-pro-type-const-cast): C's
             .iov_len = message.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof descriptor)> ancillary{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (descriptor >= 0) {
    header.msg_control = ancillary.data();
    header.msg_controllen = ancillary.size();
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
  }
  return sendmsg(socket, &header, flags) == static_cast<ssize_t>(message.size());
}

DescriptorMessage receive_with_descriptor(int socket, std::span<std::byte> message, int flags) noexcept {
  iovec part{.iov_base = message.data(), .iov_len = message.size()};
  // The kernel closes those for which there is no room.
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> ancillary{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = ancillary.data();
  header.msg_controllen = ancillary.size();
  DescriptorMessage received{.bytes = recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC | MSG_TRUNC), .descriptor = {}};
  if (received.bytes < 0) {
    return received;
  }
  for (cmsghdr* rights = CMSG_FIRSTHDR(&header); rights != nullptr; rights = CMSG_NXTHDR(&header, rights)) {
    if (rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
      // Padding makes room for two.
      for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= rights->cmsg_len; at += sizeof(int)) {
        UniqueFd one;
        int number = -1;
        std::memcpy(&number, CMSG_DATA(rights) + (at - CMSG_LEN(0)), sizeof number);
        one.reset(number);
        if (!received.descriptor) {
          received.descriptor = std::move(one);
        }
      }
    }
  }
  return received;
}

}  // namespace isthmus
