// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/note_desk.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <tuple>
#include <utility>

#include "src/transport/daemon_protocol.hpp"
#include "src/transport/descriptor_message.hpp"

namespace isthmus::host {

static_assert(plugin::Notes::most_bytes == wire::note_size);
static_assert(sizeof(plugin::Notes::Name) == wire::note_name_size);

NoteDesk::NoteDesk(EventLoop& loop, std::shared_ptr<NoteBoard> board, UniqueFd socket,
                   std::function<void(std::string_view)> broken)
    : loop_(&loop), board_(std::move(board)), socket_(std::move(socket)), broken_(std::move(broken)) {
  if (auto added = loop_->add(socket_.get(), EPOLLIN, [this](std::uint32_t) { answer(); })) {
    token_ = *added;
  } else {
    socket_.reset();  // the worker finds nobody who keeps notes
  }
}

NoteDesk::~NoteDesk() {
  close();
  board_->forget(this);
}

void NoteDesk::close() {
  if (token_) {
    loop_->remove(*std::exchange(token_, std::nullopt));
  }
}

void NoteDesk::answer() {
  wire::NoteRequest request;
  auto received =
      receive_with_descriptors(socket_.get(), std::as_writable_bytes(std::span(&request, 1)), MSG_DONTWAIT | MSG_TRUNC);
  if (received.bytes < 0 && (errno == EAGAIN || errno == EINTR)) {
    return;
  }
  if (received.bytes <= 0) {
    close();  // the worker's end is seen elsewhere
    return;
  }
  bool is_request = received.bytes == static_cast<ssize_t>(sizeof request) && request.magic == wire::hello_magic &&
                    request.size <= request.bytes.size() && request.want >= wire::NoteWish::pin &&
                    request.want <= wire::NoteWish::take_down;
  UniqueFd& given = received.descriptors.front();
  // The last one who closes a socket may wait for what is still to be sent.
  if (struct stat status{}; given && fstat(given.get(), &status) == 0 && S_ISSOCK(status.st_mode)) {
    const linger none{};
    setsockopt(given.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
    is_request = false;
  }
  if (!is_request) {
    close();
    broken_("it sent a malformed request about notes");
    return;
  }
  wire::NoteAnswer answer{.name = request.name};
  int descriptor = -1;
  if (request.want == wire::NoteWish::pin) {
    if (const auto name = board_->pin(this, std::span(request.bytes).first(request.size), std::move(given))) {
      answer.done = 1;
      answer.name = *name;
    }
  } else if (request.want == wire::NoteWish::take_down) {
    answer.done = board_->take_down(this, request.name) ? 1 : 0;
  } else if (const NoteBoard::Note* const note = board_->find(request.name); note != nullptr) {
    answer.done = 1;
    answer.size = note->bytes.size();
    std::ranges::copy(note->bytes, answer.bytes.begin());
    descriptor = note->descriptor.get();
  }
  // Who does not take its answers gets no more of them, and waits for ever.
  std::ignore = send_with_descriptor(socket_.get(), std::as_bytes(std::span(&answer, 1)), descriptor,
                                     MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace isthmus::host
