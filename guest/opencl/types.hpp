// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "guest/opencl/connection.hpp"
#include "guest/opencl/object.hpp"

/// \file
/// The objects that an application holds. What the driver has for them is named by their `id`.

namespace isthmus::opencl {

class Device;

class Platform final : public Object {
 public:
  using Handle = cl_platform_id;
  static constexpr Kindred kind = Kindred::platform;

  std::uint32_t number = 0;
  std::vector<std::shared_ptr<Device>> devices;

  /// All of them, in the host's order; looks for them at first. Empty without a daemon.
  [[nodiscard]] static const std::vector<std::shared_ptr<Platform>>& all();
};

class Device final : public Object {
 public:
  using Handle = cl_device_id;
  static constexpr Kindred kind = Kindred::device;

  std::uint32_t number = 0;
  cl_device_type type = 0;
  std::weak_ptr<Platform> platform;
  std::shared_ptr<Device> parent;  ///< of a sub-device

  /// What the driver says, asked once for each parameter.
  [[nodiscard]] Expected<std::vector<std::byte>> ask(cl_device_info parameter);
  template <class T>
  [[nodiscard]] T value(cl_device_info parameter, T otherwise) {
    const auto answer = ask(parameter);
    if (!answer || answer->size() < sizeof(T)) {
      return otherwise;
    }
    T value;
    std::memcpy(&value, answer->data(), sizeof value);
    return value;
  }
  /// The version that it offers: OpenCL 3.0, where most of what came after 1.2 may be missing, if the host's device
  /// has that; otherwise 1.2.
  [[nodiscard]] cl_version version() {
    return value<cl_version>(CL_DEVICE_NUMERIC_VERSION, 0) >= CL_MAKE_VERSION(3, 0, 0) ? CL_MAKE_VERSION(3, 0, 0)
                                                                                       : CL_MAKE_VERSION(1, 2, 0);
  }
  /// Whether programs are made for it from an intermediate language, as SPIR-V.
  [[nodiscard]] bool takes_il();
  /// What of shared virtual memory it has: CL_DEVICE_SVM_CAPABILITIES.
  [[nodiscard]] cl_device_svm_capabilities shared_memory();
  /// Whether it is `device`, or a part of it.
  [[nodiscard]] bool is_part_of(const Device& device) const noexcept {
    return this == &device || (parent != nullptr && parent->is_part_of(device));
  }
  /// The largest buffer, in bytes: what both the device and the slab allow.
  [[nodiscard]] cl_ulong largest_buffer();

 private:
  std::mutex mutex_;
  std::map<cl_device_info, std::vector<std::byte>> answers_;
};

/// Whether the list has the device, or one that it is a part of.
[[nodiscard]] bool has_device(const std::vector<std::shared_ptr<Device>>& list, const Device& device);

class Context final : public Object {
 public:
  using Handle = cl_context;
  static constexpr Kindred kind = Kindred::context;

  ~Context() override;
  Id id = 0;
  std::vector<std::shared_ptr<Device>> devices;
  std::vector<cl_context_properties> properties;

  SharedBlocks shared;

  std::mutex mutex;  ///< guards what follows
  std::vector<std::function<void()>> destructors;

  /// Whether it has the device, or the one that this is a part of.
  [[nodiscard]] bool has(const std::shared_ptr<Device>& device) const;
  /// Whether one of the devices has shared virtual memory.
  [[nodiscard]] bool has_shared_memory() const;
  /// Whether one of the devices has images.
  [[nodiscard]] bool has_images() const;
};

class Queue final : public Object {
 public:
  using Handle = cl_command_queue;
  static constexpr Kindred kind = Kindred::queue;

  ~Queue() override;
  Id id = 0;
  std::shared_ptr<Context> context;
  std::shared_ptr<Device> device;
  cl_command_queue_properties properties = 0;
  std::vector<cl_queue_properties> list;  ///< as it was given, with its end; empty without one

  /// Counts a command that is about to be sent; returns its number.
  std::uint64_t count() {
    const std::scoped_lock lock(mutex_);
    return ++sent_;
  }
  [[nodiscard]] std::uint64_t sent() {
    const std::scoped_lock lock(mutex_);
    return sent_;
  }
  /// Everything up to that number is complete.
  void complete(std::uint64_t number) {
    const std::scoped_lock lock(mutex_);
    done_ = std::max(done_, number);
  }
  /// Runs `copy` between what was sent before, if all of that is known to be complete, and what comes after; says
  /// whether it did.
  template <class F>
  [[nodiscard]] bool run_if_idle(const F& copy) {
    const std::scoped_lock lock(mutex_);
    if (sent_ != done_) {
      return false;
    }
    copy();
    return true;
  }

 private:
  std::mutex mutex_;  // guards what follows
  std::uint64_t sent_ = 0;
  std::uint64_t done_ = 0;
};

class Memory final : public Object {
 public:
  using Handle = cl_mem;
  static constexpr Kindred kind = Kindred::memory;
  using Destructor = void(CL_CALLBACK*)(cl_mem, void*);

  struct Mapping {
    std::byte* address = nullptr;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    Box box;  ///< in the memory, and in the application's
    std::array<std::uint64_t, 3> region{};
    cl_map_flags flags = 0;
  };

  ~Memory() override;
  /// What the flags allow the application.
  [[nodiscard]] bool host_may_read() const noexcept {
    return (flags & (CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_NO_ACCESS)) == 0;
  }
  [[nodiscard]] bool host_may_write() const noexcept {
    return (flags & (CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS)) == 0;
  }
  [[nodiscard]] bool host_may_map(cl_map_flags how) const noexcept {
    return ((how & CL_MAP_READ) == 0 || host_may_read()) &&
           ((how & (CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION)) == 0 || host_may_write());
  }

  Id id = 0;
  std::shared_ptr<Context> context;
  std::shared_ptr<Memory> parent;   ///< of a sub-buffer, and of an image of a buffer's bytes
  std::optional<ImageShape> image;  ///< none: a buffer
  std::uint64_t origin = 0;
  cl_mem_flags flags = 0;
  std::vector<cl_mem_properties> properties;  ///< as they were given, with their end; empty without any
  std::uint64_t size = 0;
  std::byte* bytes = nullptr;           ///< in the slab, where the device uses them
  std::byte* application = nullptr;     ///< CL_MEM_USE_HOST_PTR: the application's copy, up to date while it is mapped
  Frame frame;                          ///< where there is neither a parent nor `shared`
  std::shared_ptr<SharedBlock> shared;  ///< CL_MEM_USE_HOST_PTR over shared virtual memory: used in place

  std::mutex mutex;  ///< guards what follows
  std::vector<Mapping> mappings;
  std::vector<std::function<void()>> destructors;
};

class Sampler final : public Object {
 public:
  using Handle = cl_sampler;
  static constexpr Kindred kind = Kindred::sampler;

  ~Sampler() override;
  Id id = 0;
  std::shared_ptr<Context> context;
  cl_bool normalized = CL_FALSE;
  cl_addressing_mode addressing = CL_ADDRESS_NONE;
  cl_filter_mode filter = CL_FILTER_NEAREST;
  std::vector<cl_sampler_properties> properties;  ///< as they were given, with their end; empty without any
};

class Program final : public Object {
 public:
  using Handle = cl_program;
  static constexpr Kindred kind = Kindred::program;

  ~Program() override;
  Id id = 0;
  std::shared_ptr<Context> context;
  std::vector<std::shared_ptr<Device>> devices;
  std::string source;
  std::vector<std::byte> il;  ///< what it was made from, where that was an intermediate language; empty otherwise
  std::atomic<std::uint32_t> kernels{0};

  std::mutex mutex;  ///< guards what follows
  std::map<const Device*, std::string> options;
  bool has_argument_info = false;  ///< by a part that it was linked of
};

class Kernel final : public Object {
 public:
  using Handle = cl_kernel;
  static constexpr Kindred kind = Kindred::kernel;

  struct Argument {
    ArgumentKind expects = ArgumentKind::value;
    bool is_set = false;
    ArgumentKind is = ArgumentKind::value;
    std::vector<std::byte> value;
    // A kernel holds no reference to its arguments, as the specification wants it.
    std::weak_ptr<Memory> memory;  ///< of `memory` and `image`
    std::weak_ptr<Sampler> sampler;
    bool is_null = false;  ///< of `memory`: a null buffer
    std::size_t local_size = 0;
    std::uint64_t address = 0;     ///< of `shared`; 0: a null pointer
    std::size_t checked_size = 0;  ///< the driver has accepted a value of so many bytes; 0: not asked yet
  };
  struct WorkGroup {
    std::size_t largest = 0;
    std::array<std::size_t, 3> required{};
  };

  ~Kernel() override;
  Id id = 0;
  std::shared_ptr<Program> program;
  std::string name;

  std::mutex mutex;  ///< guards what follows
  std::vector<Argument> arguments;
  std::map<const Device*, WorkGroup> work_groups;
};

class Event final : public Object {
 public:
  using Handle = cl_event;
  static constexpr Kindred kind = Kindred::event;
  static constexpr cl_int not_known = CL_QUEUED + 1;

  ~Event() override;
  Id id = 0;
  std::shared_ptr<Context> context;
  std::shared_ptr<Queue> queue;  ///< none: a user event
  cl_command_type type = 0;
  std::atomic<cl_int> final_status{not_known};
  bool sent = false;  ///< the backend may know it
};

}  // namespace isthmus::opencl
