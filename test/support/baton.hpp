// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

namespace isthmus::test {

/// Threads that act in turn: who has the baton acts, then hands it to another. A thread sleeps until its own turn
/// comes, so that a turn costs one wake-up however many threads there are.
class Baton {
 public:
  /// For threads 0 to `threads` - 1, and for that many rounds; thread 0 has it first.
  Baton(unsigned threads, std::uint64_t rounds) : turns_(threads), rounds_(rounds) {}

  /// Waits for thread `me`'s turn: the number of the round, from 0; nothing when all rounds are over.
  std::optional<std::uint64_t> take(unsigned me) {
    std::unique_lock lock(mutex_);
    turns_[me].wait(lock, [&] { return round_ >= rounds_ || holder_ == me; });
    return round_ < rounds_ ? std::optional(round_) : std::nullopt;
  }

  /// Ends the round of who has it.
  void pass(std::uint64_t to) {
    const std::scoped_lock lock(mutex_);
    ++round_;
    holder_ = static_cast<unsigned>(to % turns_.size());
    if (round_ < rounds_) {
      turns_[holder_].notify_one();
      return;
    }
    for (auto& turn : turns_) {
      turn.notify_one();
    }
  }

 private:
  std::mutex mutex_;
  std::vector<std::condition_variable> turns_;
  std::uint64_t rounds_;
  std::uint64_t round_ = 0;
  unsigned holder_ = 0;
};

}  // namespace isthmus::test
