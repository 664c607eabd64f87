// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <chrono>
#include <functional>
#include <random>
#include <thread>

namespace isthmus::standin {

/// Waits 0 to `longest` microseconds, at random: what only looks as if it were in order shows.
inline void dawdle(unsigned longest) {
  if (longest == 0) {
    return;
  }
  thread_local std::minstd_rand random(static_cast<unsigned>(std::hash<std::thread::id>{}(std::this_thread::get_id())));
  std::this_thread::sleep_for(std::chrono::microseconds(random() % (longest + 1)));
}

}  // namespace isthmus::standin
