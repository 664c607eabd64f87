// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "isthmus/plugin.hpp"
#include "src/transport/daemon_protocol.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// Leaves and reads notes at isthmusd, over a socket of its own. Any thread; each call is one round trip to the daemon.
class NoteClient final : public plugin::Notes {
 public:
  /// Null where the daemon has given the worker no such socket. To be called before anything else is opened.
  [[nodiscard]] static std::shared_ptr<NoteClient> of_process();

  [[nodiscard]] std::optional<Name> pin(std::span<const std::byte> bytes, int descriptor) override;
  [[nodiscard]] std::optional<Note> read(const Name& name) override;
  void take_down(const Name& name) override;

 private:
  NoteClient() = default;
  struct Answered {
    wire::NoteAnswer answer;
    UniqueFd descriptor;
  };
  // Nothing where it was not done.
  [[nodiscard]] std::optional<Answered> ask(const wire::NoteRequest& request, int descriptor);

  std::mutex mutex_;  // one question at a time
};

}  // namespace isthmus::host
