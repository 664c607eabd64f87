// SPDX-License-Identifier: Apache-2.0
#include "src/transport/descriptor_message.hpp"

#include <sys/socket.h>

#include <array>
#include <cstring>
#include <utility>

namespace isthmus {

bool send_with_descriptors(int socket, std::span<const std::byte> message, std::span<const int> descriptors,
                           int flags) noexcept {
  iovec part{.iov_base = const_cast<std::byte*>(message.data()),  // NOLINT(cppcoreguidelines-pro-type-const-cast): C's
             .iov_len = message.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(most_descriptors * sizeof(int))> ancillary{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!descriptors.empty()) {
    header.msg_control = ancillary.data();
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  return sendmsg(socket, &header, flags) == static_cast<ssize_t>(message.size());
}

DescriptorMessage receive_with_descriptors(int socket, std::span<std::byte> message, int flags) noexcept {
  iovec part{.iov_base = message.data(), .iov_len = message.size()};
  // The kernel closes those for which there is no room.
  alignas(cmsghdr) std::array<char, CMSG_SPACE(most_descriptors * sizeof(int))> ancillary{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = ancillary.data();
  header.msg_controllen = ancillary.size();
  DescriptorMessage received;
  received.bytes = recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC);
  if (received.bytes < 0) {
    return received;
  }
  std::size_t count = 0;
  for (cmsghdr* rights = CMSG_FIRSTHDR(&header); rights != nullptr; rights = CMSG_NXTHDR(&header, rights)) {
    if (rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
      for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= rights->cmsg_len; at += sizeof(int)) {
        int number = -1;
        std::memcpy(&number, CMSG_DATA(rights) + (at - CMSG_LEN(0)), sizeof number);
        UniqueFd one(number);
        if (count < received.descriptors.size()) {
          received.descriptors.at(count++) = std::move(one);
        }
      }
    }
  }
  return received;
}

}  // namespace isthmus
