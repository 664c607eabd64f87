// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "guest/cudart/call.hpp"

/// \file
/// Default streams. A function of the runtime has up to two names: `cudaX`, whose stream 0 is the legacy one, and, for
/// programs built with --default-stream per-thread, `cudaX_ptsz` (or `_ptds`, where it has no stream argument).

namespace isthmus::cudart {

/// What stream 0 means under a name that ends in `_ptsz`.
inline cudaStream_t or_per_thread(cudaStream_t stream) { return stream != nullptr ? stream : cudaStreamPerThread; }

/// How a copy or a fill runs.
struct Order {
  enum class Kind {
    blocking,   ///< as the legacy stream does it: the driver's synchronous function
    posted,     ///< in `stream`; the call does not wait
    on_thread,  ///< in the thread's own stream, and the call waits for that
  } kind = Kind::blocking;
  cudaStream_t stream = nullptr;
};

constexpr Order blocking{};
constexpr Order posted(cudaStream_t stream) { return {.kind = Order::Kind::posted, .stream = stream}; }
constexpr Order on_thread{.kind = Order::Kind::on_thread};

/// Runs the one of the driver's two functions that `order` asks for; `later` takes a stream as its last argument.
template <class... Now, class... Later, class... Arguments>
cudaError_t in_order(Order order, CUresult (*now)(Now...), CUresult (*later)(Later...), Arguments... arguments) {
  switch (order.kind) {
    case Order::Kind::blocking:
      return driver(now, arguments...);
    case Order::Kind::posted:
      return driver(later, arguments..., order.stream);
    case Order::Kind::on_thread:
      break;
  }
  const cudaError_t error = driver(later, arguments..., cudaStreamPerThread);
  return error == cudaSuccess ? driver(cuStreamSynchronize, cudaStreamPerThread) : error;
}

}  // namespace isthmus::cudart
