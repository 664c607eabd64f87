// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <mutex>
#include <vector>

#include "isthmus/abi.hpp"
#include "isthmus/error.hpp"

namespace isthmus {

/// Where replies of deferred calls wait for their twin, which alone may write the reply ring. Any thread.
class ReplyMailbox {
 public:
  struct Letter {
    std::uint16_t opcode = 0;
    abi::MessageHeader header;
    std::vector<std::byte> body;  ///< fixed part, then trailing
  };

  /// `wake` lets the twin look into the mailbox.
  explicit ReplyMailbox(std::function<void()> wake) : wake_(std::move(wake)) {}

  /// Errors: closed.
  [[nodiscard]] Result<void> put(Letter letter) {
    const std::scoped_lock lock(mutex_);
    if (closed_) {
      return fail(Errc::closed, "the channel is closed, or its lane is over");
    }
    letters_.push_back(std::move(letter));
    full_.store(true, std::memory_order_seq_cst);  // W1; wake_ goes on with W2
    wake_();
    return {};
  }

  [[nodiscard]] bool has_letters() const noexcept { return full_.load(std::memory_order_acquire); }  // S3

  [[nodiscard]] std::vector<Letter> take() {
    const std::scoped_lock lock(mutex_);
    full_.store(false, std::memory_order_relaxed);
    return std::exchange(letters_, {});
  }

  /// The twin is going: nobody wakes it any more.
  void close() noexcept {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
  }

 private:
  std::function<void()> wake_;
  std::mutex mutex_;  // guards what follows
  std::vector<Letter> letters_;
  bool closed_ = false;
  std::atomic<bool> full_{false};
};

}  // namespace isthmus
