// SPDX-License-Identifier: Apache-2.0
#include "host/region_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <thread>

#include "helper_process.hpp"
#include "temp_dir.hpp"

namespace isthmus::host {
namespace {

using test::HelperProcess;

constexpr std::uint64_t mib = std::uint64_t{1} << 20U;

class RegionFileTest : public testing::Test {
 protected:
  RegionFileTest() : dir_("/dev/shm") {
    config_.name = "r";
    config_.path = dir_.path() / "r";
    config_.region_size = 8 * mib;
  }

  [[nodiscard]] Result<RegionFile> make() const { return RegionFile::create_or_adopt(config_); }

  /// The error that the configuration earns now.
  [[nodiscard]] Error refusal() const {
    auto region = make();
    EXPECT_FALSE(region);
    return region ? Error{} : std::move(region).error();
  }

  [[nodiscard]] UniqueFd open_again(int flags = O_RDWR) const {
    return UniqueFd(::open(config_.path.c_str(), flags | O_CLOEXEC));
  }

  static bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

  test::TempDir dir_;
  VmConfig config_;
};

TEST_F(RegionFileTest, a_missing_file_is_made_with_size_mode_and_memory) {
  const mode_t before = ::umask(0777);
  const auto region = make();
  ::umask(before);
  ASSERT_TRUE(region) << region.error().message;
  EXPECT_EQ(region->origin(), RegionFile::Origin::created);
  EXPECT_EQ(region->size(), 8 * mib);
  struct stat status{};
  ASSERT_EQ(::lstat(config_.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFREG | 0600U);
  EXPECT_EQ(status.st_size, static_cast<off_t>(8 * mib));
  EXPECT_EQ(static_cast<std::uint64_t>(status.st_blocks) * 512, 8 * mib);
  EXPECT_TRUE(region->at_path());
}

TEST_F(RegionFileTest, a_group_can_be_let_in) {
  config_.access.mode = 0660;
  config_.access.group = ::getegid();
  ASSERT_TRUE(make());
  struct stat status{};
  ASSERT_EQ(::stat(config_.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFREG | 0660U);
}

TEST_F(RegionFileTest, it_is_given_to_its_owner_and_adopted_from_him) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  config_.access.owner = 65534;
  config_.access.group = 65534;
  ASSERT_TRUE(make());
  struct stat status{};
  ASSERT_EQ(::stat(config_.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 65534U);
  EXPECT_EQ(status.st_gid, 65534U);
  EXPECT_EQ(make().value().origin(), RegionFile::Origin::adopted);
  config_.access.group = 0;
  EXPECT_TRUE(contains(refusal().message, "belongs to group 65534, not 0"));
  config_.access.owner.reset();
  EXPECT_TRUE(contains(refusal().message, "belongs to user 65534, not 0"));
}

TEST_F(RegionFileTest, a_file_that_is_right_is_adopted_with_what_is_in_it) {
  ASSERT_TRUE(make());
  ASSERT_EQ(::pwrite(open_again().get(), "content", 7, 100), 7);
  const auto region = make();
  ASSERT_TRUE(region) << region.error().message;
  EXPECT_EQ(region->origin(), RegionFile::Origin::adopted);
  std::array<char, 7> content{};
  EXPECT_EQ(::pread(region->fd(), content.data(), content.size(), 100), 7);
  EXPECT_EQ(std::string(content.data(), content.size()), "content");
}

TEST_F(RegionFileTest, holes_in_an_adopted_file_are_filled) {
  ASSERT_TRUE(make());
  ASSERT_EQ(::fallocate(open_again().get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(4 * mib)),
            0);
  ASSERT_TRUE(make());
  struct stat status{};
  ASSERT_EQ(::stat(config_.path.c_str(), &status), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(status.st_blocks) * 512, 8 * mib);
}

TEST_F(RegionFileTest, a_second_daemon_is_told_that_the_region_is_served) {
  const auto region = make();
  ASSERT_TRUE(region);
  const auto error = refusal();
  EXPECT_EQ(error.code, Errc::busy);
  EXPECT_TRUE(contains(error.message, "another isthmusd serves it")) << error.message;
  EXPECT_TRUE(contains(error.message, config_.path.native()));
}

TEST_F(RegionFileTest, the_workers_of_a_dead_daemon_are_waited_for_a_moment) {
  using std::chrono::steady_clock;
  auto region = make();
  ASSERT_TRUE(region);
  bool in_time = false;
  while (!in_time) {
    HelperProcess worker([] { return true; });  // shares the description, and so the lock
    ASSERT_TRUE(worker.ready());
    {
      const RegionFile dead = std::move(*region);
    }
    const auto start = steady_clock::now();
    steady_clock::time_point killed;
    std::jthread killer([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      worker.kill();
      killed = steady_clock::now();
    });
    region = make();
    killer.join();
    // Where the machine stalled, the worker has lived longer than anybody waits for it.
    in_time = killed - start < std::chrono::milliseconds(300);
    ASSERT_TRUE(region || !in_time);
    if (!region) {
      region = make();
      ASSERT_TRUE(region);
    }
  }
}

TEST_F(RegionFileTest, a_file_made_by_qemu_is_refused_with_the_way_out) {
  ASSERT_TRUE(make());
  ASSERT_EQ(::chmod(config_.path.c_str(), 0644), 0);
  const auto error = refusal();
  EXPECT_EQ(error.code, Errc::permission_denied);
  EXPECT_EQ(error.message, "region " + config_.path.native() +
                               ": exists with mode 0644, not 0600 (QEMU was started before isthmusd, and made it "
                               "itself); stop the VM, remove the file, start isthmusd, then the VM");
  EXPECT_TRUE(std::filesystem::exists(config_.path));
}

TEST_F(RegionFileTest, a_file_of_another_size_is_refused) {
  ASSERT_TRUE(make());
  config_.region_size = 16 * mib;
  const auto error = refusal();
  EXPECT_EQ(error.code, Errc::invalid_argument);
  EXPECT_TRUE(contains(error.message, "exists with 8 MiB, not 16 MiB")) << error.message;
  EXPECT_EQ(std::filesystem::file_size(config_.path), 8 * mib);
}

TEST_F(RegionFileTest, links_directories_and_pipes_are_refused) {
  std::ofstream(dir_.path() / "target").put('x');
  std::filesystem::create_symlink(dir_.path() / "target", config_.path);
  EXPECT_TRUE(contains(refusal().message, "is a symbolic link"));
  std::filesystem::remove(config_.path);
  std::filesystem::create_directory(config_.path);
  EXPECT_TRUE(contains(refusal().message, "is a directory"));
  std::filesystem::remove(config_.path);
  ASSERT_EQ(::mkfifo(config_.path.c_str(), 0600), 0);
  const auto error = refusal();
  EXPECT_TRUE(contains(error.message, "is a special file"));
  EXPECT_EQ(error.code, Errc::invalid_argument);
}

TEST_F(RegionFileTest, a_dangling_link_is_refused_too) {
  std::filesystem::create_symlink(dir_.path() / "none", config_.path);
  EXPECT_TRUE(contains(refusal().message, "is a symbolic link"));
  EXPECT_FALSE(std::filesystem::exists(dir_.path() / "none"));
}

TEST_F(RegionFileTest, a_missing_directory_is_told) {
  config_.path = dir_.path() / "none" / "r";
  const auto error = refusal();
  EXPECT_EQ(error.code, Errc::not_found);
  EXPECT_TRUE(contains(error.message, (dir_.path() / "none").native())) << error.message;
}

TEST_F(RegionFileTest, a_directory_without_access_is_told) {
  if (::geteuid() == 0) {
    GTEST_SKIP() << "root may write anywhere";
  }
  config_.path = "/etc/isthmus-region";
  EXPECT_EQ(refusal().code, Errc::permission_denied);
}

TEST_F(RegionFileTest, a_full_file_system_is_told_with_both_numbers_and_nothing_is_left) {
  // In a mount namespace of this process, so that nothing stays mounted however the test ends.
  if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tmpfs", dir_.path().c_str(), "tmpfs", 0, "size=12m") != 0) {
    GTEST_SKIP() << "needs the right to mount";
  }
  config_.region_size = 64 * mib;
  auto error = refusal();
  EXPECT_EQ(error.code, Errc::exhausted);
  EXPECT_EQ(error.message, "region " + config_.path.native() +
                               ": 64 MiB asked, 12 MiB free; lower region_size or enlarge " + dir_.path().native());
  EXPECT_TRUE(dir_.empty());

  std::ofstream(dir_.path() / "filler").put('x');
  std::filesystem::resize_file(dir_.path() / "filler", mib);
  config_.region_size = 8 * mib;
  EXPECT_TRUE(make());
  config_.path = dir_.path() / "second";
  error = refusal();
  EXPECT_EQ(error.code, Errc::exhausted);
  EXPECT_TRUE(contains(error.message, "8 MiB asked, 3 MiB free")) << error.message;
  EXPECT_FALSE(std::filesystem::exists(config_.path));
  ASSERT_EQ(::umount(dir_.path().c_str()), 0);
}

TEST_F(RegionFileTest, more_than_the_machine_has_is_refused_before_it_is_taken) {
  config_.region_size = std::uint64_t{1} << 46U;
  EXPECT_EQ(refusal().code, Errc::exhausted);
  EXPECT_TRUE(dir_.empty());
}

TEST_F(RegionFileTest, nobody_holds_a_new_region) {
  auto region = make();
  ASSERT_TRUE(region);
  EXPECT_FALSE(region->held_by_others().value());
}

TEST_F(RegionFileTest, another_opening_is_seen_for_reading_too) {
  auto region = make();
  ASSERT_TRUE(region);
  for (const int flags : {O_RDWR, O_WRONLY, O_RDONLY}) {
    const UniqueFd other = open_again(flags);
    ASSERT_TRUE(other);
    EXPECT_TRUE(region->held_by_others().value());
  }
  EXPECT_FALSE(region->held_by_others().value());
}

TEST_F(RegionFileTest, a_mapping_is_seen_after_its_descriptor_was_closed) {
  auto region = make();
  ASSERT_TRUE(region);
  for (const int protection : {PROT_READ | PROT_WRITE, PROT_READ}) {
    UniqueFd other = open_again((protection & PROT_WRITE) != 0 ? O_RDWR : O_RDONLY);
    void* mapping = ::mmap(nullptr, 4096, protection, MAP_SHARED, other.get(), 0);
    ASSERT_NE(mapping, MAP_FAILED);
    other.reset();
    EXPECT_TRUE(region->held_by_others().value());
    ::munmap(mapping, 4096);
    EXPECT_FALSE(region->held_by_others().value());
  }
}

TEST_F(RegionFileTest, a_process_that_holds_a_mapping_is_seen_until_it_is_killed) {
  auto region = make();
  ASSERT_TRUE(region);
  HelperProcess qemu([this] {
    const UniqueFd file = open_again();
    return ::mmap(nullptr, 8 * mib, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0) != MAP_FAILED;
  });
  ASSERT_TRUE(qemu.ready());
  EXPECT_TRUE(region->held_by_others().value());
  qemu.kill();
  EXPECT_FALSE(region->held_by_others().value());
}

TEST_F(RegionFileTest, a_worker_with_the_inherited_descriptor_and_a_mapping_does_not_count) {
  auto region = make();
  ASSERT_TRUE(region);
  const HelperProcess worker(
      [&] { return ::mmap(nullptr, 8 * mib, PROT_READ | PROT_WRITE, MAP_SHARED, region->fd(), 0) != MAP_FAILED; });
  ASSERT_TRUE(worker.ready());
  EXPECT_FALSE(region->held_by_others().value());
  const UniqueFd other = open_again();
  EXPECT_TRUE(region->held_by_others().value());
}

TEST_F(RegionFileTest, asking_while_somebody_opens_and_closes_harms_neither) {
  auto region = make();
  ASSERT_TRUE(region);
  HelperProcess opener([this] {
    if (::fork() == 0) {  // ready at once, and goes on
      const pid_t parent = ::getppid();
      while (::getppid() == parent) {
        if (!open_again()) {
          ::kill(parent, SIGKILL);
        }
      }
      ::_exit(0);
    }
    return true;
  });
  ASSERT_TRUE(opener.ready());
  int held = 0;
  int free = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
  while (std::chrono::steady_clock::now() < end || held + free <= 100) {
    const auto answer = region->held_by_others();
    ASSERT_TRUE(answer) << answer.error().message;
    ++(*answer ? held : free);
  }
  EXPECT_EQ(::kill(opener.pid(), 0), 0);  // never failed to open
}

TEST_F(RegionFileTest, an_unused_file_is_removed_at_the_end) {
  auto region = make();
  ASSERT_TRUE(region);
  EXPECT_EQ(region->remove_if_unused().value(), RegionFile::Removal::removed);
  EXPECT_TRUE(dir_.empty());
  EXPECT_EQ(region->remove_if_unused().value(), RegionFile::Removal::gone);
}

TEST_F(RegionFileTest, a_file_in_use_is_left_and_adopted_by_the_next_daemon) {
  UniqueFd qemu;
  {
    auto region = make();
    ASSERT_TRUE(region);
    qemu = open_again();
    EXPECT_EQ(region->remove_if_unused().value(), RegionFile::Removal::in_use);
  }
  auto region = make();
  ASSERT_TRUE(region);
  EXPECT_EQ(region->origin(), RegionFile::Origin::adopted);
  EXPECT_TRUE(region->held_by_others().value());
}

TEST_F(RegionFileTest, a_file_that_was_replaced_is_not_ours_to_remove) {
  auto region = make();
  ASSERT_TRUE(region);
  std::filesystem::remove(config_.path);
  std::ofstream(config_.path).put('x');
  EXPECT_FALSE(region->at_path());
  EXPECT_EQ(region->remove_if_unused().value(), RegionFile::Removal::gone);
  EXPECT_TRUE(std::filesystem::exists(config_.path));
}

TEST_F(RegionFileTest, of_two_daemons_that_start_together_one_gets_it) {
  for (int round = 0; round < 3; ++round) {
    auto rival = std::async(std::launch::async, [this] { return make(); });
    const auto region = make();
    const auto other = rival.get();
    ASSERT_NE(region.has_value(), other.has_value());
    EXPECT_EQ((region ? other : region).error().code, Errc::busy);
    std::filesystem::remove(config_.path);
  }
}

}  // namespace
}  // namespace isthmus::host
