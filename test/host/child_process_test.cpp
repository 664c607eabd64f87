// SPDX-License-Identifier: Apache-2.0
#include "host/child_process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): POSIX signals, not C++'s
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "helper_process.hpp"
#include "host/event_loop.hpp"
#include "host/signal_source.hpp"
#include "src/transport/text.hpp"
#include "temp_dir.hpp"

namespace isthmus::host {
namespace {

ChildProcess::Command probe(std::vector<std::string> arguments) {
  return {.program = ISTHMUS_CHILD_PROBE, .arguments = std::move(arguments), .environment = {}, .descriptors = {}};
}

struct OutputPipe {
  OutputPipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    reader.reset(ends[0]);
    writer.reset(ends[1]);
  }

  /// All that is written until the last writer is gone.
  std::string read_all() {
    writer.reset();
    std::string all;
    std::array<char, 4096> buffer{};
    while (true) {
      const ssize_t size = ::read(reader.get(), buffer.data(), buffer.size());
      if (size <= 0) {
        return all;
      }
      all.append(buffer.data(), static_cast<std::size_t>(size));
    }
  }

  UniqueFd reader;
  UniqueFd writer;
};

/// Waits for the end by the loop, as the daemon does.
ChildProcess::Exit wait_for(ChildProcess& child) {
  const auto loop = EventLoop::create(LoopEngine::automatic);
  std::optional<ChildProcess::Exit> exit;
  EXPECT_TRUE((*loop)->add(child.pidfd(), EPOLLIN, [&](std::uint32_t /*events*/) {
    exit = child.reap().value();
    (*loop)->stop();
  }));
  (*loop)->call_after(std::chrono::seconds(60), [&] { (*loop)->stop(); });
  EXPECT_TRUE((*loop)->run());
  EXPECT_TRUE(exit);
  return exit.value_or(ChildProcess::Exit{true, 0});
}

bool has_line(const std::string& facts, const std::string& line) {
  return ("\n" + facts).find("\n" + line + "\n") != std::string::npos;
}

TEST(ChildProcess, is_isolated_from_everything_of_ours) {
  // Things that must not be inherited.
  const UniqueFd leak(::open("/dev/null", O_RDONLY));  // NOLINT(android-cloexec-open): on purpose
  const UniqueFd high_leak(::fcntl(leak.get(), F_DUPFD, 500));
  ignore_signals({SIGHUP, SIGPIPE});
  const auto source = SignalSource::create({SIGTERM});
  ::setenv("ISTHMUS_TEST_SECRET", "1", 1);

  OutputPipe pipe;
  auto command = probe({"report", "with space"});
  command.environment = {"A=1", "B=two words"};
  command.descriptors = {{pipe.writer.get(), 3}, {leak.get(), 40}};
  auto child = ChildProcess::spawn(command);
  ASSERT_TRUE(child) << child.error().message;
  const std::string facts = pipe.read_all();
  EXPECT_EQ(wait_for(*child).to_text(), "exit status 0");

  EXPECT_TRUE(has_line(facts, "descriptors 0,1,2,3,40")) << facts;
  EXPECT_TRUE(has_line(facts, "argument with space")) << facts;
  EXPECT_TRUE(has_line(facts, "environment A=1\nenvironment B=two words")) << facts;
  EXPECT_EQ(facts.find("ISTHMUS_TEST_SECRET"), std::string::npos) << facts;
  EXPECT_EQ(facts.find("environment P"), std::string::npos) << facts;  // PATH, PWD
  EXPECT_TRUE(has_line(facts, "descriptor 0 /dev/null")) << facts;
  EXPECT_TRUE(has_line(facts, "descriptor 1 /dev/null")) << facts;
  EXPECT_TRUE(has_line(facts, "descriptor 2 /dev/null")) << facts;
  EXPECT_TRUE(has_line(facts, "directory /")) << facts;
  EXPECT_TRUE(has_line(facts, "death_signal 9")) << facts;
  EXPECT_TRUE(has_line(facts, "no_new_privs 1")) << facts;
  EXPECT_TRUE(has_line(facts, "own_session 1")) << facts;
  EXPECT_TRUE(has_line(facts, "umask 63")) << facts;  // 077
  EXPECT_TRUE(has_line(facts, "core_limit 0")) << facts;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
  EXPECT_TRUE(has_line(facts, "odd_signals 0")) << facts;  // sanitizers' runtimes handle some
#endif
}

TEST(ChildProcess, becomes_another_user_even_if_that_one_cannot_reach_the_program) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root to become another user";
  }
  const test::TempDir closed;
  ASSERT_EQ(::chmod(closed.path().c_str(), 0700), 0);
  const auto program = closed.path() / "probe";
  std::filesystem::copy_file(ISTHMUS_CHILD_PROBE, program);
  OutputPipe pipe;
  auto command = probe({"report"});
  command.program = program;
  command.descriptors = {{pipe.writer.get(), 3}};
  command.identity = ChildProcess::Identity{.uid = 0x7000'0001, .gid = 0x7000'0002, .groups = {77, 78}};
  auto child = ChildProcess::spawn(command);
  ASSERT_TRUE(child) << child.error().message;
  const std::string facts = pipe.read_all();
  EXPECT_EQ(wait_for(*child).to_text(), "exit status 0");
  EXPECT_TRUE(has_line(facts, "users 1879048193,1879048193,1879048193")) << facts;
  EXPECT_TRUE(has_line(facts, "group 1879048194")) << facts;
  EXPECT_TRUE(has_line(facts, "groups 77,78")) << facts;
  EXPECT_TRUE(has_line(facts, "process_limit 32768")) << facts;
  EXPECT_TRUE(has_line(facts, "core_limit 0")) << facts;
  EXPECT_TRUE(has_line(facts, "no_new_privs 1")) << facts;
  EXPECT_TRUE(has_line(facts, "death_signal 9")) << "the kernel forgets it when the user changes\n" << facts;
  EXPECT_TRUE(has_line(facts, "descriptors 0,1,2,3")) << facts;
}

TEST(ChildProcess, gets_a_network_without_devices) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root to leave the network";
  }
  OutputPipe pipe;
  auto command = probe({"report"});
  command.descriptors = {{pipe.writer.get(), 3}};
  command.no_network = true;
  auto child = ChildProcess::spawn(command);
  if (!child && child.error().code == Errc::permission_denied) {
    GTEST_SKIP() << "this container does not let root make a network namespace: " << child.error().message;
  }
  ASSERT_TRUE(child) << child.error().message;
  const std::string facts = pipe.read_all();
  EXPECT_EQ(wait_for(*child).to_text(), "exit status 0");
  const bool empty = has_line(facts, "network lo") || has_line(facts, "network ");
  EXPECT_TRUE(empty) << facts;
}

TEST(ChildProcess, that_cannot_become_another_user_is_an_error_that_says_so) {
  if (::geteuid() == 0) {
    GTEST_SKIP() << "root can";
  }
  auto command = probe({"report"});
  command.identity = ChildProcess::Identity{.uid = 1, .gid = 1, .groups = {}};
  const auto child = ChildProcess::spawn(command);
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, Errc::permission_denied);
  EXPECT_NE(child.error().message.find("cannot become another user"), std::string::npos);
}

TEST(ChildProcess, descriptors_may_swap_their_numbers) {
  OutputPipe first;
  OutputPipe second;
  const int a = first.writer.get();
  const int b = second.writer.get();
  ASSERT_TRUE(a > 3 && b > 3);
  const auto pipe_of = [](int fd) { return std::filesystem::read_symlink(text("/proc/self/fd/", fd)).native(); };
  const std::string first_pipe = pipe_of(a);
  const std::string second_pipe = pipe_of(b);
  auto command = probe({"report"});
  command.descriptors = {{a, b}, {b, a}, {b, 3}};
  auto child = ChildProcess::spawn(command);
  ASSERT_TRUE(child) << child.error().message;
  const std::string facts = second.read_all();
  EXPECT_TRUE(has_line(facts, text("descriptor ", a, " ", second_pipe))) << facts;
  EXPECT_TRUE(has_line(facts, text("descriptor ", b, " ", first_pipe))) << facts;
  EXPECT_EQ(wait_for(*child).value, 0);
}

TEST(ChildProcess, standard_error_can_be_mapped) {
  OutputPipe pipe;
  auto command = probe({"report"});
  command.descriptors = {{pipe.writer.get(), 2}, {pipe.writer.get(), 3}};
  auto child = ChildProcess::spawn(command);
  ASSERT_TRUE(child) << child.error().message;
  const std::string facts = pipe.read_all();
  EXPECT_NE(facts.find("descriptor 2 pipe:"), std::string::npos) << facts;
}

TEST(ChildProcess, its_exit_status_is_told) {
  auto child = ChildProcess::spawn(probe({"exit", "42"}));
  ASSERT_TRUE(child);
  const auto exit = wait_for(*child);
  EXPECT_FALSE(exit.by_signal);
  EXPECT_EQ(exit.value, 42);
  EXPECT_EQ(exit.to_text(), "exit status 42");
  EXPECT_EQ(child->pid(), 0);
  EXPECT_EQ(child->reap().error().code, Errc::peer_died);
  EXPECT_EQ(child->kill(SIGTERM).error().code, Errc::peer_died);
}

TEST(ChildProcess, its_signal_is_told) {
  auto child = ChildProcess::spawn(probe({"sleep"}));
  ASSERT_TRUE(child);
  EXPECT_FALSE(child->reap().value());
  EXPECT_TRUE(child->kill(SIGTERM));
  EXPECT_EQ(wait_for(*child).to_text(), "signal 15 (Terminated)");
}

TEST(ChildProcess, dies_with_its_owner_object) {
  pid_t pid = 0;
  {
    const auto child = ChildProcess::spawn(probe({"sleep"}));
    ASSERT_TRUE(child);
    pid = child->pid();
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(ChildProcess, dies_with_the_daemon) {
  OutputPipe life;  // the sleeping grandchild is its only writer
  test::HelperProcess daemon([&] {
    auto command = probe({"sleep"});
    command.descriptors = {{life.writer.get(), 3}};
    auto child = ChildProcess::spawn(command);
    if (!child) {
      return false;
    }
    [[maybe_unused]] const auto* kept = new ChildProcess(std::move(*child));
    life.writer.reset();
    return true;
  });
  ASSERT_TRUE(daemon.ready());
  daemon.kill();
  EXPECT_EQ(life.read_all(), "");  // returns only when the grandchild is gone
}

TEST(ChildProcess, a_program_that_cannot_be_executed_is_an_error_value) {
  auto command = probe({});
  command.program = "/no/such/program";
  const auto missing = ChildProcess::spawn(command);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::not_found);
  EXPECT_EQ(missing.error().message, "worker /no/such/program: cannot be executed: No such file or directory");
  command.program = "/etc/passwd";
  EXPECT_EQ(ChildProcess::spawn(command).error().code, Errc::permission_denied);
  command.program = "relative";
  EXPECT_EQ(ChildProcess::spawn(command).error().code, Errc::invalid_argument);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);  // no zombie is left
  EXPECT_EQ(errno, ECHILD);
}

TEST(ChildProcess, impossible_descriptors_are_refused) {
  auto command = probe({"exit", "0"});
  command.descriptors = {{1, 5}, {2, 5}};
  EXPECT_NE(ChildProcess::spawn(command).error().message.find("descriptor 5 is given twice"), std::string::npos);
  command.descriptors = {{1, 1024}};
  EXPECT_NE(ChildProcess::spawn(command).error().message.find("0 to 1023"), std::string::npos);
  command.descriptors = {{1, -1}};
  EXPECT_FALSE(ChildProcess::spawn(command));
  command.descriptors = {{-1, 5}};
  EXPECT_NE(ChildProcess::spawn(command).error().message.find("descriptors"), std::string::npos);
}

TEST(ChildProcess, our_own_signal_mask_is_left_as_it_was) {
  sigset_t before;
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  EXPECT_TRUE(ChildProcess::spawn(probe({"exit", "0"})));
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    EXPECT_EQ(sigismember(&before, signal), sigismember(&after, signal)) << signal;
  }
}

TEST(ChildProcess, no_descriptor_of_ours_is_lost_by_starting_many) {
  const UniqueFd before(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (int i = 0; i < 20; ++i) {
    auto child = ChildProcess::spawn(probe({"exit", "0"}));
    ASSERT_TRUE(child);
    EXPECT_EQ(wait_for(*child).value, 0);
    auto command = probe({});
    command.program = "/no/such/program";
    EXPECT_FALSE(ChildProcess::spawn(command));
  }
  const UniqueFd after(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(after.get(), before.get() + 1);
}

}  // namespace
}  // namespace isthmus::host
