// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "isthmus/marshal/dispatcher.hpp"
#include "src/gpu/opencl/objects.hpp"
#include "src/gpu/task_thread.hpp"

namespace isthmus::opencl {

using gpu::TaskQueue;
using gpu::TaskThread;

template <class T>
using Answer = std::expected<T, std::int32_t>;

/// A failure by OpenCL's code.
[[nodiscard]] inline std::unexpected<std::int32_t> refuse(std::int32_t code) { return std::unexpected(code); }

/// Success or failure by the code of the driver.
[[nodiscard]] inline Answer<Nothing> answer(cl_int code) {
  return code == CL_SUCCESS ? Answer<Nothing>(Nothing{}) : Answer<Nothing>(refuse(code));
}

/// Takes trailing bytes apart. They are the client's words: each step may find that there are not enough.
class Trailing {
 public:
  explicit Trailing(std::span<const std::byte> bytes) noexcept : rest_(bytes) {}

  template <class T>
  [[nodiscard]] std::optional<T> next() noexcept {
    const auto bytes = take(sizeof(T));
    if (!bytes) {
      return std::nullopt;
    }
    T value;
    std::memcpy(&value, bytes->data(), sizeof value);
    return value;
  }
  template <class T>
  [[nodiscard]] std::optional<std::vector<T>> next(std::size_t count) {
    if (count > rest_.size() / sizeof(T)) {
      return std::nullopt;
    }
    std::vector<T> values(count);
    if (count != 0) {
      std::memcpy(values.data(), rest_.data(), count * sizeof(T));
    }
    rest_ = rest_.subspan(count * sizeof(T));
    return values;
  }
  [[nodiscard]] std::optional<std::span<const std::byte>> take(std::size_t size) noexcept {
    if (size > rest_.size()) {
      return std::nullopt;
    }
    const auto bytes = rest_.first(size);
    rest_ = rest_.subspan(size);
    return bytes;
  }
  [[nodiscard]] std::span<const std::byte> rest() const noexcept { return rest_; }

 private:
  std::span<const std::byte> rest_;
};

/// One lane's OpenCL. The handlers are called by many threads; what waits is answered from `soon` or `slow`.
class LaneBackend : public std::enable_shared_from_this<LaneBackend> {
 public:
  LaneBackend() = default;
  LaneBackend(const LaneBackend&) = delete;
  LaneBackend& operator=(const LaneBackend&) = delete;
  LaneBackend(LaneBackend&&) = delete;
  LaneBackend& operator=(LaneBackend&&) = delete;
  /// Releases everything; whatever waits for the client fails.
  ~LaneBackend();

  void add_discovery(marshal::Dispatcher& dispatcher);
  void add_contexts(marshal::Dispatcher& dispatcher);
  void add_memory(marshal::Dispatcher& dispatcher);
  void add_programs(marshal::Dispatcher& dispatcher);
  void add_kernels(marshal::Dispatcher& dispatcher);
  void add_commands(marshal::Dispatcher& dispatcher);
  void add_events(marshal::Dispatcher& dispatcher);
  void add_host_access(marshal::Dispatcher& dispatcher);

 private:
  /// The driver, once somebody has asked for devices; before that it is without devices.
  [[nodiscard]] const Driver* driver() const;
  void load_driver();

  /// A command that was enqueued: to be returned by the function that enqueue() is given.
  using Enqueue =
      std::function<cl_int(const QueueObject& queue, cl_uint waits, const cl_event* events, cl_event* made)>;
  /// Takes `command` apart, has the driver enqueue, and keeps the event. A failure becomes the event's.
  [[nodiscard]] Answer<Nothing> enqueue(const Command& command, Trailing& trailing, const Enqueue& function);
  [[nodiscard]] cl_int try_to_enqueue(const Command& command, Trailing& trailing, const Enqueue& function,
                                      cl_event* made);
  void keep_failed(const Command& command, cl_int code);

  /// Calls `function` with the event's status, later and in another thread, once it has reached `state` or failed.
  [[nodiscard]] cl_int when(cl_event event, cl_int state, std::move_only_function<void(cl_int)> function);
  /// The drivers of these events shall begin.
  void flush_queue_of(cl_event event) const;

  [[nodiscard]] Answer<Query::Reply> query(const Query::Request& request, marshal::Call& call) const;
  [[nodiscard]] cl_int ask(const Query::Request& request, std::size_t size, void* to, std::size_t* needed) const;
  [[nodiscard]] std::optional<std::vector<cl_device_id>> device_ids(const std::vector<std::uint32_t>& numbers) const;
  [[nodiscard]] std::vector<ArgumentKind> arguments_of(cl_kernel kernel) const;
  [[nodiscard]] cl_int set_arguments(KernelObject& kernel, std::uint32_t count, Trailing& trailing,
                                     cl_ulong local_memory, std::vector<std::shared_ptr<MemoryObject>>& used);
  [[nodiscard]] Answer<Nothing> enqueue_kernel(const EnqueueKernel::Request& request, marshal::Call& call);
  [[nodiscard]] Answer<Nothing> host_access(const HostAccess::Request& request, marshal::Call& call);
  [[nodiscard]] Answer<Nothing> wait_for_events(marshal::Call& call);
  [[nodiscard]] Answer<Nothing> build(const BuildProgram::Request& request, marshal::Call& call);
  [[nodiscard]] Answer<CreateProgramFromBinaries::Reply> create_from_binaries(
      const CreateProgramFromBinaries::Request& request, marshal::Call& call, std::vector<std::int32_t>& statuses);

  mutable std::mutex driver_mutex_;  // guards driver_, which is made once and then only read
  std::unique_ptr<Driver> driver_;
  std::string cache_directory_;

  Table<ContextObject> contexts_;
  Table<QueueObject> queues_;
  Table<MemoryObject> memory_;
  Table<ProgramObject> programs_;
  Table<KernelObject> kernels_;
  Table<EventObject> events_;
  Table<EventObject> turns_;  ///< user events of HostAccess

  TaskThread soon_;  ///< answers and upcalls
  TaskThread slow_;  ///< compilers
};

}  // namespace isthmus::opencl
