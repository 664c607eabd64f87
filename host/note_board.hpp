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

  /// Nothing where as many are left as may be.
  [[nodiscard]] std::optional<Name> pin(Holder holder, std::span<const std::byte> bytes, UniqueFd descriptor) {
    std::size_t& held = held_[holder];
    const bool has_descriptor = static_cast<bool>(descriptor);
    Name name{};
    if (bytes.size() > plugin::Notes::most_bytes || held >= plugin::Notes::most_notes ||
        (has_descriptor && descriptors_ >= plugin::Notes::most_descriptors) ||
        getrandom(name.data(), name.size(), 0) != static_cast<ssize_t>(name.size())) {
      return std::nullopt;
    }
    ++held;
    descriptors_ += has_descriptor ? 1 : 0;
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
    --held_[holder];
    descriptors_ -= found->second.descriptor ? 1 : 0;
    notes_.erase(found);
    return true;
  }
  /// The holder is gone, and what it left.
  void forget(Holder holder) {
    std::erase_if(notes_, [&](const auto& entry) {
      const bool is_its = entry.second.holder == holder;
      descriptors_ -= is_its && entry.second.descriptor ? 1 : 0;
      return is_its;
    });
    held_.erase(holder);
  }
  [[nodiscard]] std::size_t size() const noexcept { return notes_.size(); }

 private:
  std::map<Name, Note> notes_;
  std::map<Holder, std::size_t> held_;  // notes
  std::size_t descriptors_ = 0;
};

}  // namespace isthmus::host
