// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "guest/cuda/connection.hpp"
#include "src/gpu/cuda/jit_messages.hpp"

namespace isthmus::cuda {

/// What a compilation is to do, and where its logs go.
class JitRequest {
 public:
  /// Options as cuModuleLoadDataEx takes them. Errors: CUDA_ERROR_INVALID_VALUE; CUDA_ERROR_NOT_SUPPORTED for options
  /// with addresses that are not the logs'.
  static Expected<JitRequest> of(unsigned count, const CUjit_option* names, void** values);

  [[nodiscard]] const std::vector<JitOption>& rows() const noexcept { return rows_; }
  [[nodiscard]] std::uint32_t info_room() const noexcept { return info_.room; }
  [[nodiscard]] std::uint32_t error_room() const noexcept { return error_.room; }

  /// Gives the program what the compiler said: to the addresses that the options had.
  void answer(const JitReply& reply, std::span<const std::byte> logs) const;

 private:
  struct Log {
    char* buffer = nullptr;
    void** size = nullptr;  // in: room; out: what was written
    std::uint32_t room = 0;

    void measure() noexcept;
    void write(std::span<const std::byte> text) const;
  };

  std::vector<JitOption> rows_;
  Log info_;
  Log error_;
  void** wall_time_ = nullptr;
};

/// A file's bytes, with a NUL behind them. Errors: CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_FILE_NOT_FOUND,
/// CUDA_ERROR_INVALID_IMAGE (longer than max_image).
[[nodiscard]] Expected<std::vector<char>> read_file(const char* path);

}  // namespace isthmus::cuda
