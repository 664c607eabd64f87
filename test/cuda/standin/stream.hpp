// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace isthmus::standin {

class Context;
struct Capture;

/// The end of one task, which others may wait for. Any thread.
class Completion {
 public:
  void finish() noexcept;
  [[nodiscard]] bool done() const noexcept { return done_.load(std::memory_order_acquire); }
  void wait() const noexcept { done_.wait(false, std::memory_order_acquire); }
  /// Only after done().
  [[nodiscard]] std::chrono::steady_clock::time_point when() const noexcept { return when_; }

 private:
  std::atomic<bool> done_{false};
  std::chrono::steady_clock::time_point when_;
};

using Done = std::shared_ptr<Completion>;
using Work = std::function<void()>;

/// Work in its order, on a thread of its own, which comes with the first task. Tasks wait for what they name; as they
/// name only what was there before them, they cannot wait for each other in a circle.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  enum class Kind { legacy, per_thread, created };

  Stream(Context& context, Kind kind, unsigned flags, int priority);

  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() = default;

  /// Only Context calls it, under its lock for order.
  Done push(Work work, std::vector<Done> after, bool always);

  /// No task comes any more; those that are there are done all the same.
  void close();

  /// The newest task's; null before the first. Under the context's lock for order.
  [[nodiscard]] const Done& last() const noexcept { return last_; }

  Context& context;
  const Kind kind;
  const unsigned flags;
  const int priority;
  const unsigned long long id;
  std::shared_ptr<Capture> capture;  ///< under the capture's lock; null where none is going on

  /// Whether it and the legacy stream wait for each other.
  [[nodiscard]] bool blocking() const noexcept { return kind != Kind::legacy && (flags & 1U) == 0; }

 private:
  struct Task {
    Work work;
    std::vector<Done> after;
    Done done;
    bool always = false;  ///< also after the context's error
  };
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  bool closed_ = false;
  bool started_ = false;
  Done last_;
};

/// Whether this thread executes a stream's work: no entry point may be called there.
[[nodiscard]] bool on_driver_thread() noexcept;

}  // namespace isthmus::standin
