// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace isthmus::test {

/// Ends the program with a text when its scope is not left in time: a hang becomes a failure that says where. The usual
/// limit is far above what any test takes, on machines too that are slow or stall, and below ctest's.
class Watchdog {
 public:
  explicit Watchdog(std::string what, std::chrono::seconds limit = std::chrono::seconds(240))
      : thread_([this, limit, what = std::move(what)] {
          std::unique_lock lock(mutex_);
          if (!left_.wait_for(lock, limit, [this] { return over_; })) {
            std::fprintf(stderr, "watchdog: %s: still not over after %lld s\n", what.c_str(),
                         static_cast<long long>(limit.count()));
            std::abort();
          }
        }) {}
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  Watchdog(Watchdog&&) = delete;
  Watchdog& operator=(Watchdog&&) = delete;
  ~Watchdog() {
    {
      const std::scoped_lock lock(mutex_);
      over_ = true;
    }
    left_.notify_one();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable left_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace isthmus::test
