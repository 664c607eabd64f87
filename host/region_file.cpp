// SPDX-License-Identifier: Apache-2.0
#include "host/region_file.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): SIGURG is POSIX, not C++
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "host/memory_available.hpp"
#include "host/octal.hpp"
#include "host/system_error.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {
namespace {

constexpr std::uint64_t block_size = 512;  // the unit of st_blocks, whatever the file system

std::string label(const std::filesystem::path& path) { return text("region ", path.native()); }

std::string link_to(const UniqueFd& fd) { return text("/proc/self/fd/", fd.get()); }

std::filesystem::path directory_of(const std::filesystem::path& path) { return path.parent_path(); }

uid_t wanted_owner(const FileAccess& access) { return access.owner.value_or(::geteuid()); }

/// A write lease on our own descriptor: granted, or refused with errno.
bool take_lease(int fd) { return ::fcntl(fd, F_SETLEASE, F_WRLCK) == 0; }
void drop_lease(int fd) { ::fcntl(fd, F_SETLEASE, F_UNLCK); }

}  // namespace

Result<RegionFile> RegionFile::create_or_adopt(const VmConfig& config) {
  RegionFile region(config.path, config.region_size);
  // Both ways may lose a race against somebody who makes or removes the file at the same time; then the other is due.
  constexpr int rounds = 16;
  for (int round = 0; round < rounds; ++round) {
    const auto opened = region.open_existing(config);
    if (!opened) {
      return std::unexpected(opened.error());
    }
    if (*opened) {
      return region;
    }
    const auto created = region.create(config);
    if (!created) {
      return std::unexpected(created.error());
    }
    if (*created) {
      return region;
    }
  }
  return fail(Errc::busy, text(label(config.path), ": somebody makes and removes it all the time; find out who"));
}

/// False if there is no such file.
Result<bool> RegionFile::open_existing(const VmConfig& config) {
  // First without access, so that opening a device or a pipe by mistake has no effect.
  const UniqueFd looked_up(::open(path_.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!looked_up) {
    if (errno == ENOENT) {
      return false;
    }
    return fail_errno(errno, label(path_));
  }
  struct stat status{};
  if (::fstat(looked_up.get(), &status) != 0) {
    return fail_errno(errno, label(path_));
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(Errc::invalid_argument, text(label(path_), ": is a ",
                                             S_ISLNK(status.st_mode)   ? "symbolic link"
                                             : S_ISDIR(status.st_mode) ? "directory"
                                                                       : "special file",
                                             ", not a regular file; remove it or name another path"));
  }

  // O_NONBLOCK: another daemon that just asks held_by_others() must not make us wait.
  constexpr int tries = 100;
  int error = EWOULDBLOCK;
  for (int i = 0; i < tries && error == EWOULDBLOCK; ++i) {
    if (i > 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    UniqueFd file(::open(link_to(looked_up).c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    error = file ? 0 : errno;
    fd_ = std::move(file);
  }
  if (!fd_) {
    return fail_errno(error, text(label(path_), ": exists, but cannot be opened"));
  }
  if (auto locked = lock(); !locked) {
    return std::unexpected(std::move(locked).error());
  }
  if (!at_path()) {  // the daemon that had it has removed it at its end
    return false;
  }
  if (auto checked = check_existing(config); !checked) {
    return std::unexpected(std::move(checked).error());
  }
  if (auto backed = back_with_memory(); !backed) {
    return std::unexpected(std::move(backed).error());
  }
  if (auto held = held_by_others(); !held) {  // for its errors: better now than when QEMU goes
    return std::unexpected(std::move(held).error());
  }
  origin_ = Origin::adopted;
  return true;
}

/// False if there is such a file by now.
Result<bool> RegionFile::create(const VmConfig& config) {
  // Without a name until it is complete: nobody meets a half-made file, and nothing is left if we are killed.
  const auto directory = directory_of(path_);
  UniqueFd file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file) {
    const int error = errno;
    if (error == EOPNOTSUPP || error == EISDIR) {
      return fail(Errc::unsupported,
                  text(label(path_), ": the file system has no unnamed files (O_TMPFILE); use /dev/shm or a tmpfs"));
    }
    return fail_errno(error, text(label(path_), ": cannot make a file in ", directory.native()));
  }
  fd_ = std::move(file);
  if (auto locked = lock(); !locked) {
    return std::unexpected(std::move(locked).error());
  }
  if (::ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0) {
    return fail_errno(errno, text(label(path_), ": cannot be made ", Bytes{size_}, " long"));
  }
  if (auto backed = back_with_memory(); !backed) {
    return std::unexpected(std::move(backed).error());
  }
  if (config.access.owner || config.access.group) {
    // -1 leaves the one that is not configured.
    if (::fchown(fd_.get(), config.access.owner.value_or(static_cast<uid_t>(-1)),
                 config.access.group.value_or(static_cast<gid_t>(-1))) != 0) {
      return fail_errno(errno, text(label(path_), ": cannot be given to its owner and group; run isthmusd as root"));
    }
  }
  // After fchown, and not left to the umask.
  if (::fchmod(fd_.get(), config.access.mode) != 0) {
    return fail_errno(errno, text(label(path_), ": mode ", octal(config.access.mode), " cannot be set"));
  }
  if (auto held = held_by_others(); !held) {
    return std::unexpected(std::move(held).error());
  }
  if (::linkat(AT_FDCWD, link_to(fd_).c_str(), AT_FDCWD, path_.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    if (errno == EEXIST) {
      fd_.reset();
      return false;
    }
    return fail_errno(errno, text(label(path_), ": cannot be given its name"));
  }
  origin_ = Origin::created;
  return true;
}

Result<void> RegionFile::lock() {
  // Workers share our description, and with it the lock: it is free when the last of them is gone, too. They die with
  // their daemon, but need a moment.
  constexpr auto patience = std::chrono::milliseconds(500);
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) {
      continue;
    }
    if (errno != EWOULDBLOCK) {
      return fail_errno(errno, text(label(path_), ": cannot be locked"));
    }
    if (std::chrono::steady_clock::now() >= give_up) {
      return fail(Errc::busy,
                  text(label(path_), ": another isthmusd serves it; stop that one, or give this one another path"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return {};
}

Result<void> RegionFile::check_existing(const VmConfig& config) {
  constexpr std::string_view way_out = "stop the VM, remove the file, start isthmusd, then the VM";
  struct stat status{};
  if (::fstat(fd_.get(), &status) != 0) {
    return fail_errno(errno, label(path_));
  }
  const mode_t mode = status.st_mode & 07777U;
  if (mode != config.access.mode) {
    return fail(Errc::permission_denied,
                text(label(path_), ": exists with mode ", octal(mode), ", not ", octal(config.access.mode),
                     mode == 0644U ? " (QEMU was started before isthmusd, and made it itself)" : "", "; ", way_out));
  }
  if (status.st_uid != wanted_owner(config.access)) {
    return fail(Errc::permission_denied, text(label(path_), ": exists and belongs to user ", status.st_uid, ", not ",
                                              wanted_owner(config.access), "; ", way_out));
  }
  if (config.access.group && status.st_gid != *config.access.group) {
    return fail(Errc::permission_denied, text(label(path_), ": exists and belongs to group ", status.st_gid, ", not ",
                                              *config.access.group, "; ", way_out));
  }
  if (std::cmp_not_equal(status.st_size, size_)) {
    return fail(Errc::invalid_argument,
                text(label(path_), ": exists with ", Bytes{static_cast<std::uint64_t>(status.st_size)}, ", not ",
                     Bytes{size_}, "; set region_size to that, or ", way_out));
  }
  return {};
}

Result<void> RegionFile::back_with_memory() {
  struct stat status{};
  struct statvfs space{};
  if (::fstat(fd_.get(), &status) != 0 || ::fstatvfs(fd_.get(), &space) != 0) {
    return fail_errno(errno, label(path_));
  }
  const std::uint64_t there = static_cast<std::uint64_t>(status.st_blocks) * block_size;
  const std::uint64_t missing = size_ - std::min(size_, there);
  if (missing == 0) {
    return {};
  }
  // Hugetlbfs, and tmpfs without a limit, say 0 blocks.
  const bool known = space.f_blocks != 0;
  const std::uint64_t free_space = std::uint64_t{space.f_bavail} * space.f_frsize;
  const auto too_full = [&] {
    constexpr std::uint64_t unit = std::uint64_t{1} << 20U;
    // Whole MiB read better, and what is less than one is told exactly.
    const std::uint64_t shown = free_space < unit ? free_space : free_space / unit * unit;
    return fail(Errc::exhausted, text(label(path_), ": ", Bytes{missing}, " asked, ",
                                      known ? text(Bytes{shown}) : std::string("less is"),
                                      " free; lower region_size or enlarge ", directory_of(path_).native()));
  };
  if (known && missing > free_space) {
    return too_full();
  }
  // Huge pages and disks have their own stock, which the file system has just told.
  struct statfs kind{};
  if (::fstatfs(fd_.get(), &kind) == 0 && kind.f_type == TMPFS_MAGIC) {
    if (auto memory = check_memory_available(label(path_), missing); !memory) {
      return memory;
    }
  }
  int result = 0;
  do {
    result = ::fallocate(fd_.get(), 0, 0, static_cast<off_t>(size_));
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    if (errno == ENOSPC) {
      return too_full();
    }
    return fail_errno(errno, text(label(path_), ": cannot be backed with ", Bytes{size_}, " of memory"));
  }
  return {};
}

Result<bool> RegionFile::held_by_others() {
  // Set each time, for the description is shared. SIGIO, the kernel's choice, would end the process.
  if (::fcntl(fd_.get(), F_SETSIG, SIGURG) != 0) {
    return fail_errno(errno, label(path_));
  }
  if (take_lease(fd_.get())) {
    drop_lease(fd_.get());
    return false;
  }
  switch (errno) {
    case EAGAIN:
      return true;
    case EACCES:
      return fail(
          Errc::permission_denied,
          text(label(path_), ": belongs to another user, so isthmusd needs CAP_LEASE to see whether QEMU runs"));
    default:
      return fail(Errc::unsupported, text(label(path_), ": the file system has no leases (", errno_text(errno),
                                          "), so nobody can tell whether QEMU has gone; use /dev/shm or a tmpfs"));
  }
}

bool RegionFile::at_path() const noexcept {
  struct stat ours{};
  struct stat named{};
  return ::fstat(fd_.get(), &ours) == 0 && ::lstat(path_.c_str(), &named) == 0 && ours.st_dev == named.st_dev &&
         ours.st_ino == named.st_ino;
}

Result<RegionFile::Removal> RegionFile::remove_if_unused() {
  if (!at_path()) {
    return Removal::gone;
  }
  const auto held = held_by_others();
  if (!held) {
    return std::unexpected(held.error());
  }
  if (*held) {
    return Removal::in_use;
  }
  if (::unlink(path_.c_str()) != 0) {
    return fail_errno(errno, text(label(path_), ": cannot be removed"));
  }
  return Removal::removed;
}

}  // namespace isthmus::host
