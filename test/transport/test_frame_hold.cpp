// SPDX-License-Identifier: Apache-2.0

// Frames that a service keeps after it has executed the post that names them, as for a device that works on them.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "isthmus/channel.hpp"
#include "isthmus/lane.hpp"
#include "isthmus/service.hpp"
#include "test/support/loopback.hpp"
#include "test/support/must.hpp"
#include "test/support/watchdog.hpp"

namespace isthmus::test::frame_hold_tests {
namespace {

using namespace std::chrono_literals;

// Holds the frames of posts (opcode 1) until told otherwise; answers calls.
class HoldingService final : public Service {
 public:
  void handle(Request& request) override {
    if (request.wants_reply()) {
      EXPECT_FALSE(request.hold_frames());
      must(request.reply(0));
    } else {
      const std::scoped_lock lock(mutex_);
      holds_.push_back(request.hold_frames());
      EXPECT_TRUE(holds_.back());
    }
  }
  void release_newest() {
    const std::scoped_lock lock(mutex_);
    holds_.pop_back();
  }
  void release_all() {
    const std::scoped_lock lock(mutex_);
    holds_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<FrameHold> holds_;
};

class FrameHoldTest : public testing::TestWithParam<LoopbackKind> {
 protected:
  static constexpr std::size_t size = 256 << 10;

  void post_a_frame(Channel& channel) {
    std::vector<Frame> frames;
    frames.push_back(must(lane_handle_.allocate(size)));
    must(channel.post({.api = 1, .opcode = 1, .fixed = {}, .trailing = {}}, std::move(frames)));
  }
  // An answered call: what was posted before has been executed, and its frames are free where nothing holds them.
  std::uint64_t held_after_a_call(Channel& channel) {
    std::ignore = must(channel.call({.api = 1, .opcode = 2, .fixed = {}, .trailing = {}}));
    return lane_handle_.slab_statistics().bytes_held;
  }

  const Watchdog watchdog_{"a test of frames that a service holds"};
  HoldingService service_;
  Loopback host_{service_, GetParam()};
  std::shared_ptr<LaneState> lane_ = host_.attach();
  Lane lane_handle_ = Lane::of(lane_);
};

TEST_P(FrameHoldTest, FramesOfAPostAndOfThoseBehindItStayUntilTheHoldEnds) {
  Channel& channel = *must(lane_->channel());
  for (int i = 0; i < 3; ++i) {
    post_a_frame(channel);
  }
  EXPECT_EQ(held_after_a_call(channel), 3 * size);
  service_.release_newest();  // behind two that are held
  EXPECT_EQ(held_after_a_call(channel), 3 * size);
  service_.release_all();
  EXPECT_EQ(held_after_a_call(channel), 0);
}

TEST_P(FrameHoldTest, FramesThatAreGivenBackWhileTheChannelIsIdleCanBeAllocated) {
  Channel& channel = *must(lane_->channel());
  std::size_t posted = 0;
  for (auto frame = lane_handle_.allocate(size); frame; frame = lane_handle_.allocate(size)) {
    std::vector<Frame> frames;
    frames.push_back(std::move(*frame));
    must(channel.post({.api = 1, .opcode = 1, .fixed = {}, .trailing = {}}, std::move(frames)));
    ++posted;
  }
  ASSERT_GT(posted, 8);
  std::ignore = held_after_a_call(channel);
  EXPECT_FALSE(lane_handle_.allocate(size));
  service_.release_all();
  while (!lane_handle_.allocate(size)) {  // else the watchdog says so
  }
}

TEST_P(FrameHoldTest, AChannelThatItsThreadLeftLivesUntilTheHoldsEnd) {
  std::thread([&] {
    Channel& channel = *must(lane_->channel());
    post_a_frame(channel);
    std::ignore = held_after_a_call(channel);
  }).join();
  // Whoever opens a channel looks for those that are over.
  const auto held_for_a_newcomer = [&] {
    std::this_thread::sleep_for(5ms);
    std::thread([&] { std::ignore = must(lane_->channel()); }).join();
    return lane_handle_.slab_statistics().bytes_held;
  };
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(held_for_a_newcomer(), size);
  }
  service_.release_all();
  while (held_for_a_newcomer() != 0) {  // else the watchdog says so
  }
}

TEST_P(FrameHoldTest, AHoldMayOutliveTheLane) {
  post_a_frame(*must(lane_->channel()));
  std::ignore = held_after_a_call(*must(lane_->channel()));
  host_.stop();
  service_.release_all();
}

INSTANTIATE_TEST_SUITE_P(Kinds, FrameHoldTest, testing::Values(LoopbackKind::shm, LoopbackKind::vm),
                         [](const auto& instance) { return instance.param == LoopbackKind::shm ? "shm" : "vm"; });

}  // namespace
}  // namespace isthmus::test::frame_hold_tests
