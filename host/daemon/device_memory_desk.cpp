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
                                   std::function<void(std::string_view)> broken, std::chrono::milliseconds patience)
    : loop_(&loop),
      account_(std::move(account)),
      socket_(std::move(socket)),
      broken_(std::move(broken)),
      patience_(patience) {
  if (auto added = loop_->add(socket_.get(), EPOLLIN, [this](std::uint32_t) { hear(); })) {
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
  stop_waiting();
  if (token_) {
    loop_->remove(*std::exchange(token_, std::nullopt));
  }
}

void DeviceMemoryDesk::turn_away(std::string_view why) {
  close();
  broken_(why);
}

void DeviceMemoryDesk::hear() {
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
  if (patience_token_) {
    turn_away("it asked for device memory before it had its last answer");
    return;
  }
  bool granted = true;
  switch (request.want) {
    case wire::MemoryWish::ask:
      break;
    case wire::MemoryWish::take:
      granted = account_->take(this, request.bytes);
      if (!granted && account_->will_have(this, request.bytes)) {
        wait_for(request.bytes);
        return;
      }
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
  answer(granted);
}

void DeviceMemoryDesk::wait_for(std::uint64_t bytes) {
  wanted_ = bytes;
  account_->wait(this, [this] { look_again(); });
  patience_token_ = loop_->call_after(patience_, [this] {
    stop_waiting();
    answer(false);
  });
}

void DeviceMemoryDesk::look_again() {
  const bool granted = account_->take(this, wanted_);
  if (granted || !account_->will_have(this, wanted_)) {
    stop_waiting();
    answer(granted);
  }
}

void DeviceMemoryDesk::stop_waiting() {
  account_->stop_waiting(this);
  if (patience_token_) {
    loop_->remove(*std::exchange(patience_token_, std::nullopt));
  }
}

void DeviceMemoryDesk::answer(bool granted) {
  const wire::MemoryAnswer message{.granted = granted ? 1U : 0U,
                                   .total = account_->total(),
                                   .used = account_->used(),
                                   .per_context = account_->per_context()};
  // Who does not take its answers gets no more of them, and waits for ever.
  std::ignore = send(socket_.get(), &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace isthmus::host
