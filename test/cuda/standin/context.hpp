// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "test/cuda/standin/stream.hpp"

namespace isthmus::standin {

/// A context: its streams, their order, and the error that it cannot get rid of.
class Context {
 public:
  Context(CUdevice device, unsigned flags, bool primary);

  const CUdevice device;
  const bool primary;
  const unsigned long long id;
  std::atomic<unsigned> flags;
  CUcontext handle = nullptr;  ///< set once, before anybody else sees it
  std::map<CUlimit, std::size_t> limits;
  std::mutex limits_mutex;

  /// `handle` as entry points take it: null is the default stream that the calling function means.
  std::shared_ptr<Stream> stream(CUstream handle);
  std::shared_ptr<Stream> legacy() { return legacy_; }
  std::shared_ptr<Stream> create_stream(unsigned flags, int priority);
  void forget_stream(const std::shared_ptr<Stream>& stream);

  /// After all that is in the stream, and, for the legacy stream, in the blocking ones, and the reverse.
  Done enqueue(Stream& stream, Work work, std::vector<Done> after = {});
  /// The same, but runs also after the context's error.
  Done enqueue_always(Stream& stream, Work work);
  /// What is in the stream now; null where there is nothing.
  Done newest(Stream& stream);

  /// Waits, and fails with the context's error where there is one.
  void wait(const Done& done) const;
  void synchronize();
  /// Whether anything is still to be done.
  bool idle();

  /// Runs a task, unless an earlier one failed and it is not one that always runs. Its failure is the context's from
  /// then on.
  void execute(const Work& work, bool always) noexcept;
  [[nodiscard]] CUresult fault() const noexcept { return fault_.load(); }

  /// Ends its streams, once all is done.
  void close();

 private:
  Done enqueue_task(Stream& stream, Work work, std::vector<Done> after, bool always);
  std::vector<Done> everything();

  std::atomic<CUresult> fault_{CUDA_SUCCESS};
  std::mutex order_;
  std::shared_ptr<Stream> legacy_;
  std::map<std::thread::id, std::shared_ptr<Stream>> per_thread_;
  std::vector<std::shared_ptr<Stream>> created_;
  std::vector<Done> orphans_;  ///< of destroyed streams that are not done
};

/// Thrown by kernels: the context's error from then on.
struct KernelFault {
  CUresult code;
};

}  // namespace isthmus::standin
