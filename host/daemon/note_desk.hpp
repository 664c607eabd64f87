// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "host/event_loop.hpp"
#include "host/note_board.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// Answers one worker's requests about notes (wire::NoteRequest), until it is destroyed: then the worker's notes are
/// gone. What the worker says is not believed. One thread, the loop's.
class NoteDesk {
 public:
  /// `broken` is called when the worker sent what is no request; it must not destroy the object.
  NoteDesk(EventLoop& loop, std::shared_ptr<NoteBoard> board, UniqueFd socket,
           std::function<void(std::string_view why)> broken);
  NoteDesk(const NoteDesk&) = delete;
  NoteDesk& operator=(const NoteDesk&) = delete;
  NoteDesk(NoteDesk&&) = delete;
  NoteDesk& operator=(NoteDesk&&) = delete;
  ~NoteDesk();

 private:
  void answer();
  void close();

  EventLoop* loop_;
  std::shared_ptr<NoteBoard> board_;
  UniqueFd socket_;
  std::function<void(std::string_view)> broken_;
  std::optional<EventLoop::Token> token_;
};

}  // namespace isthmus::host
