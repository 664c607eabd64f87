// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): pthread_sigmask is POSIX, not C++

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace isthmus::gpu {

/// Tasks that wait for their thread. May outlive it: what comes after close() is dropped. Any thread.
class TaskQueue {
 public:
  using Task = std::move_only_function<void()>;

  void push(Task task) {
    {
      const std::scoped_lock lock(mutex_);
      if (closed_) {
        return;
      }
      tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
  }

  /// Runs tasks in their order until close().
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return closed_ || !tasks_.empty(); });
      if (closed_) {
        return;
      }
      Task task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      task = nullptr;  // what it holds goes without the lock, too
      lock.lock();
    }
  }

  void close() {
    std::deque<Task> dropped;
    {
      const std::scoped_lock lock(mutex_);
      closed_ = true;
      dropped.swap(tasks_);
    }
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  bool closed_ = false;
};

/// A thread that runs tasks one after the other, with all signals blocked. Drivers call back on threads of their own,
/// often with locks held: what follows from it is done here instead.
class TaskThread {
 public:
  TaskThread() : queue_(std::make_shared<TaskQueue>()), thread_(start(queue_)) {}
  TaskThread(const TaskThread&) = delete;
  TaskThread& operator=(const TaskThread&) = delete;
  TaskThread(TaskThread&&) = delete;
  TaskThread& operator=(TaskThread&&) = delete;
  /// Lets the current task end, and drops the others.
  ~TaskThread() {
    queue_->close();
    thread_.join();
  }

  void push(TaskQueue::Task task) { queue_->push(std::move(task)); }
  /// For callbacks that may come after this object's end.
  [[nodiscard]] const std::shared_ptr<TaskQueue>& queue() const noexcept { return queue_; }

 private:
  static std::thread start(const std::shared_ptr<TaskQueue>& queue) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // a thread inherits what is blocked
    std::thread thread([queue] { queue->run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return thread;
  }

  std::shared_ptr<TaskQueue> queue_;
  std::thread thread_;
};

}  // namespace isthmus::gpu
