// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "isthmus/local_lane.hpp"
#include "test/support/must.hpp"

namespace isthmus::test::local_lane_tests {
namespace {

constexpr std::uint16_t op_add = 1;  // answers with the number of requests so far
constexpr std::uint16_t op_die = 2;

class CountingService final : public Service {
 public:
  void handle(Request& request) override {
    if (request.opcode() == op_die) {
      _exit(9);
    }
    std::ignore = request.reply(++count_);
  }

 private:
  std::int32_t count_ = 0;
};

Result<Reply> call(LocalLane& local, std::uint16_t opcode) {
  return must(local.lane().channel())->call({.api = 100, .opcode = opcode, .fixed = {}, .trailing = {}});
}

class LocalLaneTest : public testing::Test {
 protected:
  // Against a hang; not a Watchdog, because ThreadSanitizer starts no threads in children of programs that have some.
  void SetUp() override { alarm(240); }
  void TearDown() override { alarm(0); }

  CountingService service_;
};

TEST_F(LocalLaneTest, AThreadServesItAndEndsInOrder) {
  auto local = must(LocalLane::in_thread(service_));
  EXPECT_EQ(must(call(local, op_add)).status, 1);
  EXPECT_EQ(must(call(local, op_add)).status, 2);
  EXPECT_EQ(local.worker_pid(), -1);
  const LaneEnd end = local.end();
  EXPECT_TRUE(end.orderly) << end.reason;
  EXPECT_EQ(local.end().reason, end.reason);
}

TEST_F(LocalLaneTest, AChildServesItAndIsReaped) {
  auto local = must(LocalLane::in_child([] { return std::make_unique<CountingService>(); }));
  EXPECT_EQ(must(call(local, op_add)).status, 1);
  const int pid = local.worker_pid();
  EXPECT_EQ(kill(pid, 0), 0);
  EXPECT_TRUE(local.end().orderly);
  EXPECT_EQ(kill(pid, 0), -1);
}

TEST_F(LocalLaneTest, AFrameThatIsHeldDoesNotKeepTheWorkerAlive) {
  auto local = must(LocalLane::in_thread(service_));
  const Frame frame = must(local.lane().allocate(4096));
  EXPECT_FALSE(local.end().orderly);
  frame.bytes()[0] = std::byte{1};
}

TEST_F(LocalLaneTest, AChildThatDiesIsAnErrorForItsClient) {
  auto local = must(LocalLane::in_child([] { return std::make_unique<CountingService>(); }));
  const auto reply = call(local, op_die);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::peer_died) << reply.error().message;
  EXPECT_FALSE(local.end().orderly);
}

TEST_F(LocalLaneTest, AServiceThatCannotBeMadeIsAnErrorThatSaysWhy) {
  const auto local = LocalLane::in_child([]() -> std::unique_ptr<Service> { throw std::runtime_error("no disk"); });
  ASSERT_FALSE(local);
  EXPECT_NE(local.error().message.find("no disk"), std::string::npos) << local.error().message;
}

TEST_F(LocalLaneTest, SizesThatCannotBeAreRefused) {
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{12} << 20, ~std::uint64_t{0}}) {
    const auto local = LocalLane::in_thread(service_, {.region_size = size});
    ASSERT_FALSE(local);
    EXPECT_EQ(local.error().code, Errc::invalid_argument) << local.error().message;
  }
}

TEST_F(LocalLaneTest, TheWorkerEndsWithAClientThatIsKilled) {
  int pipe_ends[2];
  require(pipe(pipe_ends) == 0, "pipe");
  const pid_t client = fork();
  if (client == 0) {
    auto local = must(LocalLane::in_child([] { return std::make_unique<CountingService>(); }));
    must(call(local, op_add));
    close(pipe_ends[0]);
    // The worker inherited the pipe's end, and keeps it open until it ends.
    close(pipe_ends[1]);
    kill(getpid(), SIGKILL);
  }
  close(pipe_ends[1]);
  waitpid(client, nullptr, 0);
  char byte = 0;
  EXPECT_EQ(read(pipe_ends[0], &byte, 1), 0);  // returns when the last holder is gone
  close(pipe_ends[0]);
}

TEST_F(LocalLaneTest, AChildOfTheClientOwnsNothingAndTheClientGoesOn) {
  auto local = must(LocalLane::in_thread(service_));
  must(call(local, op_add));
  const pid_t child = fork();
  if (child == 0) {
    bool refused = false;
    {
      LocalLane mine = std::move(local);  // destroyed here: that must not wait for a thread that only the parent has
      const auto channel = mine.lane().channel();
      refused = !channel && channel.error().code == Errc::wrong_thread;
    }
    _exit(refused ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(must(call(local, op_add)).status, 2);
}

}  // namespace
}  // namespace isthmus::test::local_lane_tests
