// SPDX-License-Identifier: Apache-2.0
#include "test/cuda/standin/stream.hpp"

#include <pthread.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): pthread_sigmask is POSIX, not C++

#include <thread>
#include <utility>

#include "test/cuda/standin/context.hpp"
#include "test/cuda/standin/dawdle.hpp"
#include "test/cuda/standin/settings.hpp"

namespace isthmus::standin {
namespace {

thread_local bool is_driver_thread = false;

unsigned long long next_stream_id() {
  static std::atomic<unsigned long long> last{0};
  return ++last;
}

}  // namespace

bool on_driver_thread() noexcept { return is_driver_thread; }

void Completion::finish() noexcept {
  when_ = std::chrono::steady_clock::now();
  done_.store(true, std::memory_order_release);
  done_.notify_all();
}

Stream::Stream(Context& owner, Kind of, unsigned with, int at)
    : context(owner), kind(of), flags(with), priority(at), id(next_stream_id()) {}

Done Stream::push(Work work, std::vector<Done> after, bool always) {
  auto done = std::make_shared<Completion>();
  last_ = done;
  {
    const std::scoped_lock lock(mutex_);
    tasks_.push_back({std::move(work), std::move(after), done, always});
    if (!started_) {
      started_ = true;
      // Signals are the program's: its own threads shall take them.
      sigset_t all;
      sigset_t before;
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, &before);
      std::thread([self = shared_from_this()] { self->run(); }).detach();
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }
  }
  changed_.notify_one();
  return done;
}

void Stream::close() {
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
  }
  changed_.notify_one();
}

void Stream::run() {
  is_driver_thread = true;
  for (;;) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return closed_ || !tasks_.empty(); });
      if (tasks_.empty()) {
        return;
      }
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    for (const Done& earlier : task.after) {
      earlier->wait();
    }
    dawdle(settings().delay_us);  // real devices take their time, and not always the same
    context.execute(task.work, task.always);
    task.work = nullptr;  // what it holds goes before those who wait see the end
    task.done->finish();
  }
}

}  // namespace isthmus::standin
