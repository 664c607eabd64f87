// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// A process that has connected to an endpoint shm:NAME, as the kernel knows it, not as it says of itself.
struct ShmPeer {
  UniqueFd socket;  ///< SOCK_SEQPACKET, non-blocking, close-on-exec
  UniqueFd pidfd;   ///< readable when the process that connected has ended
  pid_t pid = 0;    ///< at the time of connect(); 0 if it lives in a foreign PID namespace
  uid_t uid = 0;
  gid_t gid = 0;
};

}  // namespace isthmus::host
