// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/device_memory_desk.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <tuple>
#include <utility>

#include "src/transport/daemon_protocol.hpp"

namespace isthmus::host {

DeviceMemoryDesk::DeviceMemoryDesk(EventLoop& loop, std::shared_ptr<DeviceMemoryAccount> account, UniqueFd socket,
                                   std::function<void(std::string_view)> broken)
    : loop_(&loop), account_(std::move(account)), socket_(std::move(socket)), broken_(std::move(broken)) {
  if (auto added = loop_->add(socket_.get(), EPOLLIN, [this](std::uint32_t) { answer(); })) {
    token_ = *added;
  } else {
    socket_.reset();  // the worker is told that there is no memory
  }
}

DeviceMemoryDesk::~DeviceMemoryDesk() {
  close();
  account_->forget(this);
}

void DeviceMemoryDesk::close() {
  if (token_) {
    loop_->remove(*std::exchange(token_, std::nullopt));
  }
}

void DeviceMemoryDesk::turn_away(std::string_view why) {
  close();
  broken_(why);
}

void DeviceMemoryDesk::answer() {
  wire::MemoryRequest request;
  const ssize_t got = recv(socket_.get(), &request, sizeof request, MSG_DONTWAIT | MSG_TRUNC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    return;
  }
  if (got <= 0) {
    close();  // the worker's end is seen elsewhere
    return;
  }
  if (got != static_cast<ssize_t>(sizeof request) || request.magic != wire::hello_magic) {
    turn_away("it sent a malformed request for device memory");
    return;
  }
  bool granted = true;
  switch (request.want) {
    case wire::MemoryWish::ask:
      break;
    case wire::MemoryWish::take:
      granted = account_->take(this, request.bytes);
      break;
    case wire::MemoryWish::give:
      granted = account_->give(this, request.bytes);
      break;
    default:
      turn_away("it sent an unknown request for device memory");
      return;
  }
  if (!granted && request.want == wire::MemoryWish::give) {
    turn_away("it gave back device memory that it did not have");
    return;
  }
  const wire::MemoryAnswer answer{.granted = granted ? 1U : 0U,
                                  .total = account_->total(),
                                  .used = account_->used(),
                                  .per_context = account_->per_context()};
  // Who does not take its answers gets no more of them, and waits for ever.
  std::ignore = send(socket_.get(), &answer, sizeof answer, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace isthmus::host
