// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "src/gpu/opencl/cl.hpp"

struct _cl_icd_dispatch;  // NOLINT(readability-identifier-naming): the OpenCL headers call it so

namespace isthmus::opencl {

enum class Kindred : std::uint32_t { none, platform, device, context, queue, memory, program, kernel, event, sampler };

class Object;

/// What an application's handle points to. The loader reads the first word of every object, also of one that was
/// released; so cells are never given back to the system, and one is used again only after many others.
struct Cell {
  const _cl_icd_dispatch* dispatch = nullptr;
  std::atomic<bool> locked{false};  ///< guards what follows
  Kindred kind = Kindred::none;
  std::uint32_t references = 0;   ///< the application's
  std::shared_ptr<Object> owner;  ///< while there are any
  std::weak_ptr<Object> object;   ///< as long as anything uses it
};

/// Something that OpenCL counts references to. It lives while the application or another object holds it.
class Object {
 public:
  Object() = default;
  virtual ~Object();
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  Object(Object&&) = delete;
  Object& operator=(Object&&) = delete;

  [[nodiscard]] Cell* cell() const noexcept { return cell_; }

  /// The object that a handle names, if it is one of ours, of this kind and alive. `handle` may be any address.
  [[nodiscard]] static std::shared_ptr<Object> find(const void* handle, Kindred kind);
  /// Counts the application's references. False where find() would find nothing, or (release) where there are none.
  [[nodiscard]] static bool retain(const void* handle, Kindred kind);
  [[nodiscard]] static bool release(const void* handle, Kindred kind);
  /// The application's references.
  [[nodiscard]] cl_uint references() const noexcept;

  /// Gives a new object its cell and its first reference. False when there is no memory.
  [[nodiscard]] static bool publish(const std::shared_ptr<Object>& object, Kindred kind);

 private:
  Cell* cell_ = nullptr;
};

/// The typed views. A type T names its `Handle` and its `kind`.
template <class T>
[[nodiscard]] std::shared_ptr<T> find(typename T::Handle handle) {
  return std::static_pointer_cast<T>(Object::find(handle, T::kind));
}
template <class T>
[[nodiscard]] typename T::Handle handle_of(const T& object) noexcept {
  return reinterpret_cast<typename T::Handle>(object.cell());
}
template <class T>
[[nodiscard]] typename T::Handle handle_of(const std::shared_ptr<T>& object) noexcept {
  return object == nullptr ? nullptr : handle_of(*object);
}
template <class T>
[[nodiscard]] bool publish(const std::shared_ptr<T>& object) {
  return Object::publish(object, T::kind);
}

}  // namespace isthmus::opencl
