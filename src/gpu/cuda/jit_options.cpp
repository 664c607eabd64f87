// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/cuda/jit_options.hpp"

#include <algorithm>
#include <cstring>

namespace isthmus::cuda {
namespace {

constexpr std::size_t most_jit_options = 32;
constexpr std::uint32_t longest_log = 16 * 1024;  // each: both fit one reply

// Options whose values are numbers.
bool is_number_option(std::uint32_t option) noexcept {
  switch (option) {
    case CU_JIT_MAX_REGISTERS:
    case CU_JIT_THREADS_PER_BLOCK:
    case CU_JIT_OPTIMIZATION_LEVEL:
    case CU_JIT_TARGET_FROM_CUCONTEXT:
    case CU_JIT_TARGET:
    case CU_JIT_FALLBACK_STRATEGY:
    case CU_JIT_GENERATE_DEBUG_INFO:
    case CU_JIT_LOG_VERBOSE:
    case CU_JIT_GENERATE_LINE_INFO:
    case CU_JIT_CACHE_MODE:
    case CU_JIT_POSITION_INDEPENDENT_CODE:
    case CU_JIT_MIN_CTA_PER_SM:
    case CU_JIT_MAX_THREADS_PER_BLOCK:
    case CU_JIT_OVERRIDE_DIRECTIVE_VALUES:
    case CU_JIT_SPLIT_COMPILE:
      return true;
    default:
      return false;
  }
}

// Numbers travel as pointers in this interface.
void* as_value(std::uint64_t number) noexcept {
  return reinterpret_cast<void*>(number);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace

JitNumbers::JitNumbers(std::span<const JitOption> rows) {
  for (const JitOption& row : rows) {
    add(static_cast<CUjit_option>(row.option), as_value(row.value));
  }
}

void JitNumbers::add(CUjit_option name, void* value) {
  names_.push_back(name);
  values_.push_back(value);
}

JitOptions::JitOptions(std::span<const JitOption> rows, std::uint32_t info_log, std::uint32_t error_log)
    : JitNumbers(rows),
      wall_time_(count()),
      info_(std::min(info_log, longest_log)),
      error_(std::min(error_log, longest_log)) {
  add(CU_JIT_WALL_TIME, nullptr);
  if (!info_.empty()) {
    add(CU_JIT_INFO_LOG_BUFFER, info_.data());
    add(CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, as_value(info_.size()));
  }
  if (!error_.empty()) {
    add(CU_JIT_ERROR_LOG_BUFFER, error_.data());
    add(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, as_value(error_.size()));
  }
}

std::vector<std::byte> JitOptions::logs(JitReply& reply) const {
  const auto length = [](const std::vector<char>& log) { return strnlen(log.data(), log.size()); };
  reply.info_log = info_.empty() ? 0 : static_cast<std::uint32_t>(length(info_));
  reply.error_log = error_.empty() ? 0 : static_cast<std::uint32_t>(length(error_));
  void* const time = value(wall_time_);
  std::memcpy(&reply.wall_time, static_cast<const void*>(&time), sizeof reply.wall_time);
  const auto info = std::as_bytes(std::span(info_)).first(reply.info_log);
  const auto error = std::as_bytes(std::span(error_)).first(reply.error_log);
  std::vector<std::byte> both(info.begin(), info.end());
  both.insert(both.end(), error.begin(), error.end());
  return both;
}

std::optional<std::vector<JitOption>> take_jit_options(std::span<const std::byte>& trailing, std::uint32_t count) {
  if (count > most_jit_options || trailing.size() < count * sizeof(JitOption)) {
    return std::nullopt;
  }
  std::vector<JitOption> rows(count);
  if (!rows.empty()) {
    std::memcpy(rows.data(), trailing.data(), rows.size() * sizeof(JitOption));
  }
  trailing = trailing.subspan(rows.size() * sizeof(JitOption));
  return std::ranges::all_of(rows, is_number_option, &JitOption::option) ? std::optional(std::move(rows))
                                                                         : std::nullopt;
}

}  // namespace isthmus::cuda
