// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "src/transport/single_threaded.hpp"
#include "src/transport/spin.hpp"

namespace isthmus {

/// A lock that one thread takes all the time and others hardly ever: one read-modify-write where nobody else holds it,
/// and none as long as the process has a single thread. Whoever has to wait sleeps a little, for no waiter is known to
/// the holder; so nothing that takes long, and nothing that blocks, may be done under it. Satisfies BasicLockable.
class CacheLock {
 public:
  CacheLock() = default;
  CacheLock(const CacheLock&) = delete;
  CacheLock& operator=(const CacheLock&) = delete;
  CacheLock(CacheLock&&) = delete;
  CacheLock& operator=(CacheLock&&) = delete;
  ~CacheLock() = default;

  void lock() noexcept {
    if (single_threaded()) {
      held_.store(true, std::memory_order_relaxed);
    } else if (held_.exchange(true, std::memory_order_acquire)) {  // L1: acquires L2
      wait();
    }
  }
  void unlock() noexcept { held_.store(false, std::memory_order_release); }  // L2

 private:
  void wait() noexcept {
    constexpr int spins = 128;
    do {
      for (int i = 0; i < spins && held_.load(std::memory_order_relaxed); ++i) {
        spin_pause();
      }
      if (held_.load(std::memory_order_relaxed)) {
        // Not a yield: to a holder of lower real-time priority that gives nothing.
        std::this_thread::sleep_for(std::chrono::microseconds(20));
      }
    } while (held_.exchange(true, std::memory_order_acquire));  // L1
  }

  std::atomic<bool> held_{false};
};

}  // namespace isthmus
