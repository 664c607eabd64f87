// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "perf/rivals/rivals.hpp"
#include "perf/support/must.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::perf {
namespace {

// The two ends of a connection; for pipes reading and writing have descriptors of their own.
struct End {
  UniqueFd in;
  UniqueFd out;

  [[nodiscard]] int reader() const noexcept { return in.get(); }
  [[nodiscard]] int writer() const noexcept { return out ? out.get() : in.get(); }
};

struct Connection {
  End client;
  End host;
};

Connection connect_unix(int flags) {
  std::array<int, 2> fds{};
  check_system(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, fds.data()) == 0, "socketpair");
  return {.client = {.in = UniqueFd(fds[0]), .out = {}}, .host = {.in = UniqueFd(fds[1]), .out = {}}};
}

Connection connect_pipes() {
  std::array<int, 2> requests{};
  std::array<int, 2> replies{};
  check_system(pipe2(requests.data(), O_CLOEXEC) == 0 && pipe2(replies.data(), O_CLOEXEC) == 0, "pipe");
  return {.client = {.in = UniqueFd(replies[0]), .out = UniqueFd(requests[1])},
          .host = {.in = UniqueFd(requests[0]), .out = UniqueFd(replies[1])}};
}

Connection connect_tcp() {
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof address;
  check_system(bind(listener.get(), generic, length) == 0 && listen(listener.get(), 1) == 0 &&
                   getsockname(listener.get(), generic, &length) == 0,
               "listening at 127.0.0.1");
  UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  check_system(connect(client.get(), generic, length) == 0, "connecting to 127.0.0.1");
  UniqueFd host(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const int one = 1;
  for (const int fd : {client.get(), host.get()}) {
    check_system(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0, "TCP_NODELAY");
  }
  return {.client = {.in = std::move(client), .out = {}}, .host = {.in = std::move(host), .out = {}}};
}

Connection connect_by(SocketKind kind) {
  switch (kind) {
    case SocketKind::unix_stream_polled:
      return connect_unix(SOCK_NONBLOCK);
    case SocketKind::tcp_loopback:
      return connect_tcp();
    case SocketKind::pipe:
      return connect_pipes();
    case SocketKind::unix_stream:
      break;
  }
  return connect_unix(0);
}

void write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = write(fd, bytes.data(), bytes.size());
    check_system(put >= 0 || errno == EAGAIN || errno == EINTR, "write");
    bytes = bytes.subspan(static_cast<std::size_t>(std::max<ssize_t>(put, 0)));
  }
}

void read_all(int fd, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = read(fd, bytes.data(), bytes.size());
    if (got == 0) {
      throw std::runtime_error("the other end hung up");
    }
    check_system(got > 0 || errno == EAGAIN || errno == EINTR, "read");
    bytes = bytes.subspan(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  }
}

class SocketCall final : public Exchange {
 public:
  SocketCall(SocketKind kind, std::size_t request_bytes) : connection_(connect_by(kind)), request_(request_bytes) {}

  void client(std::uint32_t count) override {
    for (; count > 0; --count) {
      ++sent_;
      std::memcpy(request_.data(), &sent_, sizeof sent_);
      write_all(connection_.client.writer(), request_);
      Message56 reply;
      read_all(connection_.client.reader(), std::as_writable_bytes(std::span(&reply, 1)));
      if (reply.words.front() != sent_) {
        throw std::runtime_error("a reply does not belong to its request");
      }
    }
  }
  void host(std::uint32_t count) override {
    for (; count > 0; --count) {
      read_all(connection_.host.reader(), request_);
      write_all(connection_.host.writer(), std::span(request_).first(sizeof(Message56)));
    }
  }

 private:
  Connection connection_;
  std::vector<std::byte> request_;
  std::uint64_t sent_ = 0;
};

}  // namespace

std::unique_ptr<Exchange> socket_exchange(SocketKind kind, std::size_t request_bytes) {
  return std::make_unique<SocketCall>(kind, std::max(request_bytes, sizeof(Message56)));
}

}  // namespace isthmus::perf
