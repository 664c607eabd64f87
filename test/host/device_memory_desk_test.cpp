// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/device_memory_desk.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "src/transport/daemon_protocol.hpp"

namespace isthmus::host {
namespace {

using wire::MemoryAnswer;
using wire::MemoryRequest;
using wire::MemoryWish;

// A desk, and the worker's end of its socket.
class DeviceMemoryDeskTest : public testing::Test {
 public:
  void SetUp() override {
    auto made = EventLoop::create(LoopEngine::epoll);
    ASSERT_TRUE(made) << made.error().message;
    loop = std::move(*made);
    std::array<int, 2> pair{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()), 0);
    worker.reset(pair[0]);
    desk = std::make_unique<DeviceMemoryDesk>(*loop, account, UniqueFd(pair[1]),
                                              [this](std::string_view why) { broken = why; });
  }
  // Sends that, and lets the desk look at it; what it answered, or nothing.
  template <class T>
  std::optional<MemoryAnswer> say(const T& message, std::size_t bytes = sizeof(T)) {
    EXPECT_EQ(send(worker.get(), &message, bytes, MSG_NOSIGNAL), static_cast<ssize_t>(bytes));
    loop->call_after(std::chrono::milliseconds(1), [this] { loop->stop(); });
    EXPECT_TRUE(loop->run());
    return answer();
  }
  std::optional<MemoryAnswer> answer() const {
    MemoryAnswer answer;
    const ssize_t got = recv(worker.get(), &answer, sizeof answer, MSG_DONTWAIT);
    return got == static_cast<ssize_t>(sizeof answer) ? std::optional(answer) : std::nullopt;
  }
  bool grants(MemoryWish want, std::uint64_t bytes) {
    const auto answer = say(MemoryRequest{.want = want, .bytes = bytes});
    EXPECT_TRUE(answer);
    EXPECT_TRUE(!answer ||
                (answer->total == account->total() && answer->used == account->used() && answer->per_context == 300U));
    return answer && answer->granted == 1;
  }

  std::shared_ptr<DeviceMemoryAccount> account = std::make_shared<DeviceMemoryAccount>(1000, 300);
  std::unique_ptr<EventLoop> loop;
  UniqueFd worker;
  std::unique_ptr<DeviceMemoryDesk> desk;
  std::string broken;
};

TEST_F(DeviceMemoryDeskTest, GrantsWhatThereIsAndHasItBackWhenTheWorkerIsGone) {
  EXPECT_TRUE(grants(MemoryWish::take, 900));
  EXPECT_FALSE(grants(MemoryWish::take, 101));
  EXPECT_TRUE(grants(MemoryWish::give, 500));
  EXPECT_TRUE(grants(MemoryWish::take, 101));
  EXPECT_TRUE(grants(MemoryWish::ask, 0));
  EXPECT_EQ(account->used(), 501U);
  EXPECT_EQ(broken, "");
  desk.reset();
  EXPECT_EQ(account->used(), 0U);
}

TEST_F(DeviceMemoryDeskTest, TurnsAwayAWorkerThatGivesBackWhatItNeverHad) {
  EXPECT_TRUE(grants(MemoryWish::take, 10));
  EXPECT_FALSE(say(MemoryRequest{.want = MemoryWish::give, .bytes = 11}));
  EXPECT_NE(broken, "");
  EXPECT_FALSE(say(MemoryRequest{.want = MemoryWish::take, .bytes = 1})) << "it is not listened to any more";
  EXPECT_EQ(account->used(), 10U);
}

TEST_F(DeviceMemoryDeskTest, TurnsAwayAWorkerThatSendsWhatIsNoRequest) {
  EXPECT_FALSE(say(MemoryRequest{}, sizeof(MemoryRequest) - 1));
  EXPECT_NE(broken, "");
}

TEST_F(DeviceMemoryDeskTest, TurnsAwayAWorkerThatWantsWhatThereIsNot) {
  EXPECT_FALSE(say(MemoryRequest{.want = static_cast<MemoryWish>(7)}));
  EXPECT_NE(broken, "");
}

TEST_F(DeviceMemoryDeskTest, LetsAWorkerGoThatHangsUp) {
  worker.reset();
  loop->call_after(std::chrono::milliseconds(1), [this] { loop->stop(); });
  EXPECT_TRUE(loop->run());
  EXPECT_EQ(broken, "") << "its end is seen elsewhere";
}

TEST_F(DeviceMemoryDeskTest, WaitsForWhatAWorkerHasThatIsAboutToGo) {
  const int leaving = 0;
  const int staying = 0;
  EXPECT_TRUE(account->take(&leaving, 600));
  EXPECT_TRUE(account->take(&staying, 300));
  EXPECT_FALSE(grants(MemoryWish::take, 101)) << "nobody goes";
  account->leaves(&leaving);
  EXPECT_FALSE(grants(MemoryWish::take, 701)) << "that will not do";
  EXPECT_FALSE(say(MemoryRequest{.want = MemoryWish::take, .bytes = 700})) << "not answered yet";
  EXPECT_TRUE(account->give(&leaving, 1));
  EXPECT_FALSE(answer());
  account->forget(&leaving);
  const auto granted = answer();
  EXPECT_TRUE(granted && granted->granted == 1);
  EXPECT_EQ(account->used(), 1000U);
  EXPECT_TRUE(grants(MemoryWish::give, 700)) << "and what it says is heard again";
  EXPECT_EQ(broken, "");
}

TEST_F(DeviceMemoryDeskTest, DoesNotWaitForWhatSomebodyElseWasGiven) {
  const int leaving = 0;
  const int other = 0;
  EXPECT_TRUE(account->take(&leaving, 600));
  account->leaves(&leaving);
  EXPECT_FALSE(say(MemoryRequest{.want = MemoryWish::take, .bytes = 700})) << "not answered yet";
  EXPECT_TRUE(account->take(&other, 400));
  account->forget(&leaving);
  const auto refused = answer();
  EXPECT_TRUE(refused && refused->granted == 0);
  EXPECT_EQ(account->used(), 400U);
}

TEST_F(DeviceMemoryDeskTest, WaitsForAWhileAndNotForItself) {
  const int leaving = 0;
  EXPECT_TRUE(account->take(&leaving, 600));
  account->leaves(&leaving);
  std::array<int, 2> pair{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()), 0);
  worker.reset(pair[0]);
  desk = std::make_unique<DeviceMemoryDesk>(
      *loop, account, UniqueFd(pair[1]), [this](std::string_view why) { broken = why; }, std::chrono::milliseconds(1));
  std::optional<MemoryAnswer> refused = say(MemoryRequest{.want = MemoryWish::take, .bytes = 500});
  const auto look = loop->call_every(std::chrono::milliseconds(1), [&] {
    refused = refused ? refused : answer();
    if (refused) {
      loop->stop();
    }
  });
  EXPECT_TRUE(loop->run());
  loop->remove(look);
  EXPECT_TRUE(refused && refused->granted == 0);
  account->forget(&leaving);
  EXPECT_FALSE(answer()) << "it is told once";
  EXPECT_TRUE(grants(MemoryWish::take, 600));
  desk->worker_leaves();
  EXPECT_FALSE(grants(MemoryWish::take, 500)) << "it will not go before it has its answer";
}

TEST_F(DeviceMemoryDeskTest, ForgetsAWorkerThatGoesOrAsksOnWhileItWaits) {
  const int leaving = 0;
  EXPECT_TRUE(account->take(&leaving, 600));
  account->leaves(&leaving);
  EXPECT_FALSE(say(MemoryRequest{.want = MemoryWish::take, .bytes = 500})) << "not answered yet";
  EXPECT_FALSE(say(MemoryRequest{.want = MemoryWish::ask}));
  EXPECT_NE(broken, "");
  account->forget(&leaving);
  EXPECT_EQ(account->used(), 0U) << "nobody waits any more";
}

}  // namespace
}  // namespace isthmus::host
