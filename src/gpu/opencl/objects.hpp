// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "src/gpu/object_table.hpp"
#include "src/gpu/opencl/driver.hpp"
#include "src/gpu/opencl/messages.hpp"

namespace isthmus::opencl {

/// A driver's object that is let go with this one. `Free` is the driver's function for it.
template <class Handle>
class Owned {
 public:
  using Free = cl_int (*)(Handle);
  Owned() noexcept = default;
  Owned(Handle handle, Free free) noexcept : handle_(handle), free_(free) {}
  Owned(Owned&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)), free_(other.free_) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(free_, other.free_);
    return *this;
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (handle_ != nullptr) {
      free_(handle_);
    }
  }
  [[nodiscard]] Handle get() const noexcept { return handle_; }
  /// The caller's from now on.
  [[nodiscard]] Handle release() noexcept { return std::exchange(handle_, nullptr); }

 private:
  Handle handle_ = nullptr;
  Free free_ = nullptr;
};

struct ContextObject {
  Owned<cl_context> handle;
  std::vector<std::uint32_t> roots;  ///< numbers of the whole devices that it has, or has parts of
};

struct QueueObject {
  std::shared_ptr<ContextObject> context;
  cl_ulong local_memory = 0;  ///< of its device, bytes
  bool in_order = true;
  Owned<cl_command_queue> handle;
};

struct MemoryObject {
  std::shared_ptr<ContextObject> context;
  std::byte* bytes = nullptr;  ///< in the slab
  std::uint64_t size = 0;
  Owned<cl_mem> handle;
  std::optional<ImageShape> image;  ///< none: a buffer
};

struct SamplerObject {
  std::shared_ptr<ContextObject> context;
  Owned<cl_sampler> handle;
};

struct ProgramObject {
  std::shared_ptr<ContextObject> context;
  Owned<cl_program> handle;
  bool constants = false;  ///< made from a language whose specialization constants can be set
};

struct KernelObject {
  std::shared_ptr<ProgramObject> program;
  Owned<cl_kernel> handle;
  std::vector<ArgumentKind> arguments;
  std::mutex mutex;  ///< from the first argument to the enqueue
};

struct EventObject {
  Owned<cl_event> handle;  ///< what others wait for
  Owned<cl_event> began;   ///< where the command has two parts: the first, for its times
  bool user = false;
};

template <class Object>
using Table = gpu::ObjectTable<Object>;

}  // namespace isthmus::opencl
