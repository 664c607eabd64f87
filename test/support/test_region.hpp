// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "src/transport/format_region.hpp"
#include "src/transport/region.hpp"
#include "src/transport/unique_fd.hpp"
#include "test/support/must.hpp"

namespace isthmus::test {

/// A region in a memfd that nobody serves.
class TestRegion {
 public:
  explicit TestRegion(std::uint64_t size = abi::min_region_size, std::uint32_t lanes = 1, std::string name = "test")
      : spec_{.name = std::move(name), .size = size, .lane_count = lanes},
        fd_(memfd_create("isthmus-test", MFD_CLOEXEC)) {
    require(ftruncate(fd_.get(), static_cast<off_t>(size)) == 0, "ftruncate");
    must(format_region(fd_.get(), spec_));
  }

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const RegionSpec& spec() const noexcept { return spec_; }
  [[nodiscard]] Region map() const { return must(Region::open_as_client(fd_.get(), spec_.size, "test region")); }

  /// Writes over a word, wherever it lies.
  template <class T>
  void poke(std::uint64_t offset, T value) {
    require(pwrite(fd_.get(), &value, sizeof value, static_cast<off_t>(offset)) == sizeof value, "pwrite");
  }
  template <class T>
  [[nodiscard]] T peek(std::uint64_t offset) const {
    T value{};
    require(pread(fd_.get(), &value, sizeof value, static_cast<off_t>(offset)) == sizeof value, "pread");
    return value;
  }

 private:
  RegionSpec spec_;
  UniqueFd fd_;
};

}  // namespace isthmus::test
