// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace isthmus::perf {

/// The caller's thread and helpers beside it, on other processors where there are any. Between rounds helpers block.
class CopyThreads {
 public:
  /// `threads` counts the caller. Each helper runs `start` with its number, from 1 on, before anything else.
  CopyThreads(std::uint32_t threads, const std::function<void(std::uint32_t)>& start);
  CopyThreads(const CopyThreads&) = delete;
  CopyThreads& operator=(const CopyThreads&) = delete;
  CopyThreads(CopyThreads&&) = delete;
  CopyThreads& operator=(CopyThreads&&) = delete;
  ~CopyThreads();

  /// Until rest(), helpers look for work without blocking.
  void wake();
  void rest();
  /// Runs it in all threads, with the thread's number (the caller's is 0), and waits for all. \pre wake()
  void run(const std::function<void(std::uint32_t)>& work);

 private:
  enum class Mode : std::uint32_t { rest, awake, end };

  void help(std::uint32_t number);

  std::vector<std::thread> helpers_;
  const std::function<void(std::uint32_t)>* work_ = nullptr;
  std::atomic<Mode> mode_{Mode::rest};
  std::atomic<std::uint32_t> job_{0};
  std::atomic<std::uint32_t> done_{0};
};

}  // namespace isthmus::perf
