// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "isthmus/upcalls.hpp"
#include "src/gpu/cuda/driver.hpp"

namespace isthmus::cuda {

/// Puts a function of the client's into a stream (cuLaunchHostFunc), or a callback (cuStreamAddCallback): the stream
/// waits until the client has answered that it ran.
[[nodiscard]] CUresult launch_host_function(const Driver& driver, CUstream stream, std::uint64_t token, bool callback,
                                            std::shared_ptr<Upcalls> upcalls);

/// A function of the client's that a graph runs as often as it is launched. Any thread.
class RepeatedFunction {
 public:
  /// `token` 0: it does nothing.
  RepeatedFunction(std::shared_ptr<Upcalls> upcalls, std::uint64_t token) noexcept;

  /// As the driver wants it.
  [[nodiscard]] CUDA_HOST_NODE_PARAMS node() noexcept;
  /// Has it live as long as the graph, its clones, its executable forms and what is launched of them; then the client
  /// is told. A driver without user objects keeps it to the end of the process.
  static void give_to(const Driver& driver, CUgraph graph, std::unique_ptr<RepeatedFunction> function) noexcept;

  /// Nothing runs it any more: tells the client.
  static void let_go(std::unique_ptr<RepeatedFunction> function) noexcept;

 private:
  static void CUDA_CB run(void* function);
  static void CUDA_CB forget(void* function);

  std::shared_ptr<Upcalls> upcalls_;
  std::uint64_t token_;
};

}  // namespace isthmus::cuda
