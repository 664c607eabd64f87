// SPDX-License-Identifier: Apache-2.0
#include "host/region_watch.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "helper_process.hpp"
#include "host/event_loop.hpp"
#include "loop_engines.hpp"
#include "temp_dir.hpp"

namespace isthmus::host {
namespace {

using test::HelperProcess;

class RegionWatchTest : public testing::TestWithParam<LoopEngine> {
 protected:
  RegionWatchTest() : dir_("/dev/shm") {
    config_.path = dir_.path() / "r";
    config_.region_size = std::uint64_t{8} << 20U;
  }

  void SetUp() override {
    auto loop = EventLoop::create(GetParam());
    if (!loop) {
      GTEST_SKIP() << loop.error().message;
    }
    loop_ = std::move(*loop);
    auto region = RegionFile::create_or_adopt(config_);
    ASSERT_TRUE(region) << region.error().message;
    region_.emplace(std::move(*region));
    auto watch = RegionWatch::create(*region_);
    ASSERT_TRUE(watch) << watch.error().message;
    watch_.emplace(std::move(*watch));
  }

  /// What the watch reports next; nothing within a minute is nothing.
  RegionWatch::Changes next() {
    RegionWatch::Changes changes;
    const auto token = loop_->add(watch_->fd(), EPOLLIN, [&](std::uint32_t /*events*/) {
      changes = watch_->take().value();
      loop_->stop();
    });
    const auto patience = loop_->call_after(std::chrono::seconds(60), [&] { loop_->stop(); });
    EXPECT_TRUE(loop_->run());
    loop_->remove(patience);
    loop_->remove(token.value());
    return changes;
  }

  test::TempDir dir_;
  VmConfig config_;
  std::unique_ptr<EventLoop> loop_;
  std::optional<RegionFile> region_;
  std::optional<RegionWatch> watch_;
};

TEST_P(RegionWatchTest, a_start_of_qemu_is_told_and_its_end_is_proven) {
  HelperProcess qemu([this] {
    const UniqueFd file(::open(config_.path.c_str(), O_RDWR | O_CLOEXEC));
    return ::mmap(nullptr, config_.region_size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0) != MAP_FAILED;
  });
  ASSERT_TRUE(qemu.ready());
  const auto start = next();
  EXPECT_TRUE(start.opened);
  EXPECT_FALSE(start.closed);  // the mapping keeps it open
  EXPECT_TRUE(region_->held_by_others().value());
  qemu.kill();
  EXPECT_TRUE(next().closed);
  for (int tries = 0; region_->held_by_others().value() && tries < 20'000; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_FALSE(region_->held_by_others().value());
}

TEST_P(RegionWatchTest, asking_for_holders_is_no_event_itself) {
  EXPECT_FALSE(region_->held_by_others().value());
  const auto changes = watch_->take().value();
  EXPECT_FALSE(changes.opened || changes.closed || changes.renamed_or_removed || changes.overflowed);
}

TEST_P(RegionWatchTest, removal_and_renaming_are_told) {
  std::filesystem::rename(config_.path, dir_.path() / "s");
  EXPECT_TRUE(next().renamed_or_removed);
  EXPECT_FALSE(region_->at_path());
  std::filesystem::remove(dir_.path() / "s");
  EXPECT_TRUE(next().renamed_or_removed);
}

INSTANTIATE_TEST_SUITE_P(Engines, RegionWatchTest, test::both_engines(), test::engine_name);

}  // namespace
}  // namespace isthmus::host
