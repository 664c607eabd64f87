// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

namespace isthmus::perf {

/// Zeroed memory that a process shares with those it forks afterwards; gone with the last of them.
class SharedMemory {
 public:
  explicit SharedMemory(std::size_t size)
      : size_(size),
        data_(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)) {
    if (data_ == MAP_FAILED) {
      throw std::system_error(errno, std::generic_category(), "shared memory");
    }
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  SharedMemory(SharedMemory&&) = delete;
  SharedMemory& operator=(SharedMemory&&) = delete;
  ~SharedMemory() { munmap(data_, size_); }

  [[nodiscard]] void* data() const noexcept { return data_; }

 private:
  std::size_t size_;
  void* data_;
};

/// One object in such memory. Only the process that made it destroys it.
template <class T>
class SharedObject {
 public:
  template <class... Arguments>
  explicit SharedObject(Arguments&&... arguments)
      : memory_(sizeof(T)), object_(new(memory_.data()) T(std::forward<Arguments>(arguments)...)) {}
  SharedObject(const SharedObject&) = delete;
  SharedObject& operator=(const SharedObject&) = delete;
  SharedObject(SharedObject&&) = delete;
  SharedObject& operator=(SharedObject&&) = delete;
  ~SharedObject() { std::destroy_at(object_); }

  [[nodiscard]] T* operator->() const noexcept { return object_; }
  [[nodiscard]] T& operator*() const noexcept { return *object_; }

 private:
  static_assert(alignof(T) <= 4096);

  SharedMemory memory_;
  T* object_;
};

}  // namespace isthmus::perf
