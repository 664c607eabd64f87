// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "src/gpu/cuda/message_kind.hpp"

namespace isthmus::cuda {

/// The streams in which a capture was begun that has not ended: it ends with its stream and its context, too. The
/// stream that each thread has of its own counts by thread. Any thread.
class Captures {
 private:
  struct Open {
    Id context = 0;
    Id stream = 0;
    std::thread::id thread;
    std::uint64_t graph = 0;
  };
  [[nodiscard]] static std::thread::id thread_of(const Place& place) {
    return place.stream == per_thread_stream ? std::this_thread::get_id() : std::thread::id();
  }
  [[nodiscard]] static auto is(const Place& place) {
    return [place, thread = thread_of(place)](const Open& open) {
      return open.context == place.context && open.stream == place.stream && open.thread == thread;
    };
  }
  template <class F>
  void forget_if(F is_gone) {
    if (!any()) {
      return;
    }
    const std::scoped_lock lock(mutex_);
    std::erase_if(open_, is_gone);
    count();
  }
  void count() { count_.store(static_cast<std::uint32_t>(open_.size()), std::memory_order_release); }

 public:
  /// Whether there are some; costs a load.
  [[nodiscard]] bool any() const noexcept { return count_.load(std::memory_order_acquire) != 0; }

  /// False where there is one in the stream already, which is not to be ended then because another was refused.
  bool begin(const Place& place) {
    const std::scoped_lock lock(mutex_);
    const bool is_new = std::ranges::none_of(open_, is(place));
    if (is_new) {
      open_.push_back({.context = place.context, .stream = place.stream, .thread = thread_of(place)});
      count();
    }
    return is_new;
  }
  /// Keeps a number with it.
  void name(const Place& place, std::uint64_t graph) {
    const std::scoped_lock lock(mutex_);
    if (const auto found = std::ranges::find_if(open_, is(place)); found != open_.end()) {
      found->graph = graph;
    }
  }
  /// Its number, or nothing where there is none.
  std::optional<std::uint64_t> end(const Place& place) {
    const std::scoped_lock lock(mutex_);
    const auto found = std::ranges::find_if(open_, is(place));
    if (found == open_.end()) {
      return std::nullopt;
    }
    const std::uint64_t graph = found->graph;
    open_.erase(found);
    count();
    return graph;
  }
  void forget_stream(Id stream) {
    forget_if([stream](const Open& open) { return open.stream == stream; });
  }
  void forget_context(Id context) {
    forget_if([context](const Open& open) { return open.context == context; });
  }

 private:
  std::mutex mutex_;
  std::vector<Open> open_;
  std::atomic<std::uint32_t> count_{0};
};

}  // namespace isthmus::cuda
