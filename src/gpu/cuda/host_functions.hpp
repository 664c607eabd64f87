// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "isthmus/upcalls.hpp"
#include "src/gpu/cuda/driver.hpp"

namespace isthmus::cuda {

/// Functions of the client's that stand in streams. The driver's own thread waits in wait_for() while the client runs
/// one; it gives up when the lane is over. Any thread.
class HostFunctions : public std::enable_shared_from_this<HostFunctions> {
 public:
  /// Puts a function into a stream. \pre the stream's context is current
  [[nodiscard]] CUresult launch(const Driver& driver, CUstream stream, std::uint64_t token, bool callback,
                                std::shared_ptr<Upcalls> upcalls);
  /// The client has run it. False where nobody waits for that.
  bool done(std::uint64_t token);
  /// Whoever waits stops waiting.
  void close();

 private:
  struct Ticket;
  static void run(std::unique_ptr<Ticket> ticket, CUresult status);
  static void CUDA_CB on_turn(void* data);
  static void CUDA_CB on_callback(CUstream stream, CUresult status, void* data);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<std::uint64_t, bool> done_;  // by token, of those that were launched
  bool closed_ = false;
};

}  // namespace isthmus::cuda
