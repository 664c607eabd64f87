// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cxxabi.h>

// NOLINTNEXTLINE(readability-identifier-naming,bugprone-reserved-identifier): the C++ ABI's name
extern "C" void* __dso_handle;  // of this library or program; the compiler makes it

namespace isthmus {

/// The calling thread's T: made by its first get(), destroyed when the thread ends, in the opposite order of the making
/// of its objects. Made anew where a thread asks again after its end has begun: from destructors of objects of its own,
/// or, the main thread, from exit handlers, where nothing is destroyed any more.
template <class T>
class ThreadObject {
 public:
  [[nodiscard]] static T& get() {
    if (object == nullptr) {
      object = new T;
      __cxxabiv1::__cxa_thread_atexit(
          [](void* made) {
            object = nullptr;
            delete static_cast<T*>(made);
          },
          object, static_cast<void*>(&__dso_handle));
    }
    return *object;
  }

 private:
  static constinit inline thread_local T* object = nullptr;
};

}  // namespace isthmus
