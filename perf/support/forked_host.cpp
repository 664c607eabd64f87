// SPDX-License-Identifier: Apache-2.0
#include "perf/support/forked_host.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <span>
#include <thread>
#include <tuple>
#include <utility>

#include "isthmus/lane_server.hpp"
#include "perf/support/must.hpp"
#include "perf/support/placement.hpp"
#include "src/transport/daemon_protocol.hpp"
#include "src/transport/format_region.hpp"
#include "src/transport/region.hpp"

namespace isthmus::perf {
namespace {

constexpr const char* endpoint_name = "bench";

template <class T>
std::optional<T> body(const Request& request) {
  T value;
  if (request.fixed().size() != sizeof value) {
    return std::nullopt;
  }
  std::memcpy(&value, request.fixed().data(), sizeof value);
  return value;
}

class BenchService final : public Service {
 public:
  void handle(Request& request) override {
    switch (request.opcode()) {
      case wire::echo:
        std::ignore = request.reply(0, request.fixed(), request.trailing());
        break;
      case wire::acknowledge:
        std::ignore = request.reply(take(request) ? 0 : -1);
        break;
      case wire::count:
        std::ignore = take(request);
        break;
      case wire::swallow: {
        const wire::OneSlot answer;
        std::ignore = request.reply(0, std::as_bytes(std::span(&answer, 1)));
        break;
      }
      case wire::pin:
        if (const auto pin = body<wire::Pin>(request)) {
          pin_to(pin->cpu);
          std::ignore = request.reply(0);
        }
        break;
      default:
        break;  // answered as unhandled
    }
  }

 private:
  static bool take(const Request& request) {
    const auto payload = body<wire::Payload>(request);
    if (!payload || !request.resolve(payload->data)) {
      return false;
    }
    if (payload->counter.length == 0) {
      return true;
    }
    const auto counter = request.resolve(payload->counter);
    if (!counter || counter->size() != sizeof(std::uint64_t) ||
        payload->counter.offset() % sizeof(std::uint64_t) != 0) {
      return false;
    }
    std::atomic_ref(*reinterpret_cast<std::uint64_t*>(counter->data())).fetch_add(1, std::memory_order_release);
    return true;
  }
};

// A folder for the one socket through which Lane::attach finds its daemon.
class SocketFolder {
 public:
  SocketFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "isthmus-bench-XXXXXX").string();
    check_system(mkdtemp(pattern.data()) != nullptr, pattern);
    folder_ = pattern;
  }
  SocketFolder(const SocketFolder&) = delete;
  SocketFolder& operator=(const SocketFolder&) = delete;
  SocketFolder(SocketFolder&&) = delete;
  SocketFolder& operator=(SocketFolder&&) = delete;
  ~SocketFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  [[nodiscard]] const std::string& path() const noexcept { return folder_; }
  [[nodiscard]] UniqueFd listen() const {
    UniqueFd listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = folder_ + "/" + endpoint_name + ".sock";
    std::memcpy(static_cast<char*>(address.sun_path), path.data(), std::min(path.size(), sizeof address.sun_path - 1));
    check_system(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                     ::listen(listener.get(), 1) == 0,
                 path);
    return listener;
  }

 private:
  std::string folder_;
};

// The daemon's part: takes one client's hello and hands it the region and the eventfd.
UniqueFd welcome_client(int listener, int region, int kick) {
  UniqueFd client(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  check_system(static_cast<bool>(client), "accept");
  isthmus::wire::ClientHello hello;
  check_system(recv(client.get(), &hello, sizeof hello, 0) == static_cast<ssize_t>(sizeof hello), "hello");
  isthmus::wire::DaemonWelcome welcome{.verdict = isthmus::wire::Welcome::accepted};
  const std::array<int, 2> fds{region, kick};
  iovec part{.iov_base = &welcome, .iov_len = sizeof welcome};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fds)> ancillary{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = ancillary.data();
  message.msg_controllen = ancillary.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fds);
  std::memcpy(CMSG_DATA(header), fds.data(), sizeof fds);
  check_system(sendmsg(client.get(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof welcome), "welcome");
  return client;
}

int serve(int listener, int region) {
  const UniqueFd kick(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const UniqueFd client = welcome_client(listener, region, kick.get());
  auto server = must(LaneServer::open(region, {.lane_count = 1, .kick_fd = kick.get()}));
  must(server.wait_for_claim());
  BenchService service;
  const LaneEnd end = server.serve(service);
  if (!end.orderly) {
    throw std::runtime_error(end.reason);
  }
  return 0;
}

}  // namespace

ForkedHost::ForkedHost(std::uint64_t region_size)
    : region_size_(region_size), region_(memfd_create("isthmus-bench", MFD_CLOEXEC)) {
  check_system(static_cast<bool>(region_), "memfd_create");
  const auto length = static_cast<off_t>(region_size);
  check_system(ftruncate(region_.get(), length) == 0 && posix_fallocate(region_.get(), 0, length) == 0,
               "region of " + std::to_string(region_size >> 20) + " MiB");
  must(format_region(region_.get(), {.name = endpoint_name, .size = region_size, .lane_count = 1}));
  must(set_daemon_present(region_.get(), true));
  const SocketFolder folder;
  const UniqueFd listener = folder.listen();
  worker_.emplace([&] { return serve(listener.get(), region_.get()); });

  unpin();
  setenv("ISTHMUS_RUNTIME_DIR", folder.path().c_str(), 1);
  lane_.emplace(must(Lane::attach(std::string("shm:") + endpoint_name, {.timeout = std::chrono::seconds(10)})));
  // How many threads may spin is found out at the first long wait, by the processors that the waiting thread may use:
  // to be had before any is pinned.
  for (int i = 0; i < 3; ++i) {
    wire::OneSlot answer;
    must(channel().call(wire::request(wire::swallow), std::as_writable_bytes(std::span(&answer, 1))));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

ForkedHost::~ForkedHost() = default;

Channel& ForkedHost::channel() { return *must(lane_->channel()); }

void ForkedHost::pin() {
  const wire::Pin request{.cpu = placement().host_cpu};
  const auto reply = must(channel().call(wire::request(wire::pin, std::as_bytes(std::span(&request, 1)))));
  if (reply.status != 0) {
    throw std::runtime_error("the worker could not be pinned");
  }
  pin_to(placement().client_cpu);
}

std::uint64_t ForkedHost::doorbells() const {
  const Region region = must(Region::open_as_client(region_.get(), region_size_, "bench"));
  std::uint64_t sum = 0;
  for (const auto& entry : region.lane(0).client.directory) {
    const auto value = entry.load_acquire().at_most(std::numeric_limits<std::uint64_t>::max());
    if (value.value_or(0) != 0) {
      const abi::ChannelWords& words = region.channel_block(*value & ~abi::channel_present)->words;
      for (const auto* word : {&words.request_doorbell, &words.reply_doorbell}) {
        sum += *word->word.load_relaxed().at_most(std::numeric_limits<std::uint32_t>::max());
      }
    }
  }
  return sum;
}

}  // namespace isthmus::perf
