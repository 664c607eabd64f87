// SPDX-License-Identifier: Apache-2.0
#include "perf/support/copy_threads.hpp"

#include <sched.h>

#include "perf/support/placement.hpp"

namespace isthmus::perf {

CopyThreads::CopyThreads(std::uint32_t threads, const std::function<void(std::uint32_t)>& start) {
  for (std::uint32_t number = 1; number < threads; ++number) {
    helpers_.emplace_back([this, start, number] {
      pin_elsewhere(placement().client_cpu);
      start(number);
      done_.fetch_add(1);
      help(number);
    });
  }
  while (done_.load() != helpers_.size()) {
    sched_yield();
  }
}

CopyThreads::~CopyThreads() {
  mode_.store(Mode::end);
  mode_.notify_all();
  for (std::thread& helper : helpers_) {
    helper.join();
  }
}

void CopyThreads::wake() {
  mode_.store(Mode::awake);
  mode_.notify_all();
}

void CopyThreads::rest() { mode_.store(Mode::rest); }

void CopyThreads::run(const std::function<void(std::uint32_t)>& work) {
  work_ = &work;
  done_.store(0, std::memory_order_relaxed);
  job_.fetch_add(1, std::memory_order_release);
  work(0);
  while (done_.load(std::memory_order_acquire) != helpers_.size()) {
    sched_yield();
  }
}

void CopyThreads::help(std::uint32_t number) {
  std::uint32_t seen = job_.load();
  for (;;) {
    const Mode mode = mode_.load(std::memory_order_acquire);
    if (mode == Mode::end) {
      return;
    }
    if (const std::uint32_t job = job_.load(std::memory_order_acquire); job != seen) {
      seen = job;
      (*work_)(number);
      done_.fetch_add(1, std::memory_order_release);
    } else if (mode == Mode::rest) {
      mode_.wait(Mode::rest);
    } else {
      sched_yield();  // a twin may need this processor
    }
  }
}

}  // namespace isthmus::perf
