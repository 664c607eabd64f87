// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "isthmus/lane.hpp"
#include "perf/support/participant.hpp"

namespace isthmus::perf {

/// Many threads that call at the same time, each its own peer, for as long as a round lasts; they may run anywhere.
class ThreadCalls final : public Participant {
 public:
  /// `make` is run by each thread, with the thread's number, and gives the function that makes one call.
  ThreadCalls(std::uint32_t threads, const std::function<std::function<void()>(std::uint32_t)>& make);
  ThreadCalls(const ThreadCalls&) = delete;
  ThreadCalls& operator=(const ThreadCalls&) = delete;
  ThreadCalls(ThreadCalls&&) = delete;
  ThreadCalls& operator=(ThreadCalls&&) = delete;
  ~ThreadCalls() override;

  void call(std::uint32_t count) override;
  /// Runs for a while, and says how long `calls` calls took on average.
  std::chrono::nanoseconds round(std::uint32_t calls) override;

 private:
  static constexpr std::uint32_t end = ~0U;

  void run(const std::function<void()>& one_call);
  [[nodiscard]] std::uint64_t calls_in(std::chrono::nanoseconds time);

  std::atomic<std::uint32_t> round_{0};  // odd: the threads call; even: they rest
  std::atomic<std::uint32_t> resting_{0};
  std::atomic<std::uint64_t> calls_{0};
  std::vector<std::thread> threads_;
};

/// Threads of a lane, each with its channel.
[[nodiscard]] std::unique_ptr<ThreadCalls> channel_thread_calls(Lane& lane, std::uint32_t threads);

/// As many pairs of threads in two processes over the same rings, which never look twice: who finds nothing arms and
/// blocks. Otherwise an Isthmus channel with nothing around it.
class BlockingPairs {
 public:
  explicit BlockingPairs(std::uint32_t pairs);
  BlockingPairs(const BlockingPairs&) = delete;
  BlockingPairs& operator=(const BlockingPairs&) = delete;
  BlockingPairs(BlockingPairs&&) = delete;
  BlockingPairs& operator=(BlockingPairs&&) = delete;
  ~BlockingPairs();

  [[nodiscard]] ThreadCalls& clients() noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace isthmus::perf
