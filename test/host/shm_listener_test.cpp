// SPDX-License-Identifier: Apache-2.0
#include "host/shm_listener.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): POSIX signals, not C++'s
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "helper_process.hpp"
#include "host/event_loop.hpp"
#include "temp_dir.hpp"

namespace isthmus::host {
namespace {

using test::HelperProcess;

/// Connects, or leaves errno.
UniqueFd connect_to(const std::filesystem::path& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.native().copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return {};
  }
  return socket;
}

bool readable(int fd, int milliseconds) {
  pollfd poll{fd, POLLIN, 0};
  return ::poll(&poll, 1, milliseconds) == 1;
}

class ShmListenerTest : public testing::Test {
 protected:
  ShmListenerTest() {
    config_.name = "local";
    config_.region_size = std::uint64_t{8} << 20U;
  }

  [[nodiscard]] std::filesystem::path run_dir() const { return dir_.path() / "run"; }
  [[nodiscard]] Result<ShmListener> make() const { return ShmListener::create(run_dir(), config_); }

  test::TempDir dir_;
  ShmConfig config_;
};

TEST_F(ShmListenerTest, a_client_is_accepted_with_the_kernels_word_on_who_it_is) {
  auto listener = make();
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_EQ(listener->path(), run_dir() / "local.sock");
  EXPECT_FALSE(listener->accept().value());
  const UniqueFd client = connect_to(listener->path());
  ASSERT_TRUE(client);
  auto accepted = listener->accept();
  ASSERT_TRUE(accepted) << accepted.error().message;
  ASSERT_TRUE(*accepted);
  const ShmPeer& peer = **accepted;
  EXPECT_EQ(peer.pid, ::getpid());
  EXPECT_EQ(peer.uid, ::getuid());
  EXPECT_EQ(peer.gid, ::getgid());
  EXPECT_TRUE(peer.pidfd);
  EXPECT_FALSE(readable(peer.pidfd.get(), 0));
  EXPECT_NE(::fcntl(peer.socket.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(peer.socket.get(), F_GETFL) & O_NONBLOCK, 0);
  ASSERT_EQ(::send(client.get(), "hello", 5, 0), 5);
  std::array<char, 16> received{};
  EXPECT_EQ(::recv(peer.socket.get(), received.data(), received.size(), 0), 5);
}

TEST_F(ShmListenerTest, the_death_of_a_client_is_seen_on_its_pidfd) {
  auto listener = make();
  ASSERT_TRUE(listener);
  HelperProcess client([&] { return connect_to(listener->path()).release() >= 0; });
  ASSERT_TRUE(client.ready());
  auto accepted = listener->accept();
  ASSERT_TRUE(accepted && *accepted);
  EXPECT_EQ((*accepted)->pid, client.pid());
  EXPECT_FALSE(readable((*accepted)->pidfd.get(), 0));
  client.kill();
  EXPECT_TRUE(readable((*accepted)->pidfd.get(), 60'000));
}

TEST_F(ShmListenerTest, a_client_that_died_before_it_was_accepted_harms_nobody) {
  auto listener = make();
  ASSERT_TRUE(listener);
  HelperProcess client([&] { return connect_to(listener->path()).release() >= 0; });
  ASSERT_TRUE(client.ready());
  client.kill();
  auto accepted = listener->accept();
  if (accepted) {  // newer kernels still name the dead process
    ASSERT_TRUE(*accepted);
    EXPECT_TRUE(readable((*accepted)->pidfd.get(), 60'000));
  } else {
    EXPECT_EQ(accepted.error().code, Errc::peer_died) << accepted.error().message;
  }
  const UniqueFd next = connect_to(listener->path());
  accepted = listener->accept();
  EXPECT_TRUE(accepted && *accepted);
}

TEST_F(ShmListenerTest, the_loop_tells_of_clients) {
  auto listener = make();
  ASSERT_TRUE(listener);
  const auto loop = EventLoop::create(LoopEngine::automatic);
  std::vector<ShmPeer> peers;
  ASSERT_TRUE((*loop)->add(listener->fd(), EPOLLIN, [&](std::uint32_t /*events*/) {
    auto accepted = listener->accept();
    ASSERT_TRUE(accepted && *accepted);
    peers.push_back(std::move(**accepted));
    if (peers.size() == 3) {
      (*loop)->stop();
    }
  }));
  std::array<UniqueFd, 3> clients;
  (*loop)->call_after(std::chrono::milliseconds(1), [&] {
    for (UniqueFd& client : clients) {
      client = connect_to(listener->path());
    }
  });
  (*loop)->call_after(std::chrono::seconds(60), [&] { (*loop)->stop(); });
  ASSERT_TRUE((*loop)->run());
  EXPECT_EQ(peers.size(), 3U);
}

TEST_F(ShmListenerTest, the_sockets_mode_is_the_configured_one_whatever_the_umask) {
  for (const mode_t mask : {mode_t{0}, mode_t{077}, mode_t{0777}}) {
    const mode_t before = ::umask(mask);
    config_.access.mode = 0660;
    const auto listener = make();
    ::umask(before);
    ASSERT_TRUE(listener) << listener.error().message;
    struct stat status{};
    ASSERT_EQ(::lstat(listener->path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode, S_IFSOCK | 0660U);
  }
}

TEST_F(ShmListenerTest, the_socket_is_given_to_its_owner_and_keeps_others_out) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0755), 0);
  config_.access.owner = 65533;
  config_.access.group = 65533;
  const auto listener = make();
  ASSERT_TRUE(listener);
  struct stat status{};
  ASSERT_EQ(::lstat(listener->path().c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 65533U);
  EXPECT_EQ(status.st_gid, 65533U);
  const auto connects_as = [&](uid_t uid) {
    return HelperProcess([&] { return ::setgid(uid) == 0 && ::setuid(uid) == 0 && connect_to(listener->path()); })
        .ready();
  };
  EXPECT_TRUE(connects_as(65533));
  EXPECT_FALSE(connects_as(65534));
}

TEST_F(ShmListenerTest, a_second_daemon_is_told_and_harms_nothing) {
  auto listener = make();
  ASSERT_TRUE(listener);
  const auto second = make();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::busy);
  EXPECT_NE(second.error().message.find("endpoint shm:local: another isthmusd serves it in " + run_dir().native()),
            std::string::npos)
      << second.error().message;
  EXPECT_TRUE(connect_to(listener->path()));
}

TEST_F(ShmListenerTest, another_name_in_the_same_directory_is_no_conflict) {
  const auto first = make();
  config_.name = "other";
  const auto second = make();
  EXPECT_TRUE(first && second);
}

TEST_F(ShmListenerTest, what_a_killed_daemon_left_is_taken_over) {
  HelperProcess daemon([this] {
    auto listener = make();
    if (listener) {
      [[maybe_unused]] const auto* kept = new ShmListener(std::move(*listener));
    }
    return std::filesystem::exists(run_dir() / "local.sock");
  });
  ASSERT_TRUE(daemon.ready());
  daemon.kill();
  ASSERT_TRUE(std::filesystem::exists(run_dir() / "local.sock"));
  EXPECT_FALSE(connect_to(run_dir() / "local.sock"));
  EXPECT_EQ(errno, ECONNREFUSED);
  const auto listener = make();
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_TRUE(connect_to(listener->path()));
}

TEST_F(ShmListenerTest, nothing_is_left_at_the_end) {
  {
    ASSERT_TRUE(make());
  }
  EXPECT_TRUE(std::filesystem::is_empty(run_dir()));
}

TEST_F(ShmListenerTest, something_else_in_the_place_is_left_alone) {
  std::filesystem::create_directory(run_dir());
  std::ofstream(run_dir() / "local.sock").put('x');
  const auto listener = make();
  ASSERT_FALSE(listener);
  EXPECT_EQ(listener.error().code, Errc::invalid_argument);
  EXPECT_TRUE(std::filesystem::is_regular_file(run_dir() / "local.sock"));
  EXPECT_FALSE(std::filesystem::exists(run_dir() / "local.lock"));
}

TEST_F(ShmListenerTest, without_free_descriptors_a_client_is_refused_instead_of_left_in_the_queue) {
  auto listener = make();
  ASSERT_TRUE(listener);
  const UniqueFd client = connect_to(listener->path());
  ASSERT_TRUE(client);

  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const UniqueFd highest(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(highest.get()) + 1;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  std::vector<UniqueFd> fillers;
  for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) {
    fillers.emplace_back(fd);
  }
  const auto refused = listener->accept();
  const auto after = listener->accept();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::exhausted) << refused.error().message;
  // The queue is empty; accept() finds out even without a descriptor, or is refused once more without harm.
  EXPECT_TRUE(!after || !*after);
  char byte = 0;
  EXPECT_EQ(::recv(client.get(), &byte, 1, 0), 0);
  fillers.clear();
  const UniqueFd next = connect_to(listener->path());
  const auto accepted = listener->accept();
  EXPECT_TRUE(accepted && *accepted);
}

}  // namespace
}  // namespace isthmus::host
