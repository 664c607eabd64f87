// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "src/gpu/cuda/cu.hpp"
#include "src/gpu/cuda/jit_messages.hpp"

namespace isthmus::cuda {

/// Options whose values are numbers, as the driver takes them.
class JitNumbers {
 public:
  explicit JitNumbers(std::span<const JitOption> rows);

  [[nodiscard]] unsigned count() const noexcept { return static_cast<unsigned>(names_.size()); }
  [[nodiscard]] CUjit_option* names() noexcept { return names_.data(); }
  [[nodiscard]] void** values() noexcept { return values_.data(); }

 protected:
  void add(CUjit_option name, void* value);
  [[nodiscard]] void* value(unsigned at) const noexcept { return values_[at]; }

 private:
  std::vector<CUjit_option> names_;
  std::vector<void*> values_;
};

/// The options of a compilation, with the logs that the client has asked for. The driver may keep the addresses: stays
/// where it is.
class JitOptions : public JitNumbers {
 public:
  /// `info_log`, `error_log`: room for them, bytes; what is too much for a reply is cut.
  JitOptions(std::span<const JitOption> rows, std::uint32_t info_log, std::uint32_t error_log);
  JitOptions(const JitOptions&) = delete;
  JitOptions& operator=(const JitOptions&) = delete;
  JitOptions(JitOptions&&) = delete;
  JitOptions& operator=(JitOptions&&) = delete;
  ~JitOptions() = default;

  /// What the compiler said so far, one log behind the other, and its time.
  [[nodiscard]] std::vector<std::byte> logs(JitReply& reply) const;

 private:
  unsigned wall_time_;  // where among the values the driver writes it
  std::vector<char> info_;
  std::vector<char> error_;
};

/// The rows at the start of a message's trailing bytes, which become what is behind them. Nothing where they are too
/// few, or where an option is none whose value is a number: the others are addresses.
[[nodiscard]] std::optional<std::vector<JitOption>> take_jit_options(std::span<const std::byte>& trailing,
                                                                     std::uint32_t count);

}  // namespace isthmus::cuda
