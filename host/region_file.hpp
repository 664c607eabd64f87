// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <utility>

#include "host/vm_config.hpp"
#include "isthmus/error.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// The file behind a VM's region: made before QEMU starts, because QEMU would make a missing one readable to all.
///
/// The object is the daemon's claim on the region: it holds a lock, so that a second daemon is told. The file is never
/// mapped here. Destroying the object gives the claim up and leaves the file, so that the next daemon adopts it with
/// QEMU still running; remove_if_unused() is the clean end. One thread.
///
/// **Workers.** A worker gets this very descriptor, for then it counts as ours in held_by_others(). It must map the
/// region and close the descriptor before it reads a byte of the region: with the descriptor, a worker that the guest
/// has taken over could drop our lock, or choose the signal that a lease sends.
class RegionFile {
 public:
  enum class Origin : std::uint8_t {
    created,  ///< by this call: all bytes are zero
    adopted,  ///< it was there: QEMU may have it mapped, and it holds what was left in it
  };
  enum class Removal : std::uint8_t {
    removed,
    in_use,  ///< somebody else has it open or mapped: left alone
    gone,    ///< the path does not name our file any more: nothing done
  };

  /// Makes the region's file, or takes over the one that is there. Every page is backed by memory afterwards.
  ///
  /// A new file appears at its path complete, or not at all. An existing one must be a regular file of the configured
  /// size, mode, owner and group. Fails with
  /// - Errc::busy: another daemon has the region (waits up to half a second, for workers of one that just died),
  /// - Errc::exhausted: the file system or the memory is too full,
  /// - Errc::permission_denied: no access, or the existing file's mode or owner is another,
  /// - Errc::invalid_argument: the path is a link, a directory or the like, or the existing file's size is another,
  /// - Errc::unsupported: the file system has no unnamed files, no fallocate or no leases (tmpfs has them all).
  [[nodiscard]] static Result<RegionFile> create_or_adopt(const VmConfig& config);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] Origin origin() const noexcept { return origin_; }

  /// Whether any process has the file open or mapped by a way other than our own descriptor: proof that QEMU is still
  /// there, or is not.
  ///
  /// The kernel grants a write lease only if no other open file description of the inode exists; a mapping keeps its
  /// description alive when the descriptor is closed. The lease is given back at once. Somebody who opens the file in
  /// between waits those microseconds, and the kernel announces him by SIGURG, which does nothing by default.
  /// Needs the file's own user id or CAP_LEASE.
  ///
  /// After RegionWatch has reported a close, the answer may stay true for a moment, because the kernel reports first
  /// and lets go then: ask again a few milliseconds later.
  [[nodiscard]] Result<bool> held_by_others();

  /// Whether the path still names this file.
  [[nodiscard]] bool at_path() const noexcept;

  /// Unlinks the file, unless somebody else has it open or mapped. The object stays valid either way.
  [[nodiscard]] Result<Removal> remove_if_unused();

 private:
  RegionFile(std::filesystem::path path, std::uint64_t size) : path_(std::move(path)), size_(size) {}

  [[nodiscard]] Result<bool> open_existing(const VmConfig& config);
  [[nodiscard]] Result<bool> create(const VmConfig& config);
  [[nodiscard]] Result<void> lock();
  [[nodiscard]] Result<void> check_existing(const VmConfig& config);
  [[nodiscard]] Result<void> back_with_memory();

  std::filesystem::path path_;
  std::uint64_t size_;
  UniqueFd fd_;
  Origin origin_ = Origin::created;
};

}  // namespace isthmus::host
