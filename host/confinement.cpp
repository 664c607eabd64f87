// SPDX-License-Identifier: Apache-2.0
#include "host/confinement.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "host/octal.hpp"
#include "host/system_error.hpp"
#include "src/transport/text.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {
namespace {

// Tried in a child, because there is no way back: 0, or the errno that keeps us from it (containers, small kernels).
int try_to_leave_network() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::_exit(::unshare(CLONE_NEWNET) == 0 ? 0 : errno);
  }
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
    return ECHILD;
  }
  return WEXITSTATUS(status);
}

std::optional<std::filesystem::path> default_cache_dir(bool root) {
  if (root) {
    return "/var/cache/isthmus";
  }
  if (const char* base = std::getenv("XDG_CACHE_HOME"); base != nullptr && *base == '/') {
    return std::filesystem::path(base) / "isthmus";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') {
    return std::filesystem::path(home) / ".cache" / "isthmus";
  }
  return std::nullopt;
}

}  // namespace

Result<Confinement> Confinement::create(std::optional<ChildProcess::Identity> user,
                                        std::optional<std::filesystem::path> cache_dir) {
  Confinement made;
  made.root_ = ::geteuid() == 0;
  if (user && !made.root_ && user->uid != ::geteuid()) {
    return fail(Errc::permission_denied, text("worker_user ", user->uid,
                                              ": only root can become another user; isthmusd "
                                              "is user ",
                                              ::geteuid(), "; remove worker_user, or start it as root"));
  }
  made.network_error_ = made.root_ ? try_to_leave_network() : EPERM;
  made.user_ = made.root_ ? std::move(user) : std::nullopt;
  made.cache_dir_ = cache_dir ? std::move(cache_dir) : default_cache_dir(made.root_);
  return made;
}

std::string Confinement::summary() const {
  std::string who;
  if (!root_) {
    who = text("they run as user ", ::geteuid(), ", as isthmusd does: only root can give them users of their own");
  } else if (user_) {
    who = text("they run as user ", user_->uid);
  } else {
    who = text("each VM's and each shm user's run as a user of their own, from ", first_uid, " up");
  }
  who += network_error_ == 0 ? ", without network" : text(", with network: ", errno_text(network_error_));
  const std::string missing = FileFence::missing_in(FileFence::kernel_version());
  return missing.empty() ? text(who, ", kept to their own files and processes") : text(who, "; ", missing);
}

uid_t Confinement::uid_of(const std::string& owner) {
  if (const auto known = uids_.find(owner); known != uids_.end()) {
    return known->second;
  }
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325;  // FNV-1a, 64 bits
  for (const char c : owner) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x0000'0100'0000'01b3;
  }
  auto place = static_cast<uid_t>((hash ^ (hash >> 32)) % uid_count);
  while (!taken_.insert(first_uid + place).second) {
    place = (place + 1) % uid_count;
  }
  return uids_[owner] = first_uid + place;
}

Result<std::filesystem::path> Confinement::prepare_cache(const std::string& owner, uid_t uid, gid_t gid) const {
  if (!cache_dir_) {
    return fail(Errc::not_found,
                "cache_dir: neither XDG_CACHE_HOME nor HOME is set; set cache_dir in the configuration");
  }
  std::error_code error;
  std::filesystem::create_directories(cache_dir_->parent_path(), error);
  // Workers find their own directory in it, and see no names of others.
  if (::mkdir(cache_dir_->c_str(), 0711) == 0) {
    if (::chmod(cache_dir_->c_str(), 0711) != 0) {
      return fail_errno(errno, text("cache_dir ", cache_dir_->native(), ": cannot set its mode"));
    }
  } else if (errno != EEXIST) {
    return fail_errno(errno, text("cache_dir ", cache_dir_->native(), ": cannot be made"));
  }
  const UniqueFd parent(::open(cache_dir_->c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat status{};
  if (!parent || ::fstat(parent.get(), &status) != 0) {
    return fail_errno(errno, text("cache_dir ", cache_dir_->native()));
  }
  if ((status.st_uid != ::geteuid() && status.st_uid != 0) || (status.st_mode & 0022U) != 0) {
    return fail(Errc::permission_denied,
                text("cache_dir ", cache_dir_->native(), ": belongs to user ", status.st_uid, " with mode ",
                     octal(status.st_mode & 07777U), "; it must be isthmusd's, and nobody else may write it"));
  }
  auto directory = *cache_dir_ / owner;
  // Nobody else can write the parent, so what is made here stays what it is until it is handed over.
  if (::mkdirat(parent.get(), owner.c_str(), 0700) == 0) {
    if (root_ && ::fchownat(parent.get(), owner.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) {
      const int reason = errno;
      ::unlinkat(parent.get(), owner.c_str(), AT_REMOVEDIR);
      return fail_errno(reason, text("cache ", directory.native(), ": cannot be given to user ", uid));
    }
  } else if (errno != EEXIST) {
    return fail_errno(errno, text("cache ", directory.native(), ": cannot be made"));
  }
  if (::fstatat(parent.get(), owner.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno(errno, text("cache ", directory.native()));
  }
  if (!S_ISDIR(status.st_mode) || status.st_uid != uid || (status.st_mode & 0077U) != 0) {
    return fail(Errc::permission_denied,
                text("cache ", directory.native(), ": belongs to user ", status.st_uid, " with mode ",
                     octal(status.st_mode & 07777U), "; it must be a directory of user ", uid,
                     " with mode 0700: remove it, and it is made anew"));
  }
  return directory;
}

Result<Confinement::Fence*> Confinement::fence_of(const std::string& owner, const Confined& confined,
                                                  const std::optional<std::filesystem::path>& own) {
  // One is good for many starts: only what is made beside closed directories meanwhile is missed.
  constexpr std::chrono::minutes good_for{1};
  struct stat status{};
  const ino_t inode = own && ::stat(own->c_str(), &status) == 0 ? status.st_ino : 0;
  const auto now = std::chrono::steady_clock::now();
  Fence& known = fences_[owner];
  if (known.descriptor != nullptr && known.own_inode == inode && now - known.made < good_for) {
    return &known;
  }
  FileFence fence{.off_limits = off_limits_, .own = own, .users = {::geteuid()}};
  if (cache_dir_) {
    fence.off_limits.push_back(*cache_dir_);
  }
  if (confined.identity) {
    fence.users.push_back(confined.identity->uid);
  }
  auto made = fence.make();
  if (!made) {
    return std::unexpected(std::move(made).error());
  }
  known = {.descriptor = std::make_shared<const UniqueFd>(std::move(made->descriptor)),
           .left_out = std::move(made->left_out),
           .own_inode = inode,
           .made = now};
  return &known;
}

Result<Confined> Confinement::of(const std::string& owner, bool cache, const std::vector<std::string>& more) {
  Confined confined{
      .identity = user_, .no_network = network_error_ == 0, .fence = nullptr, .environment = {}, .note = {}};
  std::optional<std::filesystem::path> own;
  if (root_ && !user_) {
    const uid_t uid = uid_of(owner);
    confined.identity = ChildProcess::Identity{.uid = uid, .gid = uid, .groups = {}};
  }
  if (cache) {
    const uid_t uid = confined.identity ? confined.identity->uid : ::geteuid();
    const gid_t gid = confined.identity ? confined.identity->gid : ::getegid();
    const auto directory = prepare_cache(owner, uid, gid);
    if (!directory) {
      return std::unexpected(directory.error());
    }
    own = *directory;
    for (const char* key : {"POCL_CACHE_DIR", "CUDA_CACHE_PATH", "XDG_CACHE_HOME"}) {
      const std::string start = text(key, "=");
      if (std::ranges::none_of(more, [&](const std::string& one) { return one.starts_with(start); })) {
        confined.environment.push_back(start + directory->native());
      }
    }
  }
  confined.environment.insert(confined.environment.end(), more.begin(), more.end());
  if (FileFence::kernel_version() != 0) {
    auto fence = fence_of(owner, confined, own);
    if (!fence) {
      return fail(fence.error().code, text("worker of ", owner, ": ", fence.error().message));
    }
    confined.fence = (*fence)->descriptor;
    confined.note = std::exchange((*fence)->left_out, {});
  }
  return confined;
}

}  // namespace isthmus::host
