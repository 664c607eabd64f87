// SPDX-License-Identifier: Apache-2.0
#include "host/worker/device_memory_client.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <tuple>

namespace isthmus::host {

std::shared_ptr<DeviceMemoryClient> DeviceMemoryClient::of_process() {
  if (fcntl(wire::worker_memory_fd, F_GETFD) == -1) {
    return nullptr;
  }
  return std::shared_ptr<DeviceMemoryClient>(new DeviceMemoryClient());
}

// Without an answer isthmusd is gone, and the worker will be in a moment.
std::optional<wire::MemoryAnswer> DeviceMemoryClient::ask(wire::MemoryWish want, std::uint64_t bytes) {
  const wire::MemoryRequest request{.want = want, .bytes = bytes};
  wire::MemoryAnswer answer;
  const std::scoped_lock lock(mutex_);
  if (send(wire::worker_memory_fd, &request, sizeof request, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof request)) {
    return std::nullopt;
  }
  ssize_t got = 0;
  do {
    got = recv(wire::worker_memory_fd, &answer, sizeof answer, 0);
  } while (got < 0 && errno == EINTR);
  return got == static_cast<ssize_t>(sizeof answer) && answer.magic == wire::hello_magic ? std::optional(answer)
                                                                                         : std::nullopt;
}

bool DeviceMemoryClient::take(std::uint64_t bytes) {
  const auto answer = ask(wire::MemoryWish::take, bytes);
  return answer && answer->granted == 1;
}

void DeviceMemoryClient::give(std::uint64_t bytes) { std::ignore = ask(wire::MemoryWish::give, bytes); }

plugin::DeviceMemory::State DeviceMemoryClient::state() {
  const auto answer = ask(wire::MemoryWish::ask, 0);
  return answer ? State{.total = answer->total, .used = answer->used, .per_context = answer->per_context} : State{};
}

}  // namespace isthmus::host
