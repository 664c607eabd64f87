// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <type_traits>
#include <unordered_map>

#include "guest/cuda/context_stack.hpp"
#include "guest/cuda/managed_variables.hpp"
#include "guest/cuda/work_count.hpp"
#include "isthmus/lane.hpp"
#include "isthmus/marshal/client.hpp"
#include "isthmus/marshal/dispatcher.hpp"
#include "isthmus/marshal/open.hpp"
#include "src/gpu/cuda/cu.hpp"
#include "src/gpu/cuda/messages.hpp"

namespace isthmus::cuda {

template <class T>
using Expected = std::expected<T, CUresult>;

/// The process's lane to its backend. Any thread.
class Connection {
 public:
  /// Attaches to the endpoint that the environment variable ISTHMUS_ENDPOINT names (ivshmem:auto without it). With
  /// ISTHMUS_LOG set, the reason of a failure goes to stderr, once. Errors: CUDA_ERROR_NO_DEVICE.
  [[nodiscard]] static Expected<std::unique_ptr<Connection>> open();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  Connection(Connection&&) = delete;
  Connection& operator=(Connection&&) = delete;
  ~Connection() = default;

  /// Sends and waits. The code is the backend's; CUDA_ERROR_DEVICE_UNAVAILABLE when the lane is over; and once the
  /// current context has failed, that failure, before anything is sent.
  template <marshal::MessageKind M>
  [[nodiscard]] Expected<marshal::Outcome<M>> call(const typename M::Request& request,
                                                   std::span<const std::byte> trailing = {},
                                                   std::span<std::byte> reply_trailing = {}) {
    if (const CUresult failed = failure(); failed != CUDA_SUCCESS) {
      return std::unexpected(failed);
    }
    return call_anyway<M>(request, trailing, reply_trailing);
  }
  /// As call(), also after the context has failed.
  template <marshal::MessageKind M>
  [[nodiscard]] Expected<marshal::Outcome<M>> call_anyway(const typename M::Request& request,
                                                          std::span<const std::byte> trailing = {},
                                                          std::span<std::byte> reply_trailing = {}) {
    if constexpr (may_give_work<M>) {
      send_managed();
    }
    auto outcome = exchange<M>(request, trailing, reply_trailing);
    if constexpr (may_give_work<M>) {
      work_.note_issued();
    }
    if constexpr (requires { M::reports; }) {
      if (outcome) {
        fetch_managed();
      }
    }
    return outcome;
  }
  /// As call(), for messages without an answer.
  template <marshal::MessageKind M>
  [[nodiscard]] CUresult tell(const typename M::Request& request, std::span<const std::byte> trailing = {}) {
    const auto outcome = call<M>(request, trailing);
    return outcome ? CUDA_SUCCESS : outcome.error();
  }

  /// Sends, and waits only with ISTHMUS_SYNC=1 or CUDA_LAUNCH_BLOCKING=1. The caller has checked everything that the
  /// driver would check at once.
  template <marshal::MessageKind M>
  [[nodiscard]] CUresult post(const typename M::Request& request, std::span<const std::byte> trailing = {}) {
    if (synchronous_) {
      return tell<M>(request, trailing);
    }
    if (const CUresult failed = failure(); failed != CUDA_SUCCESS) {
      return failed;
    }
    if constexpr (may_give_work<M>) {
      send_managed();
    }
    auto channel = lane_.channel();
    if (!channel) {
      return lost(channel.error());
    }
    const auto posted = api_->on(**channel).template post<M>(request, trailing);
    if constexpr (may_give_work<M>) {
      work_.note_issued();
    }
    return posted ? CUDA_SUCCESS : lost(posted.error());
  }
  /// post() where the caller has checked everything, tell() where the driver has to.
  template <marshal::MessageKind M>
  [[nodiscard]] CUresult send(bool checked, const typename M::Request& request,
                              std::span<const std::byte> trailing = {}) {
    return checked ? post<M>(request, trailing) : tell<M>(request, trailing);
  }

  [[nodiscard]] Result<Channel*> channel() { return lane_.channel(); }
  [[nodiscard]] Result<Frame> allocate(std::size_t bytes) { return lane_.allocate(bytes); }
  [[nodiscard]] SlabStatistics slab_statistics() const { return lane_.slab_statistics(); }
  [[nodiscard]] Result<void> map_again(const Frame& frame, std::byte* at) { return lane_.map_again(frame, at); }

  /// What call() would answer before it sends anything, for what is answered without the host.
  [[nodiscard]] CUresult check() {
    if (const CUresult failed = failure(); failed != CUDA_SUCCESS) {
      return failed;
    }
    auto channel = lane_.channel();
    return channel ? CUDA_SUCCESS : lost(channel.error());
  }
  /// What was given to the devices by call() and post(); who sends past them notes it here.
  [[nodiscard]] WorkCount& work() noexcept { return work_; }

  /// Variables that are declared __managed__, whose copies here and there are made alike by call() and post(): before
  /// what may give the devices work, and after what has waited for them. Who sends past them does it himself.
  [[nodiscard]] ManagedVariables& managed() noexcept { return managed_; }
  [[nodiscard]] bool read_managed(Id owner, std::uint64_t address, std::span<std::byte> to);
  void send_managed() {
    if (managed_.any()) {
      send_managed_changes();
    }
  }
  void fetch_managed() {
    if (managed_.any()) {
      fetch_managed_changes();
    }
  }

  /// What the calling thread's context has failed with, for good, or CUDA_SUCCESS.
  [[nodiscard]] CUresult failure() const noexcept {
    const CUresult code = failure_.load(std::memory_order_relaxed);
    return code == CUDA_SUCCESS || failed_context_.load(std::memory_order_relaxed) != ContextStack::mine().top()
               ? CUDA_SUCCESS
               : code;
  }
  /// The context is gone, and its failure with it.
  void forget_failure(Id context) noexcept;
  /// Keeps a code that all later calls in this context answer, if it is one of those. The driver answers it, too; here
  /// it stops posts.
  CUresult note(CUresult code) noexcept;
  /// The driver's code of a status; notes it. Prints the output that the status tells of.
  [[nodiscard]] CUresult code_of(std::int32_t status) noexcept;
  /// Fetches what kernels have printed, and writes it to the program's stdout and stderr, as the driver does: in order
  /// with what the program prints by the C library.
  void print_output() noexcept;
  /// The code for a lane that is over.
  [[nodiscard]] CUresult lost(const Error& error) noexcept;

  /// Registers a function that RunHost runs, in the thread of the upcalls, with the stream's status.
  [[nodiscard]] std::uint64_t expect_function(std::function<void(CUresult)> function);
  void forget_function(std::uint64_t token);

  /// Whether launches are to be waited for (CUDA_LAUNCH_BLOCKING).
  [[nodiscard]] bool launches_block() const noexcept { return launches_block_; }
  [[nodiscard]] const Hello::Reply& host() const noexcept { return host_; }

 private:
  explicit Connection(Lane lane);
  [[nodiscard]] Result<void> start();
  // The messages that are answered when the device is done, without anything but a status.
  template <class M>
  static constexpr bool waits_for_device =
      std::is_same_v<M, SyncContext> || std::is_same_v<M, SyncStream> || std::is_same_v<M, SyncEvent> ||
      std::is_same_v<M, CopySlab> || std::is_same_v<M, CopyBox> || std::is_same_v<M, Quiesce>;
  template <class M, class... Others>
  static constexpr bool is_one_of = (std::is_same_v<M, Others> || ...);
  // Whether a message may make a device use memory. Those that surely do not stand here; of the others it is presumed.
  template <class M>
  static constexpr bool may_give_work =
      !is_one_of<M, Allocate, Free, Quiesce, UseSlab, Query, SyncContext, SyncStream, QueryStream, SyncEvent,
                 QueryEvent, ElapsedTime, CreateStream, CreateEvent, RecordEvent, WaitEvent, Release, CreatePool,
                 FindGlobal, ReadManaged, WriteManaged, ReserveAddresses, FreeAddresses, CreateMemory, MapMemory,
                 UnmapMemory, SetMemoryAccess, ShareMemory, Unshare, OpenMemory, CloseMemory, ShareEvent, OpenEvent,
                 SharePhysical, OpenPhysical, SharePool, OpenPool, SharePoolMemory, OpenPoolMemory>;
  // Sends and waits.
  template <marshal::MessageKind M>
  [[nodiscard]] Expected<marshal::Outcome<M>> exchange(const typename M::Request& request,
                                                       std::span<const std::byte> trailing,
                                                       std::span<std::byte> reply_trailing) {
    auto channel = lane_.channel();
    if (!channel) {
      return std::unexpected(lost(channel.error()));
    }
    if constexpr (waits_for_device<M>) {
      const auto status = await(
          **channel, {.api = M::api, .opcode = M::opcode, .fixed = marshal::bytes_of(request), .trailing = trailing});
      const CUresult code = !status ? status.error() : *status == 0 ? CUDA_SUCCESS : code_of(*status);
      return code == CUDA_SUCCESS ? Expected<marshal::Outcome<M>>() : std::unexpected(code);
    }
    auto outcome = api_->on(**channel).template call<M>(request, trailing, reply_trailing);
    if (!outcome) {
      return std::unexpected(lost(outcome.error()));
    }
    if (outcome->status != 0) {
      const CUresult code = code_of(outcome->status);
      return code == CUDA_SUCCESS ? Expected<marshal::Outcome<M>>() : std::unexpected(code);
    }
    return *outcome;
  }
  void send_managed_changes();
  void fetch_managed_changes();
  // Sends, and polls for the status before it sleeps (DevicePoll).
  [[nodiscard]] Expected<std::int32_t> await(Channel& channel, const Message& message);
  void run_function(std::uint64_t token, CUresult status, bool again);

  Lane lane_;
  marshal::Dispatcher upcalls_;
  std::optional<marshal::Opened<CudaApi>> api_;
  Hello::Reply host_;
  bool synchronous_ = false;
  bool launches_block_ = false;
  std::atomic<CUresult> failure_{CUDA_SUCCESS};  // the first; of failed_context_
  std::atomic<Id> failed_context_{0};
  WorkCount work_;
  ManagedVariables managed_;

  std::mutex output_mutex_;  // held from fetching to writing, so that pieces keep their order

  std::mutex mutex_;  // guards functions_ and last_token_
  std::unordered_map<std::uint64_t, std::shared_ptr<const std::function<void(CUresult)>>> functions_;
  std::uint64_t last_token_ = 0;
};

/// Whether the calling thread runs a host function, where calls are not permitted.
[[nodiscard]] bool in_host_function() noexcept;

}  // namespace isthmus::cuda
