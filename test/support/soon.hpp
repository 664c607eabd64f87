// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <thread>

namespace isthmus::test {

/// Looks at intervals whether `done()` holds, for so long at most; returns as soon as it does. The usual limit is for
/// what has to come, on a machine too that is slow or stalls. Any thread.
template <class Done>
[[nodiscard]] bool soon(const Done& done, std::chrono::milliseconds limit = std::chrono::seconds(30),
                        std::chrono::microseconds interval = std::chrono::milliseconds(1)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (; !done(); std::this_thread::sleep_for(interval)) {
    if (std::chrono::steady_clock::now() >= deadline) {
      return false;
    }
  }
  return true;
}

}  // namespace isthmus::test
