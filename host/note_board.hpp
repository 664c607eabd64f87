// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/random.h>

#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "isthmus/plugin.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// The notes that workers of one VM leave for each other (plugin::Notes). One thread, the daemon's loop's.
class NoteBoard {
 public:
  using Name = plugin::Notes::Name;
  /// Whoever leaves notes, as long as it lives: an address of its own.
  using Holder = const void*;
  struct Note {
    Holder holder = nullptr;
    std::vector<std::byte> bytes;
    UniqueFd descriptor;
  };

  /// Nothing where the holder has left as many as it may.
  [[nodiscard]] std::optional<Name> pin(Holder holder, std::span<const std::byte> bytes, UniqueFd descriptor) {
    Held& held = held_[holder];
    const bool has_descriptor = static_cast<bool>(descriptor);
    Name name{};
    if (bytes.size() > plugin::Notes::most_bytes || held.notes >= plugin::Notes::most_notes ||
        (has_descriptor && held.descriptors >= plugin::Notes::most_descriptors) ||
        getrandom(name.data(), name.size(), 0) != static_cast<ssize_t>(name.size())) {
      return std::nullopt;
    }
    ++held.notes;
    held.descriptors += has_descriptor ? 1 : 0;
    notes_.insert_or_assign(name, Note{.holder = holder,
                                       .bytes = std::vector<std::byte>(bytes.begin(), bytes.end()),
                                       .descriptor = std::move(descriptor)});
    return name;
  }
  /// Null where there is none of that name.
  [[nodiscard]] const Note* find(const Name& name) const {
    const auto found = notes_.find(name);
    return found == notes_.end() ? nullptr : &found->second;
  }
  /// False where the holder has left none of that name.
  bool take_down(Holder holder, const Name& name) {
    const auto found = notes_.find(name);
    if (found == notes_.end() || found->second.holder != holder) {
      return false;
    }
    Held& held = held_[holder];
    --held.notes;
    held.descriptors -= found->second.descriptor ? 1 : 0;
    notes_.erase(found);
    return true;
  }
  /// The holder is gone, and what it left.
  void forget(Holder holder) {
    std::erase_if(notes_, [holder](const auto& entry) { return entry.second.holder == holder; });
    held_.erase(holder);
  }
  [[nodiscard]] std::size_t size() const noexcept { return notes_.size(); }

 private:
  struct Held {
    std::size_t notes = 0;
    std::size_t descriptors = 0;
  };
  std::map<Name, Note> notes_;
  std::map<Holder, Held> held_;
};

}  // namespace isthmus::host
