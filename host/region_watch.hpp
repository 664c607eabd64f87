// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "host/region_file.hpp"
#include "isthmus/error.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// Tells when somebody opens or lets go of a region's file: the moments to ask RegionFile::held_by_others().
///
/// These are hints, never proof: openings of our own count too, and a close is told before the kernel has let go. What
/// is inherited or only unmapped is told when the last descriptor and mapping of that opening are gone. One thread.
class RegionWatch {
 public:
  /// What has happened since the last time.
  struct Changes {
    bool opened = false;
    bool closed = false;
    bool renamed_or_removed = false;  ///< ask RegionFile::at_path()
    bool overflowed = false;          ///< there was more than the kernel kept: assume all of the above
  };

  [[nodiscard]] static Result<RegionWatch> create(const RegionFile& region);

  /// For EventLoop::add with EPOLLIN.
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

  /// Takes all that is reported. Never blocks.
  [[nodiscard]] Result<Changes> take();

 private:
  explicit RegionWatch(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace isthmus::host
