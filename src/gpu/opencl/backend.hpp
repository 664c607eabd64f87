// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <vector>

#include "isthmus/marshal/dispatcher.hpp"
#include "isthmus/marshal/trailing.hpp"
#include "src/gpu/opencl/objects.hpp"
#include "src/gpu/task_thread.hpp"

namespace isthmus::opencl {

using gpu::TaskQueue;
using gpu::TaskThread;

template <class T>
using Answer = std::expected<T, std::int32_t>;

/// Added to the options of builds. Without it, drivers need not know a kernel's arguments; a client that asks for the
/// options is told its own.
inline constexpr const char* argument_info_option = " -cl-kernel-arg-info";

/// A failure by OpenCL's code.
[[nodiscard]] inline std::unexpected<std::int32_t> refuse(std::int32_t code) { return std::unexpected(code); }

/// Success or failure by the code of the driver.
[[nodiscard]] inline Answer<Nothing> answer(cl_int code) {
  return code == CL_SUCCESS ? Answer<Nothing>(Nothing{}) : Answer<Nothing>(refuse(code));
}

/// What a command takes from its message's head: its queue, and what it waits for.
struct Place {
  const QueueObject& queue;
  cl_uint waits = 0;
  const cl_event* events = nullptr;  ///< null where there are none, as the API wants it
  cl_event* made = nullptr;          ///< where the driver puts the command's event; null: nobody asked for one
};

/// One lane's OpenCL. The handlers are called by many threads, one for each that calls in the client; where that one
/// waits for a command, so does its handler. Upcalls are sent from `soon`, and compilers run in `slow`.
class LaneBackend : public std::enable_shared_from_this<LaneBackend> {
 public:
  /// \param window the lane's region, as it is mapped in this process
  explicit LaneBackend(std::span<const std::byte> window) : window_(window) {}
  LaneBackend(const LaneBackend&) = delete;
  LaneBackend& operator=(const LaneBackend&) = delete;
  LaneBackend(LaneBackend&&) = delete;
  LaneBackend& operator=(LaneBackend&&) = delete;
  /// Releases everything; whatever waits for the client fails.
  ~LaneBackend();

  void add_discovery(marshal::Dispatcher& dispatcher);
  void add_devices(marshal::Dispatcher& dispatcher);
  void add_contexts(marshal::Dispatcher& dispatcher);
  void add_memory(marshal::Dispatcher& dispatcher);
  void add_images(marshal::Dispatcher& dispatcher);
  void add_programs(marshal::Dispatcher& dispatcher);
  void add_linking(marshal::Dispatcher& dispatcher);
  void add_kernels(marshal::Dispatcher& dispatcher);
  void add_commands(marshal::Dispatcher& dispatcher);
  void add_events(marshal::Dispatcher& dispatcher);
  void add_host_access(marshal::Dispatcher& dispatcher);

 private:
  /// The driver, once somebody has asked for devices; null before that, and where there is none.
  [[nodiscard]] const Driver* driver() const noexcept { return driver_.load(std::memory_order_acquire); }

  /// Registers a command: `function` has the driver enqueue it, and gets this object, the request, what is left of the
  /// trailing bytes behind the events' names, and the place.
  template <marshal::MessageKind M, class F>
  void on_enqueue(marshal::Dispatcher& dispatcher, F function) {
    dispatcher.on<M>([self = shared_from_this(), function](const typename M::Request& request, marshal::Call& call) {
      marshal::TrailingReader trailing(call.trailing());
      return self->enqueue(request.command, trailing,
                           [&](const Place& place) -> cl_int { return function(*self, request, trailing, place); });
    });
  }
  using Enqueue = std::function<cl_int(const Place& place)>;
  /// Takes `command` apart, has the driver enqueue, and keeps the event. A failure becomes the event's.
  [[nodiscard]] Answer<Nothing> enqueue(const Command& command, marshal::TrailingReader& trailing,
                                        const Enqueue& function);
  [[nodiscard]] cl_int try_to_enqueue(const Command& command, marshal::TrailingReader& trailing,
                                      const Enqueue& function, cl_event* made);
  void keep_failed(const Command& command, cl_int code);

  /// Calls `function` with the event's status, later and in another thread, once it has reached `state` or failed.
  [[nodiscard]] cl_int when(cl_event event, cl_int state, std::move_only_function<void(cl_int)> function);
  /// Waits for all of them, in the calling thread: the twin of the one that waits in the client.
  [[nodiscard]] cl_int wait(std::span<const cl_event> events) const;

  [[nodiscard]] Answer<Query::Reply> query(const Query::Request& request, marshal::Call& call) const;
  [[nodiscard]] cl_int ask(const Query::Request& request, std::size_t size, void* to, std::size_t* needed) const;
  /// The driver's devices, and behind them the parts that this lane has made of them.
  [[nodiscard]] std::optional<Driver::Device> device(std::uint64_t number) const;
  [[nodiscard]] std::optional<std::vector<cl_device_id>> device_ids(const std::vector<std::uint32_t>& numbers) const;
  /// The number of a device by the driver's name for it.
  [[nodiscard]] std::optional<std::uint32_t> number_of(cl_device_id id) const;
  /// Numbers of the devices that the driver's context has.
  [[nodiscard]] std::vector<std::uint32_t> devices_in(const ContextObject& context) const;
  [[nodiscard]] Answer<CreateSubDevices::Reply> create_sub_devices(const CreateSubDevices::Request& request,
                                                                   marshal::Call& call);
  [[nodiscard]] std::vector<ArgumentKind> arguments_of(cl_kernel kernel) const;
  [[nodiscard]] cl_int set_object(KernelObject& kernel, const ArgumentRow& row, Id name,
                                  std::vector<std::shared_ptr<void>>& used) const;
  [[nodiscard]] cl_int set_shared(KernelObject& kernel, std::uint32_t index, std::uint64_t address) const;
  [[nodiscard]] cl_int set_arguments(KernelObject& kernel, std::uint32_t count, marshal::TrailingReader& trailing,
                                     cl_ulong local_memory, std::vector<std::shared_ptr<void>>& used);
  [[nodiscard]] cl_int enqueue_kernel(const EnqueueKernel::Request& request, marshal::TrailingReader& trailing,
                                      const Place& place);
  /// Enqueues what is complete when it is the command's turn.
  [[nodiscard]] cl_int begin_turn(const Place& place, cl_event* begun) const;
  [[nodiscard]] Answer<Nothing> host_access(const HostAccess::Request& request, marshal::Call& call);
  [[nodiscard]] Answer<Nothing> wait_for_events(marshal::Call& call);
  [[nodiscard]] Answer<Nothing> create_program(const CreateProgram::Request& request, const marshal::Call& call);
  [[nodiscard]] Answer<Nothing> set_constant(const SetSpecializationConstant::Request& request,
                                             const marshal::Call& call) const;
  [[nodiscard]] Answer<Nothing> build(const BuildProgram::Request& request, marshal::Call& call);
  [[nodiscard]] Answer<CreateProgramFromBinaries::Reply> create_from_binaries(
      const CreateProgramFromBinaries::Request& request, marshal::Call& call, std::vector<std::int32_t>& statuses);

  /// The buffer of that name, if so many bytes from an offset on lie in it.
  [[nodiscard]] Answer<std::shared_ptr<MemoryObject>> range(Id memory, std::uint64_t offset, std::uint64_t size) const;
  /// The same of a buffer or an image.
  [[nodiscard]] Answer<std::shared_ptr<MemoryObject>> any_range(Id memory, std::uint64_t offset,
                                                                std::uint64_t size) const;
  /// The image of that name, if the region of pixels lies in it.
  [[nodiscard]] Answer<std::shared_ptr<MemoryObject>> image_region(Id image, const std::array<std::uint64_t, 3>& origin,
                                                                   const std::array<std::uint64_t, 3>& region) const;
  /// Has the driver map: a range of a buffer, or an image as a whole. Returns where `offset` then lies.
  [[nodiscard]] std::byte* map(const Place& place, const MemoryObject& memory, cl_map_flags flags, std::uint64_t offset,
                               std::uint64_t size, cl_event* made, cl_int& code) const;
  /// Tells the client when the driver is done with the memory.
  void tell_of_release(cl_mem handle, Id id, const marshal::Call& call) const;
  [[nodiscard]] Answer<Nothing> create_image(const CreateImage::Request& request, const marshal::Call& call);
  [[nodiscard]] Answer<std::vector<std::shared_ptr<ProgramObject>>> programs_of(const std::vector<Id>& names) const;
  [[nodiscard]] Answer<Nothing> compile(const CompileProgram::Request& request, marshal::Call& call);
  [[nodiscard]] Answer<LinkProgram::Reply> link(const LinkProgram::Request& request, marshal::Call& call);

  std::span<const std::byte> window_;
  std::atomic<const Driver*> driver_{nullptr};  // the process's

  mutable std::shared_mutex parts_mutex_;  // guards what follows
  std::vector<Driver::Device> parts_;      // released at the lane's end: a driver's call may be using one

  Table<ContextObject> contexts_;
  Table<QueueObject> queues_;
  Table<MemoryObject> memory_;
  Table<SamplerObject> samplers_;
  Table<ProgramObject> programs_;
  Table<KernelObject> kernels_;
  Table<EventObject> events_;
  Table<EventObject> turns_;  ///< user events of HostAccess

  TaskThread soon_;  ///< answers and upcalls
  TaskThread slow_;  ///< compilers
};

}  // namespace isthmus::opencl
