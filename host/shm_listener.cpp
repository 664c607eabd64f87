// SPDX-License-Identifier: Apache-2.0
#include "host/shm_listener.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "host/octal.hpp"
#include "host/pidfd.hpp"
#include "host/runtime_dir.hpp"
#include "host/system_error.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {
namespace {

constexpr int backlog = 128;
constexpr int so_peerpidfd = 77;  // SO_PEERPIDFD, Linux 6.5

UniqueFd open_spare() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

bool names(const std::filesystem::path& path, dev_t device, ino_t inode) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

/// The process at the other end; empty, with errno, on failure.
UniqueFd pidfd_of_peer(int socket, pid_t pid) {
  int pidfd = -1;
  socklen_t size = sizeof pidfd;
  if (::getsockopt(socket, SOL_SOCKET, so_peerpidfd, &pidfd, &size) == 0) {
    return UniqueFd(pidfd);
  }
  if (errno != ENOPROTOOPT) {
    return {};
  }
  // Before Linux 6.5: by number. The number of a process that ended since could in theory be another's by now; then
  // that one's end is taken for the client's, and the region, which only the client has, is given up later.
  return open_pidfd(pid);
}

}  // namespace

ShmListener::ShmListener(const std::filesystem::path& base)
    : label_(text("endpoint shm:", base.filename().native())),
      socket_path_(base.native() + ".sock"),
      lock_path_(base.native() + ".lock") {}

Result<ShmListener> ShmListener::create(const std::filesystem::path& runtime_dir, const ShmConfig& config) {
  if (auto prepared = prepare_runtime_dir(runtime_dir); !prepared) {
    return std::unexpected(std::move(prepared).error());
  }
  ShmListener listener(runtime_dir / config.name);
  if (auto locked = listener.lock(); !locked) {
    return std::unexpected(std::move(locked).error());
  }
  if (auto listening = listener.listen(config.access); !listening) {
    return std::unexpected(std::move(listening).error());
  }
  listener.spare_ = open_spare();
  return listener;
}

ShmListener::~ShmListener() {
  if (!lock_) {
    return;  // moved from, or the name is another daemon's
  }
  if (inode_ != 0 && names(socket_path_, device_, inode_)) {
    ::unlink(socket_path_.c_str());
  }
  // While it is locked: whoever has it open already finds after locking that the name is gone, and makes a new one.
  ::unlink(lock_path_.c_str());
}

Result<void> ShmListener::lock() {
  constexpr int rounds = 16;  // each one lost to a daemon that ended between our open and our lock
  for (int round = 0; round < rounds; ++round) {
    UniqueFd file(::open(lock_path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) {
      return fail_errno(errno, text(label_, ": ", lock_path_.native()));
    }
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) {
        return fail_errno(errno, text(label_, ": ", lock_path_.native(), " cannot be locked"));
      }
      return fail(Errc::busy, text(label_, ": another isthmusd serves it in ", lock_path_.parent_path().native(),
                                   "; stop that one, or choose another name or runtime_dir"));
    }
    struct stat status{};
    if (::fstat(file.get(), &status) == 0 && names(lock_path_, status.st_dev, status.st_ino)) {
      lock_ = std::move(file);
      return {};
    }
  }
  return fail(Errc::busy, text(label_, ": somebody makes and removes ", lock_path_.native(), " all the time"));
}

Result<void> ShmListener::listen(const FileAccess& access) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& path = socket_path_.native();
  if (path.size() >= sizeof address.sun_path) {
    return fail(Errc::invalid_argument, text(label_, ": ", path, " has ", path.size(), " characters, ",
                                             sizeof address.sun_path - 1, " are possible; shorten runtime_dir"));
  }
  path.copy(address.sun_path, path.size());

  // The lock is ours, so a socket that stands here belongs to nobody who lives.
  struct stat status{};
  if (::lstat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode)) {
      return fail(Errc::invalid_argument, text(label_, ": ", path, " is no socket; remove it"));
    }
    if (::unlink(path.c_str()) != 0) {
      return fail_errno(errno, text(label_, ": ", path, " is left over and cannot be removed"));
    }
  }

  socket_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_) {
    return fail_errno(errno, text(label_, ": socket"));
  }
  // Nobody can connect before listen(), so mode and owner are right from the first moment on.
  if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno(errno, text(label_, ": ", path));
  }
  if (::lstat(path.c_str(), &status) != 0) {
    return fail_errno(errno, text(label_, ": ", path));
  }
  device_ = status.st_dev;
  inode_ = status.st_ino;
  if ((access.owner || access.group) && ::lchown(path.c_str(), access.owner.value_or(static_cast<uid_t>(-1)),
                                                 access.group.value_or(static_cast<gid_t>(-1))) != 0) {
    return fail_errno(errno, text(label_, ": ", path, " cannot be given to its owner and group; run isthmusd as root"));
  }
  if (::chmod(path.c_str(), access.mode) != 0) {
    return fail_errno(errno, text(label_, ": ", path, ": mode ", octal(access.mode), " cannot be set"));
  }
  if (::listen(socket_.get(), backlog) != 0) {
    return fail_errno(errno, text(label_, ": listen"));
  }
  return {};
}

Result<std::optional<ShmPeer>> ShmListener::accept() {
  ShmPeer peer;
  do {
    peer.socket.reset(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  } while (!peer.socket && (errno == EINTR || errno == ECONNABORTED));
  if (!peer.socket) {
    const int error = errno;
    if (error == EAGAIN) {
      return std::nullopt;
    }
    if (error == EMFILE || error == ENFILE) {
      // Left in the queue, the connection would keep the loop turning.
      spare_.reset();
      peer.socket.reset(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      peer.socket.reset();
      spare_ = open_spare();
      return fail(Errc::exhausted, text(label_, ": a client is refused, no descriptor is free; raise LimitNOFILE"));
    }
    return fail(Errc::system, text(label_, ": accept: ", errno_text(error)));
  }

  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(peer.socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return fail(Errc::peer_died, text(label_, ": a client without credentials is refused: ", errno_text(errno)));
  }
  peer.pid = credentials.pid;
  peer.uid = credentials.uid;
  peer.gid = credentials.gid;
  peer.pidfd = pidfd_of_peer(peer.socket.get(), peer.pid);
  if (!peer.pidfd) {
    const int error = errno;
    if (error == EMFILE || error == ENFILE) {
      return fail(Errc::exhausted, text(label_, ": a client is refused, no descriptor is free; raise LimitNOFILE"));
    }
    return fail(Errc::peer_died,
                text(label_, ": client ", peer.pid, " is refused, it has ended already: ", errno_text(error)));
  }
  return peer;
}

}  // namespace isthmus::host
