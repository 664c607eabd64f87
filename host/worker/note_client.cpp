// SPDX-License-Identifier: Apache-2.0
#include "host/worker/note_client.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <tuple>

#include "src/transport/descriptor_message.hpp"

namespace isthmus::host {

std::shared_ptr<NoteClient> NoteClient::of_process() {
  if (fcntl(wire::worker_note_fd, F_GETFD) == -1) {
    return nullptr;
  }
  return std::shared_ptr<NoteClient>(new NoteClient());
}

// Without an answer isthmusd is gone, and the worker will be in a moment.
std::optional<NoteClient::Answered> NoteClient::ask(const wire::NoteRequest& request, int descriptor) {
  Answered answered;
  const std::scoped_lock lock(mutex_);
  if (!send_with_descriptor(wire::worker_note_fd, std::as_bytes(std::span(&request, 1)), descriptor, MSG_NOSIGNAL)) {
    return std::nullopt;
  }
  DescriptorMessage received;
  do {
    received = receive_with_descriptors(wire::worker_note_fd, std::as_writable_bytes(std::span(&answered.answer, 1)),
                                        MSG_TRUNC);
  } while (received.bytes < 0 && errno == EINTR);
  const wire::NoteAnswer& answer = answered.answer;
  if (received.bytes != static_cast<ssize_t>(sizeof answer) || answer.magic != wire::hello_magic || answer.done != 1 ||
      answer.size > answer.bytes.size()) {
    return std::nullopt;
  }
  answered.descriptor = std::move(received.descriptors.front());
  return answered;
}

std::optional<plugin::Notes::Name> NoteClient::pin(std::span<const std::byte> bytes, int descriptor) {
  wire::NoteRequest request{.want = wire::NoteWish::pin, .size = bytes.size()};
  if (bytes.size() > request.bytes.size()) {
    return std::nullopt;
  }
  std::ranges::copy(bytes, request.bytes.begin());
  const auto answered = ask(request, descriptor);
  return answered ? std::optional(answered->answer.name) : std::nullopt;
}

std::optional<plugin::Notes::Note> NoteClient::read(const Name& name) {
  auto answered = ask({.want = wire::NoteWish::read, .name = name}, -1);
  if (!answered) {
    return std::nullopt;
  }
  const auto bytes = std::span(answered->answer.bytes).first(answered->answer.size);
  return Note{.bytes = std::vector<std::byte>(bytes.begin(), bytes.end()),
              .descriptor = answered->descriptor.release()};
}

void NoteClient::take_down(const Name& name) {
  std::ignore = ask({.want = wire::NoteWish::take_down, .name = name}, -1);
}

}  // namespace isthmus::host
