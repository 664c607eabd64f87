// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "guest/opencl/shared_blocks.hpp"
#include "isthmus/lane.hpp"
#include "isthmus/marshal/client.hpp"
#include "isthmus/marshal/dispatcher.hpp"
#include "src/gpu/opencl/cl.hpp"
#include "src/gpu/opencl/messages.hpp"
#include "src/gpu/task_thread.hpp"

namespace isthmus::opencl {

using gpu::TaskQueue;
using gpu::TaskThread;

template <class T>
using Expected = std::expected<T, cl_int>;

/// What is done at a turn: a copy, which ends soon, or a callback of the application's, which may take its time.
enum class TurnBy : std::uint8_t { copy, callback };

/// The process's lane to its backend. Made once and never destroyed: threads of the application may use it until the
/// process is gone. Any thread.
class Connection {
 public:
  /// The connection, made at the first call that succeeds; null while there is no daemon, and in a child after fork.
  /// The endpoint is the environment variable ISTHMUS_ENDPOINT, or ivshmem:auto. With ISTHMUS_LOG set, the reason of a
  /// failure goes to stderr, once.
  [[nodiscard]] static Connection* open();
  /// The connection, or null where open() has not succeeded.
  [[nodiscard]] static Connection* get() noexcept;

  [[nodiscard]] Id new_id() noexcept { return ids_.fetch_add(1, std::memory_order_relaxed) + 1; }

  /// Sends and waits. The code is the backend's, or CL_OUT_OF_RESOURCES when the lane is over.
  template <marshal::MessageKind M>
  [[nodiscard]] Expected<marshal::Outcome<M>> call(const typename M::Request& request,
                                                   std::span<const std::byte> trailing = {},
                                                   std::span<std::byte> reply_trailing = {}) {
    auto channel = lane_.channel();
    if (!channel) {
      return lost(channel.error());
    }
    auto outcome = marshal::Client(**channel).call<M>(request, trailing, reply_trailing);
    if (!outcome) {
      return lost(outcome.error());
    }
    if (outcome->status != 0) {
      return std::unexpected(code_of(outcome->status));
    }
    return *outcome;
  }

  /// Sends, and waits only with ISTHMUS_SYNC=1. The caller has checked everything.
  template <marshal::MessageKind M>
  [[nodiscard]] cl_int post(const typename M::Request& request, std::span<const std::byte> trailing = {}) {
    if (synchronous_) {
      const auto done = call<M>(request, trailing);
      return done ? CL_SUCCESS : done.error();
    }
    return post_always<M>(request, trailing);
  }
  /// As post(), also with ISTHMUS_SYNC=1: for what is answered by an upcall.
  template <marshal::MessageKind M>
  [[nodiscard]] cl_int post_always(const typename M::Request& request, std::span<const std::byte> trailing = {}) {
    auto channel = lane_.channel();
    if (!channel) {
      return lost(channel.error()).error();
    }
    if (auto posted = marshal::Client(**channel).post<M>(request, trailing); !posted) {
      return lost(posted.error()).error();
    }
    return CL_SUCCESS;
  }

  /// The whole answer to a question to the driver.
  [[nodiscard]] Expected<std::vector<std::byte>> query(Subject subject, std::uint32_t parameter, Id object,
                                                       std::uint64_t detail = 0);

  /// Slab memory. Where it is exhausted, waits a while for buffers whose last commands still run.
  [[nodiscard]] Expected<Frame> allocate(std::size_t bytes);
  /// Keeps a buffer's memory, which is one of them, until the driver is done with it.
  void bury(Id buffer, Frame frame, std::shared_ptr<SharedBlock> block);
  /// Bytes that buffers can have altogether, as seen at the start.
  [[nodiscard]] std::uint64_t memory() const noexcept { return memory_; }

  /// Registers what is to be done at its turn (HostAccess), in a thread of ours.
  void expect_turn(Id turn, std::function<void()> work, TurnBy by);
  void forget_turn(Id turn);
  /// Registers a callback for EventReached; it runs in a thread of ours where callbacks may take long.
  [[nodiscard]] std::uint64_t expect_event(std::function<void(cl_int)> callback);
  void forget_event(std::uint64_t token);
  void run_callback(TaskQueue::Task callback) { callbacks_.push(std::move(callback)); }

  [[nodiscard]] const std::vector<DeviceRow>& devices() const noexcept { return devices_; }
  /// Whether the slab lies at the same address here and in the worker, and the worker's OpenCL can be given pointers.
  [[nodiscard]] bool shares_addresses() const noexcept { return shares_addresses_; }

 private:
  struct Turn {
    std::function<void()> work;
    TurnBy by = TurnBy::copy;
  };
  struct Grave {
    Frame frame;
    std::shared_ptr<SharedBlock> block;
  };

  explicit Connection(Lane lane);
  [[nodiscard]] Result<void> start();
  void compare_addresses();
  void on_turn(const HostTurn::Request& request);
  void on_event(const EventReached::Request& request);
  void on_released(Id id);

  [[nodiscard]] static std::unexpected<cl_int> lost(const Error& error);
  [[nodiscard]] static cl_int code_of(std::int32_t status) noexcept;

  Lane lane_;
  marshal::Dispatcher upcalls_;
  std::atomic<Id> ids_{0};
  bool synchronous_ = false;
  bool shares_addresses_ = false;
  std::uint64_t memory_ = 0;
  std::vector<DeviceRow> devices_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable released_;
  std::unordered_map<Id, Grave> graves_;
  std::unordered_map<Id, Turn> turns_;
  std::unordered_map<std::uint64_t, std::function<void(cl_int)>> watches_;

  TaskThread copies_;
  TaskThread callbacks_;
};

}  // namespace isthmus::opencl
