// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "test/support/loopback.hpp"
#include "test/support/watchdog.hpp"

namespace isthmus::test::in_flight_tests {
namespace {

constexpr std::uint16_t op_later = 1;   // deferred; answered by another thread, in another order; echoes
constexpr std::uint16_t op_hold = 2;    // deferred; answered when the test says so
constexpr std::uint16_t op_forget = 3;  // deferred; the service drops it
constexpr std::uint16_t op_fill = 4;    // post or call: fills the referenced bytes with the value given
constexpr std::uint16_t op_upcall = 5;  // calls the client back with the body, answers with its answer
constexpr std::uint16_t op_slow = 6;    // takes 30 ms

struct Fill {
  Reference where;
  std::uint64_t value = 0;
};

template <class T>
std::span<const std::byte> bytes(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

// Answers deferred calls from a thread of its own, the newest first.
class LaterService final : public Service {
 public:
  LaterService() : thread_([this](const std::stop_token& stop) { run(stop); }) {}

  void handle(Request& request) override {
    switch (request.opcode()) {
      case op_later: {
        const std::scoped_lock lock(mutex_);
        later_.push_back({request.defer(), {request.trailing().begin(), request.trailing().end()}});
        break;
      }
      case op_hold: {
        const std::scoped_lock lock(mutex_);
        held_.push_back(request.defer());
        break;
      }
      case op_forget:
        std::ignore = request.defer();
        break;
      case op_fill: {
        Fill fill;
        std::memcpy(&fill, request.fixed().data(), sizeof fill);
        const auto where = request.resolve(fill.where);
        if (where) {
          std::ranges::fill(*where, static_cast<std::byte>(fill.value));
        }
        must(request.reply(where ? 0 : 1));
        break;
      }
      case op_upcall: {
        std::array<std::byte, 256> answer{};
        const auto port = request.upcalls();
        if (port == nullptr) {
          must(request.reply(-1));
          break;
        }
        const auto got = port->call({.api = 9, .opcode = 1, .fixed = {}, .trailing = request.trailing()}, answer,
                                    Channel::Clock::now() + std::chrono::seconds(30));
        must(got ? request.reply(got->status, {}, std::span(answer).first(got->size)) : request.reply(-2));
        break;
      }
      case op_slow:
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
        break;
      default:
        break;
    }
  }

  void answer_held() {
    const std::scoped_lock lock(mutex_);
    for (PendingCall& call : held_) {
      must(call.reply(5));
    }
    held_.clear();
  }

 private:
  struct Job {
    PendingCall call;
    std::vector<std::byte> body;
  };

  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      std::deque<Job> jobs;
      {
        const std::scoped_lock lock(mutex_);
        jobs.swap(later_);
      }
      std::ranges::reverse(jobs);
      for (Job& job : jobs) {
        std::ignore = job.call.reply(3, {}, job.body);
      }
    }
  }

  std::mutex mutex_;
  std::deque<Job> later_;
  std::vector<PendingCall> held_;
  std::jthread thread_;
};

// Whether a descriptor becomes ready. A process that is stopped and goes on finds its wait interrupted, without any
// handler (signal(7)).
bool becomes_ready(int epoll) {
  epoll_event ready{};
  int count = -1;
  do {
    count = epoll_wait(epoll, &ready, 1, 30'000);
  } while (count < 0 && errno == EINTR);
  return count == 1;
}

class InFlightTest : public testing::TestWithParam<LoopbackKind> {
 protected:
  Watchdog watchdog_{"calls in flight"};
  LaterService service_;
  Loopback host_{service_, GetParam()};
  std::shared_ptr<LaneState> lane_ = host_.attach();
  Lane lane_handle_ = Lane::of(lane_);
};

TEST_P(InFlightTest, RepliesComeInAnyOrderAndReachTheirCalls) {
  Channel& channel = *must(lane_->channel());
  constexpr std::size_t calls = 128;
  std::array<std::array<std::byte, 64>, calls> replies{};
  std::vector<std::pair<CallId, std::uint64_t>> open;
  for (std::uint64_t i = 0; i < calls; ++i) {
    open.emplace_back(
        must(channel.submit({.api = 1, .opcode = op_later, .fixed = {}, .trailing = bytes(i)}, replies.at(i))), i);
  }
  std::ranges::shuffle(open, std::minstd_rand(1));
  for (const auto& [id, i] : open) {
    const Reply reply = must(channel.wait(id));
    EXPECT_EQ(reply.status, 3);
    ASSERT_EQ(reply.size, sizeof i);
    EXPECT_TRUE(std::ranges::equal(bytes(i), std::span(replies.at(i)).first(sizeof i)));
  }
  EXPECT_EQ(channel.wait(open.front().first).error().code, Errc::invalid_argument);
}

TEST_P(InFlightTest, PollNeverBlocksAndTellsWhatIsThere) {
  Channel& channel = *must(lane_->channel());
  const CallId id = must(channel.submit({.api = 1, .opcode = op_hold, .fixed = {}, .trailing = {}}));
  EXPECT_FALSE(must(channel.poll(id)).has_value());
  std::optional<Reply> reply;
  while (!reply) {
    service_.answer_held();  // once the request has arrived
    reply = must(channel.poll(id));
  }
  EXPECT_EQ(reply->status, 5);
}

TEST_P(InFlightTest, AWaitThatTimesOutLeavesTheCallOpen) {
  Channel& channel = *must(lane_->channel());
  const CallId id = must(channel.submit({.api = 1, .opcode = op_hold, .fixed = {}, .trailing = {}}));
  const auto early = channel.wait(id, Channel::Clock::now() + std::chrono::milliseconds(5));
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, Errc::timed_out);
  Result<Reply> reply = early;
  while (!reply) {
    service_.answer_held();  // once the request has arrived
    reply = channel.wait(id, Channel::Clock::now() + std::chrono::milliseconds(5));
  }
  EXPECT_EQ(reply->status, 5);
}

TEST_P(InFlightTest, ACancelledCallIsForgottenAndItsFramesAreKeptUntilItIsAnswered) {
  Channel& channel = *must(lane_->channel());
  const CallId id = must(channel.submit({.api = 1, .opcode = op_hold, .fixed = {}, .trailing = {}}));
  const std::uint64_t before = lane_handle_.slab_statistics().bytes_in_use;
  channel.keep(must(lane_handle_.allocate(100'000)));  // with nothing given up, it is freed at once
  EXPECT_EQ(lane_handle_.slab_statistics().bytes_in_use, before);
  EXPECT_TRUE(must(channel.cancel(id)));
  channel.keep(must(lane_handle_.allocate(100'000)));
  EXPECT_EQ(lane_handle_.slab_statistics().bytes_in_use, before + 100'000);
  EXPECT_EQ(channel.poll(id).error().code, Errc::invalid_argument);
  while (channel.statistics().dropped_replies == 0) {
    service_.answer_held();  // once the request has arrived
    std::ignore = must(channel.call({.api = 1, .opcode = op_later, .fixed = {}, .trailing = {}}));
  }
  EXPECT_EQ(lane_handle_.slab_statistics().bytes_in_use, before);
}

TEST_P(InFlightTest, ACallThatTheServiceForgetsIsAnsweredAllTheSame) {
  Channel& channel = *must(lane_->channel());
  EXPECT_EQ(must(channel.call({.api = 1, .opcode = op_forget, .fixed = {}, .trailing = {}})).status, status_unhandled);
}

TEST_P(InFlightTest, TooManyCallsInFlightAreAnErrorAndTheChannelGoesOn) {
  Channel& channel = *must(lane_->channel());
  std::vector<CallId> open;
  Result<CallId> next = channel.submit({.api = 1, .opcode = op_hold, .fixed = {}, .trailing = {}});
  while (next) {
    open.push_back(*next);
    next = channel.submit({.api = 1, .opcode = op_hold, .fixed = {}, .trailing = {}});
  }
  EXPECT_EQ(next.error().code, Errc::exhausted);
  EXPECT_EQ(open.size(), 1023);
  while (!open.empty()) {
    service_.answer_held();
    std::erase_if(open, [&](CallId id) { return must(channel.poll(id)).has_value(); });
  }
  EXPECT_EQ(must(channel.call({.api = 1, .opcode = op_later, .fixed = {}, .trailing = {}})).status, 3);
}

TEST_P(InFlightTest, FramesOfPostsAreFreedOnceTheHostHasExecutedThem) {
  Channel& channel = *must(lane_->channel());
  const std::uint64_t before = lane_handle_.slab_statistics().bytes_in_use;
  for (int round = 0; round < 3000; ++round) {
    auto frame = lane_handle_.allocate(8192);
    while (!frame) {  // all are in flight: a call comes after them
      ASSERT_EQ(frame.error().code, Errc::exhausted);
      std::ignore = must(channel.call({.api = 1, .opcode = op_later, .fixed = {}, .trailing = {}}));
      frame = lane_handle_.allocate(8192);
    }
    const Fill fill{.where = frame->reference(), .value = 7};
    std::vector<Frame> frames;
    frames.push_back(std::move(*frame));
    must(channel.post({.api = 1, .opcode = op_fill, .fixed = bytes(fill), .trailing = {}}, std::move(frames)));
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (lane_handle_.slab_statistics().bytes_in_use > before && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    must(channel.post({.api = 1, .opcode = op_later, .fixed = {}, .trailing = {}}));
  }
  EXPECT_EQ(lane_handle_.slab_statistics().bytes_in_use, before);
}

TEST_P(InFlightTest, ACompletionDescriptorWakesAnEpollLoop) {
  Channel& channel = *must(lane_->channel());
  const int fd = must(channel.completion_fd());
  EXPECT_EQ(must(channel.completion_fd()), fd);
  const UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  ASSERT_EQ(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event), 0);
  for (int round = 0; round < 20; ++round) {
    std::vector<CallId> open;
    for (int i = 0; i < 10; ++i) {
      open.push_back(must(channel.submit({.api = 1, .opcode = op_later, .fixed = {}, .trailing = {}})));
    }
    while (!open.empty()) {
      ASSERT_TRUE(becomes_ready(epoll.get())) << open.size() << " calls without an answer";
      std::uint64_t count = 0;
      std::ignore = read(fd, &count, sizeof count);
      std::erase_if(open, [&](CallId id) { return must(channel.poll(id)).has_value(); });
    }
    // A blocking call in between leaves the descriptor usable.
    std::ignore = must(channel.call({.api = 1, .opcode = op_slow, .fixed = {}, .trailing = {}}));
  }
}

TEST_P(InFlightTest, ACompletionDescriptorWakesAlsoWhenTheHostEnds) {
  Channel& channel = *must(lane_->channel());
  const int fd = must(channel.completion_fd());
  const CallId id = must(channel.submit({.api = 1, .opcode = op_hold, .fixed = {}, .trailing = {}}));
  host_.stop();
  const UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  ASSERT_EQ(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event), 0);
  ASSERT_TRUE(becomes_ready(epoll.get()));
  EXPECT_EQ(channel.poll(id).error().code, Errc::closed);
}

// Answers upcalls with their body turned round.
class TurningService final : public Service {
 public:
  void handle(Request& request) override {
    std::vector<std::byte> turned(request.trailing().rbegin(), request.trailing().rend());
    must(request.reply(11, {}, turned));
  }
};

TEST_P(InFlightTest, TheHostCanCallItsClientWhileThatWaitsInACall) {
  Channel& channel = *must(lane_->channel());
  EXPECT_EQ(must(channel.call({.api = 1, .opcode = op_upcall, .fixed = {}, .trailing = {}})).status, -1);
  TurningService turning;
  must(lane_->serve_upcalls(turning));
  EXPECT_EQ(lane_->serve_upcalls(turning).error().code, Errc::invalid_argument);
  const std::array<std::byte, 3> body{std::byte{1}, std::byte{2}, std::byte{3}};
  std::array<std::byte, 3> answer{};
  for (int i = 0; i < 200; ++i) {
    const Reply reply = must(channel.call({.api = 1, .opcode = op_upcall, .fixed = {}, .trailing = body}, answer));
    ASSERT_EQ(reply.status, 11);
    ASSERT_TRUE(std::equal(body.rbegin(), body.rend(), answer.begin()));
  }
  lane_handle_ = Lane::of(nullptr);
  lane_.reset();  // joins the upcall thread, which uses `turning`
}

INSTANTIATE_TEST_SUITE_P(Kinds, InFlightTest, testing::Values(LoopbackKind::shm, LoopbackKind::vm),
                         [](const auto& instance) { return instance.param == LoopbackKind::shm ? "shm" : "vm"; });

}  // namespace
}  // namespace isthmus::test::in_flight_tests
