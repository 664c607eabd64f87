// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "src/gpu/opencl/cl.hpp"

namespace isthmus::opencl {

/// Where a clGet...Info call wants its answer: the three parameters that all of them have.
class InfoTarget {
 public:
  InfoTarget(std::size_t size, void* value, std::size_t* size_ret) noexcept
      : size_(size), value_(value), size_ret_(size_ret) {}

  /// Answers with bytes. CL_INVALID_VALUE where there is not enough room.
  [[nodiscard]] cl_int bytes(std::span<const std::byte> answer) const noexcept {
    if (value_ != nullptr && size_ < answer.size()) {
      return CL_INVALID_VALUE;
    }
    if (value_ != nullptr && !answer.empty()) {
      std::memcpy(value_, answer.data(), answer.size());
    }
    if (size_ret_ != nullptr) {
      *size_ret_ = answer.size();
    }
    return CL_SUCCESS;
  }
  template <class T>
  [[nodiscard]] cl_int value(const T& answer) const noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    return bytes(std::as_bytes(std::span(&answer, 1)));
  }
  template <class T>
  [[nodiscard]] cl_int list(const std::vector<T>& answer) const noexcept {
    return bytes(std::as_bytes(std::span(answer)));
  }
  [[nodiscard]] cl_int text(std::string_view answer) const {
    std::vector<char> terminated(answer.begin(), answer.end());
    terminated.push_back('\0');
    return list(terminated);
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] void* target() const noexcept { return value_; }
  void set_size(std::size_t size) const noexcept {
    if (size_ret_ != nullptr) {
      *size_ret_ = size;
    }
  }

 private:
  std::size_t size_;
  void* value_;
  std::size_t* size_ret_;
};

/// For functions that return an object: sets the code where it is wanted.
template <class Handle>
Handle give(cl_int code, Handle handle, cl_int* errcode_ret) noexcept {
  if (errcode_ret != nullptr) {
    *errcode_ret = code;
  }
  return handle;
}
inline std::nullptr_t refuse(cl_int code, cl_int* errcode_ret) noexcept {
  if (errcode_ret != nullptr) {
    *errcode_ret = code;
  }
  return nullptr;
}

}  // namespace isthmus::opencl
