// SPDX-License-Identifier: Apache-2.0
// What an honest client may do, at its limits: none of it is taken for a violation, and nothing is lost.

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "isthmus/abi.hpp"
#include "isthmus/lane.hpp"
#include "src/transport/caller.hpp"
#include "test/support/loopback.hpp"
#include "test/support/soon.hpp"
#include "test/support/watchdog.hpp"

namespace isthmus::test::honest_client_tests {
namespace {

using namespace std::chrono_literals;
using Clock = Channel::Clock;

constexpr std::uint16_t op_count = 1;
constexpr std::uint16_t op_gate = 2;       // handled only while the gate is open
constexpr std::uint16_t op_defer = 3;      // answered when the test says so
constexpr std::uint16_t op_slow = 4;       // takes 50 ms
constexpr std::uint16_t op_defer_all = 5;  // defers even what wants no reply

class GateService final : public Service {
 public:
  void handle(Request& request) override {
    if (request.opcode() == op_gate) {
      std::unique_lock lock(mutex_);
      entered_.notify_all();
      inside_ = true;
      entered_.wait(lock, [this] { return open_; });
    } else if (request.opcode() == op_slow) {
      std::this_thread::sleep_for(50ms);
    } else if (request.opcode() == op_defer || request.opcode() == op_defer_all) {
      const std::scoped_lock lock(mutex_);
      deferred_.push_back(request.defer());
      return;
    }
    counted.fetch_add(1);
    std::ignore = request.reply(0);
  }
  void await_entered() {
    std::unique_lock lock(mutex_);
    entered_.wait(lock, [this] { return inside_; });
  }
  void open() {
    const std::scoped_lock lock(mutex_);
    open_ = true;
    entered_.notify_all();
  }
  std::size_t deferred() {
    const std::scoped_lock lock(mutex_);
    return deferred_.size();
  }
  void answer_deferred() {
    const std::scoped_lock lock(mutex_);
    for (PendingCall& call : deferred_) {
      std::ignore = call.reply(0);
    }
    deferred_.clear();
  }
  std::atomic<int> counted{0};

 private:
  std::mutex mutex_;
  std::condition_variable entered_;
  bool inside_ = false;
  bool open_ = false;
  std::vector<PendingCall> deferred_;
};

Message message(std::uint16_t opcode, std::span<const std::byte> trailing = {}) {
  return {.api = 1, .opcode = opcode, .fixed = {}, .trailing = trailing};
}

class HonestClientTest : public testing::TestWithParam<LoopbackKind> {
 protected:
  const Watchdog watchdog_{"a test of honest clients"};
  GateService service_;
  Loopback host_{service_, GetParam()};
  std::shared_ptr<LaneState> lane_ = host_.attach();
  Lane lane_handle_ = Lane::of(lane_);
};

// The longest request is being executed, its slots are free again and used up: the last post lies 1.5 rings behind
// what was executed.
TEST_P(HonestClientTest, AFenceMayNameAPostFarBehindALongRequestThatIsBeingExecuted) {
  Channel& channel = *must(lane_->channel());
  const std::vector<std::byte> longest(abi::max_body);
  must(channel.post(message(op_gate, longest)));
  service_.await_entered();
  for (std::uint32_t i = 0; i < abi::ring_slots; ++i) {
    must(channel.post(message(op_count), Clock::now() + 30s));
  }
  std::thread other([&] {
    const auto outcome = must(lane_->channel())->call(message(op_count), {}, Clock::now() + 30s);
    EXPECT_TRUE(outcome) << outcome.error().message;
  });
  std::this_thread::sleep_for(50ms);
  service_.open();
  other.join();
  EXPECT_EQ(service_.counted.load(), static_cast<int>(abi::ring_slots) + 2);
}

TEST_P(HonestClientTest, AHostThatHasNotSaidYetWhatItExecutedIsNoViolation) {
  Channel& channel = *must(lane_->channel());
  must(channel.post(message(op_gate)));
  service_.await_entered();
  for (std::uint32_t i = 0; i < abi::ring_slots - 100; ++i) {
    must(channel.post(message(op_count), Clock::now() + 30s));
  }
  std::vector<Frame> frames;
  frames.push_back(must(lane_handle_.allocate(4096)));
  const auto posted = channel.post(message(op_count), std::move(frames));
  EXPECT_TRUE(posted) << posted.error().message;
  service_.open();
  EXPECT_TRUE(channel.call(message(op_count), {}, Clock::now() + 30s));
}

TEST_P(HonestClientTest, FramesOfPostsComeBackAlsoWhenOnlyCallsFollow) {
  Channel& channel = *must(lane_->channel());
  const std::uint64_t before = lane_handle_.slab_statistics().bytes_in_use;
  for (int i = 0; i < 20; ++i) {
    std::vector<Frame> frames;
    frames.push_back(must(lane_handle_.allocate(100'000)));
    must(channel.post(message(op_count), std::move(frames)));
  }
  EXPECT_TRUE(soon([&] {
    std::ignore = must(channel.call(message(op_count)));
    return lane_handle_.slab_statistics().bytes_in_use == before;
  })) << lane_handle_.slab_statistics().bytes_in_use - before
      << " bytes are still held";
}

TEST_P(HonestClientTest, FramesOfAnIdleChannelAreThereForWhoeverFindsTheSlabExhausted) {
  Channel& channel = *must(lane_->channel());
  std::vector<Frame> all;
  for (auto frame = lane_handle_.allocate(1 << 20); frame; frame = lane_handle_.allocate(1 << 20)) {
    all.push_back(std::move(*frame));
  }
  ASSERT_FALSE(all.empty());
  must(channel.post(message(op_count), std::move(all)));
  // Another thread: this channel does nothing any more that would free them.
  std::thread([&] { EXPECT_TRUE(soon([&] { return lane_handle_.allocate(1 << 20).has_value(); })); }).join();
}

TEST_P(HonestClientTest, FramesOfAPostThatFailsStayTheCallers) {
  Channel& channel = *must(lane_->channel());
  std::vector<Frame> frames;
  frames.push_back(must(lane_handle_.allocate(4096)));
  const std::vector<std::byte> too_long(abi::max_body + 1);
  const auto posted =
      channel.post({.api = 1, .opcode = op_count, .fixed = too_long, .trailing = {}}, std::move(frames));
  ASSERT_FALSE(posted);
  EXPECT_EQ(posted.error().code, Errc::invalid_argument);
  ASSERT_EQ(frames.size(), 1U);  // NOLINT(bugprone-use-after-move): that is the promise
  EXPECT_EQ(frames.front().size(), 4096U);
}

// As many calls as one likes can be given up one after the other; what is unanswered at a time is limited.
TEST_P(HonestClientTest, CallsThatAreGivenUpByTheThousandEndInTimeOutsThatPass) {
  Channel& channel = *must(lane_->channel());
  for (int i = 0; i < 3000; ++i) {
    const auto outcome = channel.call(message(op_defer), {}, Clock::now());
    ASSERT_FALSE(outcome);
    // 1023 of them reach the host; the others wait in vain for room.
    ASSERT_EQ(outcome.error().code, Errc::timed_out) << outcome.error().message;
  }
  EXPECT_EQ(channel.statistics().calls, Caller::most_in_flight);
  service_.answer_deferred();
  EXPECT_TRUE(soon([&] {
    service_.answer_deferred();
    return channel.call(message(op_count), {}, Clock::now() + 5s).has_value();
  }));
  EXPECT_TRUE(lane_->check());
}

TEST_P(HonestClientTest, AServiceThatDefersAPostHarmsNobody) {
  Channel& channel = *must(lane_->channel());
  must(channel.post(message(op_defer_all)));
  std::ignore = must(channel.call(message(op_count)));
  service_.answer_deferred();
  for (int i = 0; i < 5; ++i) {
    const auto outcome = channel.call(message(op_count), {}, Clock::now() + 30s);
    ASSERT_TRUE(outcome) << outcome.error().message;
  }
}

// ---- completion descriptors ----------------------------------------------------------------------------------------

bool readable(int fd, int timeout_ms) {
  pollfd poll_fd{.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&poll_fd, 1, timeout_ms) == 1;
}

void drain(int fd) {
  eventfd_t count = 0;
  std::ignore = eventfd_read(fd, &count);
}

TEST_P(HonestClientTest, AReplyThatAnotherCallFoundOnItsWayMakesTheDescriptorReadable) {
  Channel& channel = *must(lane_->channel());
  const int fd = must(channel.completion_fd());
  const CallId slow = must(channel.submit(message(op_slow)));
  // Waits until its own reply has come, and so takes the other one off the ring.
  std::ignore = must(channel.call(message(op_count)));
  EXPECT_TRUE(readable(fd, 30'000));
  drain(fd);
  EXPECT_TRUE(must(channel.poll(slow)).has_value());
}

TEST_P(HonestClientTest, ReadableDescriptorsCostNoReplyHoweverCallsAreMixed) {
  Channel& channel = *must(lane_->channel());
  const int fd = must(channel.completion_fd());
  std::vector<CallId> open;
  for (int round = 0; round < 300; ++round) {
    while (open.size() < 5) {
      open.push_back(must(channel.submit(message(op_count))));
    }
    if (round % 3 == 0) {
      std::ignore = must(channel.call(message(op_count)));
    }
    ASSERT_TRUE(readable(fd, 30'000)) << "round " << round;
    drain(fd);
    std::erase_if(open, [&](CallId id) { return must(channel.poll(id)).has_value(); });
  }
  for (const CallId id : open) {
    std::ignore = must(channel.wait(id, Clock::now() + 30s));
  }
}

TEST_P(HonestClientTest, ADescriptorThatWaitsForALongCallCostsNoProcessorTime) {
  Channel& channel = *must(lane_->channel());
  const int fd = must(channel.completion_fd());
  must(channel.post(message(op_count)));
  const CallId call = must(channel.submit(message(op_defer)));
  ASSERT_TRUE(soon([&] { return service_.deferred() == 1; }));
  const auto used = [] {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  };
  const auto start = Clock::now();
  const auto before = used();
  EXPECT_FALSE(readable(fd, 600));
  EXPECT_LT(used() - before, (Clock::now() - start) / 2);
  service_.answer_deferred();
  EXPECT_TRUE(readable(fd, 30'000));
  EXPECT_TRUE(must(channel.poll(call)).has_value());
}

// Whoever closes a channel holds the lane's books; the helper thread looks after the lane meanwhile.
TEST_P(HonestClientTest, ThreadsThatEndWithOpenCallsAndDescriptorsStopNobody) {
  const auto until = Clock::now() + 600ms;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (Clock::now() < until) {
        std::thread([&] {
          Channel& channel = *must(lane_->channel());
          std::ignore = must(channel.completion_fd());
          std::ignore = must(channel.submit(message(op_count)));
        }).join();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_TRUE(lane_->check());
}

// ---- fork ----------------------------------------------------------------------------------------------------------

#if !defined(ISTHMUS_THREAD_SANITIZER)  // which does not follow a fork of a process with threads
TEST_P(HonestClientTest, AChildThatKeepsItsParentsFramesFreesNothing) {
  Channel& channel = *must(lane_->channel());
  Frame frame = must(lane_handle_.allocate(3 << 20));
  const std::size_t extent =
      (frame.reference().offset() - lane_->region().geometry().extents_offset) / abi::extent_size;
  const pid_t child = fork();
  if (child == 0) {
    channel.keep(std::move(frame));
    std::ignore = lane_handle_.slab_statistics();
    _exit(0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(lane_->region().owners()[extent].load_relaxed().equals(0)) << "the extent is still the parent's";
  EXPECT_TRUE(channel.call(message(op_count)));
}
#endif

INSTANTIATE_TEST_SUITE_P(Kinds, HonestClientTest, testing::Values(LoopbackKind::shm, LoopbackKind::vm),
                         [](const auto& instance) { return instance.param == LoopbackKind::shm ? "shm" : "vm"; });

}  // namespace
}  // namespace isthmus::test::honest_client_tests
