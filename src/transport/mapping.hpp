// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "isthmus/error.hpp"

namespace isthmus {

/// A shared read-write mapping of a file's first bytes. Move-only.
class Mapping {
 public:
  /// Maps `size` bytes of `fd`, at `preferred_address` if that is not 0 and the range is free there, else anywhere.
  /// `what` names the file in errors.
  [[nodiscard]] static Result<Mapping> map(int fd, std::uint64_t size, std::uint64_t preferred_address,
                                           std::string_view what);

  /// Moves the mapped memory into huge pages, for all who map the file; as LaneServer::use_huge_pages() says.
  [[nodiscard]] Result<void> use_huge_pages(std::string_view what);

  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

 private:
  Mapping(std::byte* data, std::uint64_t size) noexcept : data_(data), size_(size) {}

  std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
};

}  // namespace isthmus
