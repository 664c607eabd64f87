// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <bit>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "test/cuda/standin/failure.hpp"

namespace isthmus::standin {

/// Objects of one kind by handle. A handle is no address of anything (whoever follows one crashes), names its kind, and
/// is never given out twice: stale and foreign ones are found. Any thread.
template <class Handle, class T>
class Handles {
 public:
  /// `kind`: a number of its own for each table; below 256.
  explicit Handles(std::uint64_t kind) : base_(0x00c0'0000'0000'0000 | kind << 40U) {}

  Handle add(std::shared_ptr<T> object) {
    const std::scoped_lock lock(mutex_);
    last_ += 16;
    objects_.emplace(base_ | last_, std::move(object));
    return std::bit_cast<Handle>(base_ | last_);
  }

  /// Null where there is none.
  [[nodiscard]] std::shared_ptr<T> find(Handle handle) const {
    const std::scoped_lock lock(mutex_);
    const auto found = objects_.find(std::bit_cast<std::uint64_t>(handle));
    return found == objects_.end() ? nullptr : found->second;
  }

  /// Also called for the check alone.
  std::shared_ptr<T> get(Handle handle, CUresult otherwise = CUDA_ERROR_INVALID_HANDLE) const {
    auto object = find(handle);
    require(object != nullptr, otherwise, "no such handle");
    return object;
  }

  std::shared_ptr<T> take(Handle handle, CUresult otherwise = CUDA_ERROR_INVALID_HANDLE) {
    const std::scoped_lock lock(mutex_);
    const auto found = objects_.find(std::bit_cast<std::uint64_t>(handle));
    require(found != objects_.end(), otherwise, "no such handle");
    auto object = std::move(found->second);
    objects_.erase(found);
    return object;
  }

  void each(const std::function<void(T&)>& visit) const {
    const std::scoped_lock lock(mutex_);
    for (const auto& [handle, object] : objects_) {
      visit(*object);
    }
  }

  /// Forgets every object of which `belongs` is true.
  void drop(const std::function<bool(const T&)>& belongs) {
    std::vector<std::shared_ptr<T>> dropped;  // destroyed without the lock
    const std::scoped_lock lock(mutex_);
    for (auto at = objects_.begin(); at != objects_.end();) {
      if (belongs(*at->second)) {
        dropped.push_back(std::move(at->second));
        at = objects_.erase(at);
      } else {
        ++at;
      }
    }
  }

 private:
  std::uint64_t base_;
  std::uint64_t last_ = 0;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<T>> objects_;
};

}  // namespace isthmus::standin
