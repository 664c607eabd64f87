// SPDX-License-Identifier: Apache-2.0
#include "src/transport/doorbell.hpp"

#include "src/transport/futex.hpp"

namespace isthmus {

void Doorbell::ring() noexcept {
  ++rung_;
  if (futex_ != nullptr) {
    // The count must change before the wake: a peer that is about to block compares it (sleeper.hpp).
    static_cast<void>(futex_->fetch_add(1));  // W4
    futex_wake(futex_->address(), FutexScope::machine);
  } else if (pending_ != nullptr) {
    static_cast<void>(pending_->fetch_or(bit_));  // B1
  }
}

}  // namespace isthmus
