// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <utility>

namespace isthmus::gpu {

/// The objects of one kind. Names are the client's, which may say anything: one that is in use cannot be taken again,
/// and one that is not known finds nothing. What find() returned stays whole while it is used, whoever releases it.
template <class Object>
class ObjectTable {
 public:
  [[nodiscard]] std::shared_ptr<Object> find(std::uint64_t id) const {
    const std::shared_lock lock(mutex_);
    const auto found = objects_.find(id);
    return found == objects_.end() ? nullptr : found->second;
  }
  [[nodiscard]] bool add(std::uint64_t id, std::shared_ptr<Object> object) {
    const std::scoped_lock lock(mutex_);
    return id != 0 && objects_.try_emplace(id, std::move(object)).second;
  }
  std::shared_ptr<Object> take(std::uint64_t id) {
    const std::scoped_lock lock(mutex_);
    const auto found = objects_.find(id);
    if (found == objects_.end()) {
      return nullptr;
    }
    std::shared_ptr<Object> object = std::move(found->second);
    objects_.erase(found);
    return object;
  }
  /// Lets all go of which `is_gone(object)` says so; it must not use the table.
  template <class F>
  void remove_if(F is_gone) {
    const std::scoped_lock lock(mutex_);
    std::erase_if(objects_, [&](const auto& entry) { return is_gone(*entry.second); });
  }
  /// Runs a function on each; it must not use the table.
  template <class F>
  void each(F function) {
    const std::scoped_lock lock(mutex_);
    for (auto& [id, object] : objects_) {
      function(*object);
    }
  }

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Object>> objects_;
};

}  // namespace isthmus::gpu
