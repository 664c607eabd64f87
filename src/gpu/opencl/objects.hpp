// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <unordered_map>
#include <utility>
#include <vector>

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

 private:
  Handle handle_ = nullptr;
  Free free_ = nullptr;
};

struct ContextObject {
  Owned<cl_context> handle;
  std::vector<std::uint32_t> devices;  ///< numbers
};

struct QueueObject {
  std::shared_ptr<ContextObject> context;
  std::uint32_t device = 0;
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

/// The objects of one kind. Names are the client's, which may say anything: one that is in use cannot be taken again,
/// and one that is not known finds nothing. What find() returned stays whole while it is used, whoever releases it.
template <class Object>
class Table {
 public:
  [[nodiscard]] std::shared_ptr<Object> find(Id id) const {
    const std::shared_lock lock(mutex_);
    const auto found = objects_.find(id);
    return found == objects_.end() ? nullptr : found->second;
  }
  [[nodiscard]] bool add(Id id, std::shared_ptr<Object> object) {
    const std::scoped_lock lock(mutex_);
    return id != 0 && objects_.try_emplace(id, std::move(object)).second;
  }
  std::shared_ptr<Object> take(Id id) {
    const std::scoped_lock lock(mutex_);
    const auto found = objects_.find(id);
    if (found == objects_.end()) {
      return nullptr;
    }
    std::shared_ptr<Object> object = std::move(found->second);
    objects_.erase(found);
    return object;
  }
  /// Runs a function on each; it must not use the table.
  template <class F>
  void each(F function) {
    const std::scoped_lock lock(mutex_);
    for (auto& [id, object] : objects_) {
      function(*object);
    }
  }

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<Id, std::shared_ptr<Object>> objects_;
};

}  // namespace isthmus::opencl
