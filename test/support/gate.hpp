// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>

namespace isthmus::test {

/// Holds up the work of a device's stream until the test opens it, or ends: `pass` is to be launched there as a host
/// function, with a ticket. Any thread.
class Gate {
 public:
  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  Gate(Gate&&) = delete;
  Gate& operator=(Gate&&) = delete;
  ~Gate() { open(); }

  void open() {
    *opened_ = true;
    opened_->notify_all();
  }
  /// For one call of `pass`, which may come when the gate is gone.
  [[nodiscard]] void* ticket() const { return std::make_unique<Ticket>(opened_).release(); }
  static void pass(void* ticket) {
    const std::unique_ptr<Ticket> opened(static_cast<Ticket*>(ticket));
    (*opened)->wait(false);
  }

 private:
  using Ticket = std::shared_ptr<std::atomic<bool>>;
  Ticket opened_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace isthmus::test
