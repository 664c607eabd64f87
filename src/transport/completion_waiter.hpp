// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "isthmus/error.hpp"
#include "src/transport/process_mark.hpp"
#include "src/transport/ring_consumer.hpp"

namespace isthmus {

/// A client's thread that waits for replies on behalf of channels whose owners wait elsewhere (in an epoll loop), and
/// makes their eventfds readable. One for each lane, started when the first channel asks for a descriptor. Any thread.
class CompletionWaiter {
 public:
  /// What an armed channel waits for. The words must stay mapped until disarm().
  struct Watch {
    std::uint32_t channel = 0;
    RingHead reply;
    SharedWord<std::uint32_t>* doorbell = nullptr;  ///< futex that the host rings; none: look at intervals
    std::uint32_t ticket = 0;                       ///< its count before the waiter's last look
    int eventfd = -1;
  };

  /// `check` is called now and then; once it fails, every armed channel is woken, to learn why. Throws
  /// std::system_error when there is no thread to be had.
  explicit CompletionWaiter(std::function<Result<void>()> check);
  CompletionWaiter(const CompletionWaiter&) = delete;
  CompletionWaiter& operator=(const CompletionWaiter&) = delete;
  CompletionWaiter(CompletionWaiter&&) = delete;
  CompletionWaiter& operator=(CompletionWaiter&&) = delete;
  /// Stops and joins the thread.
  ~CompletionWaiter();

  /// Has the eventfd written once the reply is there. It fires once; arm again after that.
  void arm(const Watch& watch);
  /// Forgets the channel's watch; afterwards the waiter touches neither its words nor its eventfd.
  void disarm(std::uint32_t channel) noexcept;

 private:
  void run();
  void poke() noexcept;
  void wait(const std::vector<Watch>& watches, std::uint32_t ticket, std::chrono::nanoseconds interval) noexcept;

  std::function<Result<void>()> check_;
  std::mutex mutex_;  // guards what follows
  std::vector<Watch> watches_;
  bool stop_ = false;
  std::atomic<std::uint32_t> changed_{0};  // futex: watches_ or stop_ changed
  ProcessMark mark_ = ProcessMark::current();
  std::unique_ptr<std::thread> thread_;
};

}  // namespace isthmus
