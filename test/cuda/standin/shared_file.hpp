// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace isthmus::standin {

/// Makes a file for other processes of the user, and answers its descriptor. It is removed with the process at the
/// latest. Fails with CUDA_ERROR_MAP_FAILED.
int make_shared_file(std::size_t size, std::string& file);
/// Nothing happens for an empty name.
void remove_shared_file(const std::string& file);

/// How often an event that processes share was recorded, and up to which of that the streams have come.
class SharedRecords {
 public:
  /// Of a file, or of a new one where the name is empty. Fails with CUDA_ERROR_MAP_FAILED.
  explicit SharedRecords(const std::string& file);
  SharedRecords(const SharedRecords&) = delete;
  SharedRecords& operator=(const SharedRecords&) = delete;
  ~SharedRecords();

  [[nodiscard]] const std::string& file() const noexcept { return file_; }
  std::uint64_t record() noexcept;
  void finish(std::uint64_t record) noexcept;
  [[nodiscard]] std::uint64_t newest() const noexcept;
  [[nodiscard]] bool is_done(std::uint64_t record) const noexcept;
  void wait(std::uint64_t record) const noexcept;

 private:
  struct Counts {
    std::uint64_t recorded;
    std::uint64_t done;
  };
  std::string file_;
  bool is_ours_ = false;
  Counts* counts_ = nullptr;
};

}  // namespace isthmus::standin
