// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "src/transport/claim.hpp"
#include "src/transport/daemon_protocol.hpp"
#include "src/transport/deadline.hpp"
#include "src/transport/descriptor_message.hpp"
#include "src/transport/lane_state.hpp"
#include "src/transport/text.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus {
namespace {

/// The connection to the daemon: it ends when the worker or the daemon does, and says why.
class ShmLink final : public Link {
 public:
  ShmLink(UniqueFd socket, UniqueFd kick) noexcept : socket_(std::move(socket)), kick_(std::move(kick)) {}

  void kick() noexcept override {
    const std::uint64_t one = 1;
    // A full counter cannot happen before 2^64 kicks; a lost kick is caught by the worker's own timer.
    static_cast<void>(!write(kick_.get(), &one, sizeof one));
  }

  Result<void> check_host() override {
    wire::LaneClosed closed;
    const ssize_t got = recv(socket_.get(), &closed, sizeof closed, MSG_DONTWAIT | MSG_PEEK);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      return {};
    }
    if (got == static_cast<ssize_t>(sizeof closed) && closed.magic == wire::hello_magic) {
      return fail(Errc::peer_died, text("the host closed the lane: ", copy_text(closed.text)));
    }
    return fail(Errc::peer_died, "the host closed the lane: isthmusd ended");
  }

  bool shares_kernel() const noexcept override { return true; }

  void forget_in_child() noexcept override { socket_.reset(); }

 private:
  UniqueFd socket_;
  UniqueFd kick_;
};

// Where sockets of daemons may lie, in the order of preference.
std::vector<std::string> runtime_folders() {
  // NOLINTBEGIN(concurrency-mt-unsafe): read once at attach; a program that changes its environment meanwhile is on
  // its own
  if (const char* chosen = std::getenv("ISTHMUS_RUNTIME_DIR"); chosen != nullptr && *chosen != '\0') {
    return {chosen};
  }
  std::vector<std::string> folders;
  if (const char* user = std::getenv("XDG_RUNTIME_DIR"); user != nullptr && *user != '\0') {
    folders.push_back(text(std::string_view(user), "/isthmus"));
  }
  // NOLINTEND(concurrency-mt-unsafe)
  folders.emplace_back("/run/isthmus");
  return folders;
}

// connect() waits while the daemon's queue is full, which it is while the daemon is stopped.
bool connect_within(int socket, const sockaddr_un& address, std::chrono::milliseconds timeout) {
  const auto deadline = deadline_after(timeout);
  for (;;) {
    const auto left = std::max(deadline - std::chrono::steady_clock::now(), std::chrono::steady_clock::duration(1000));
    const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
    const timeval bound{.tv_sec = seconds.count(),
                        .tv_usec = std::chrono::floor<std::chrono::microseconds>(left - seconds).count()};
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets interface
    if (connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      return true;
    }
    if (errno != EINTR) {
      return false;
    }
  }
}

Result<UniqueFd> connect_to(const std::string& path, const std::string& name, std::chrono::milliseconds timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(Errc::invalid_argument, text("socket path ", path, ": ", path.size(), " characters; ",
                                             sizeof address.sun_path - 1, " are possible; set ISTHMUS_RUNTIME_DIR"));
  }
  std::memcpy(static_cast<char*>(address.sun_path), path.data(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (fd && connect_within(fd.get(), address, timeout)) {
    return fd;
  }
  const int error = errno;
  if (error == EACCES || error == EPERM) {
    return fail(Errc::permission_denied, text("endpoint shm:", name, ": no permission for ", path,
                                              "; ask for access to the socket (mode and group in the daemon's "
                                              "configuration)"));
  }
  if (error == ENOENT || error == ECONNREFUSED) {
    return fail(Errc::not_found, text("endpoint shm:", name, ": nobody listens at ", path,
                                      "; is isthmusd running, with a [[shm]] of that name?"));
  }
  if (error == EAGAIN) {
    return fail(Errc::timed_out, text("endpoint shm:", name, ": isthmusd took no connection at ", path, " within ",
                                      timeout.count(), " ms; is it stopped, or overloaded?"));
  }
  return fail(Errc::system, text("endpoint shm:", name, ": ", path, ": ", errno_text(error)));
}

Result<UniqueFd> connect_to_daemon(const std::string& name, std::chrono::milliseconds timeout) {
  Result<UniqueFd> outcome = fail(Errc::not_found, "");
  for (const std::string& folder : runtime_folders()) {
    outcome = connect_to(text(folder, "/", name, ".sock"), name, timeout);
    if (outcome || outcome.error().code != Errc::not_found) {
      break;
    }
  }
  return outcome;
}

// 32-bit FNV-1a, but 0 for nothing alone.
std::uint32_t hash_of(std::string_view variables) {
  std::uint32_t hash = 0x811c'9dc5;
  for (const char c : variables) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x0100'0193;
  }
  return variables.empty() ? 0 : hash | 1U;
}

struct Descriptors {
  UniqueFd region;
  UniqueFd kick;
};

Result<Descriptors> receive_welcome(int socket, const std::string& name, std::chrono::milliseconds timeout) {
  if (!wait_readable(socket, timeout)) {
    return fail(Errc::timed_out,
                text("endpoint shm:", name, ": isthmusd did not answer within ", timeout.count(), " ms"));
  }
  wire::DaemonWelcome welcome;
  const auto receive = [&] {
    return receive_with_descriptors(socket, std::as_writable_bytes(std::span(&welcome, 1)), 0);
  };
  DescriptorMessage received = receive();
  if (received.bytes < 0 && errno == ECONNRESET) {
    received = receive();  // it hung up with our hello unread; what it said before still comes
  }
  if (received.bytes != static_cast<ssize_t>(sizeof welcome) || welcome.magic != wire::hello_magic) {
    return fail(Errc::version_mismatch,
                text("endpoint shm:", name, ": whoever listens there is no isthmusd, or it ended just now"));
  }
  switch (welcome.verdict) {
    case wire::Welcome::accepted:
      break;
    case wire::Welcome::version_mismatch:
      return fail(Errc::version_mismatch, text("endpoint shm:", name, ": ", copy_text(welcome.text)));
    case wire::Welcome::busy:
      return fail(Errc::exhausted, text("endpoint shm:", name, ": ", copy_text(welcome.text)));
    case wire::Welcome::failed:
    default:
      return fail(Errc::system, text("endpoint shm:", name, ": ", copy_text(welcome.text)));
  }
  auto& [region, kick] = received.descriptors;
  if (!region || !kick) {
    return fail(Errc::protocol_violation, text("endpoint shm:", name, ": the daemon sent ", region ? 1 : 0,
                                               " descriptors instead of ", received.descriptors.size()));
  }
  return Descriptors{.region = std::move(region), .kick = std::move(kick)};
}

}  // namespace

Result<std::shared_ptr<LaneState>> attach_shm(const Endpoint& endpoint, const AttachOptions& options) {
  const auto environment = join_environment(options.environment);
  if (!environment) {
    return std::unexpected(environment.error());
  }
  auto socket = connect_to_daemon(endpoint.name, options.timeout);
  if (!socket) {
    return std::unexpected(std::move(socket.error()));
  }
  const wire::ClientHello hello{.abi = abi::abi_version, .variables = hash_of(*environment)};
  // Where isthmusd has hung up already, it may have said why.
  if (send(socket->get(), &hello, sizeof hello, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof hello) && errno != EPIPE &&
      errno != ECONNRESET) {
    return fail(Errc::peer_died, text("endpoint shm:", endpoint.name, ": isthmusd hung up: ", errno_text(errno)));
  }
  auto descriptors = receive_welcome(socket->get(), endpoint.name, options.timeout);
  if (!descriptors) {
    return std::unexpected(std::move(descriptors.error()));
  }
  const std::string what = text("endpoint shm:", endpoint.name);
  struct stat status{};
  if (fstat(descriptors->region.get(), &status) != 0) {
    return fail(Errc::system, text(what, ": ", errno_text(errno)));
  }
  auto region = Region::open_as_client(descriptors->region.get(), static_cast<std::uint64_t>(status.st_size), what);
  if (!region) {
    return std::unexpected(std::move(region.error()));
  }
  if (auto claimed = claim_lane(*region, 0, *environment); !claimed) {
    return std::unexpected(std::move(claimed.error()));
  }
  auto link = std::make_unique<ShmLink>(std::move(*socket), std::move(descriptors->kick));
  return LaneState::begin(std::move(*region), 0, std::move(link), options.timeout);
}

}  // namespace isthmus
