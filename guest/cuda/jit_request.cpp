// SPDX-License-Identifier: Apache-2.0
#include "guest/cuda/jit_request.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <tuple>

#include "src/gpu/cuda/image.hpp"

namespace isthmus::cuda {
namespace {

// Numbers travel as pointers in this interface.
std::uint32_t option_number(const void* value) noexcept {
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(value));
}

}  // namespace

Expected<JitRequest> JitRequest::of(unsigned count, const CUjit_option* names, void** values) {
  JitRequest request;
  if (count != 0 && (names == nullptr || values == nullptr)) {
    return std::unexpected(CUDA_ERROR_INVALID_VALUE);
  }
  for (unsigned i = 0; i < count; ++i) {
    void** const value = values + i;
    switch (names[i]) {
      case CU_JIT_WALL_TIME:
        request.wall_time_ = value;
        break;
      case CU_JIT_INFO_LOG_BUFFER:
        request.info_.buffer = static_cast<char*>(*value);
        break;
      case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
        request.info_.size = value;
        break;
      case CU_JIT_ERROR_LOG_BUFFER:
        request.error_.buffer = static_cast<char*>(*value);
        break;
      case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
        request.error_.size = value;
        break;
      case CU_JIT_GLOBAL_SYMBOL_NAMES:
      case CU_JIT_GLOBAL_SYMBOL_ADDRESSES:
      case CU_JIT_GLOBAL_SYMBOL_COUNT:
        return std::unexpected(CUDA_ERROR_NOT_SUPPORTED);
      default:
        request.rows_.push_back({.option = static_cast<std::uint32_t>(names[i]), .value = option_number(*value)});
    }
  }
  request.info_.measure();
  request.error_.measure();
  return request;
}

void JitRequest::answer(const JitReply& reply, std::span<const std::byte> logs) const {
  const std::size_t info = std::min<std::size_t>(reply.info_log, logs.size());
  const std::size_t error = std::min<std::size_t>(reply.error_log, logs.size() - info);
  info_.write(logs.first(info));
  error_.write(logs.subspan(info, error));
  if (wall_time_ != nullptr) {
    std::memcpy(static_cast<void*>(wall_time_), &reply.wall_time, sizeof reply.wall_time);
  }
}

void JitRequest::Log::measure() noexcept { room = buffer == nullptr || size == nullptr ? 0 : option_number(*size); }

void JitRequest::Log::write(std::span<const std::byte> text) const {
  if (room == 0) {
    return;
  }
  const std::size_t length = std::min<std::size_t>(text.size(), room - 1);
  std::memcpy(buffer, text.data(), length);
  buffer[length] = '\0';
  *size = reinterpret_cast<void*>(length);  // NOLINT(performance-no-int-to-ptr): the interface's way
}

Expected<std::vector<char>> read_file(const char* path) {
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::ignore = std::fclose(file); }
  };
  const std::unique_ptr<std::FILE, Close> file(path == nullptr ? nullptr : std::fopen(path, "rbe"));
  if (file == nullptr) {
    return std::unexpected(path == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_FILE_NOT_FOUND);
  }
  std::vector<char> bytes;
  std::array<char, 16 * 1024> part{};
  while (const std::size_t got = std::fread(part.data(), 1, part.size(), file.get())) {
    bytes.insert(bytes.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(got));
    if (bytes.size() > max_image) {
      return std::unexpected(CUDA_ERROR_INVALID_IMAGE);
    }
  }
  bytes.push_back('\0');
  return bytes;
}

}  // namespace isthmus::cuda
