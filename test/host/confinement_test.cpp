// SPDX-License-Identifier: Apache-2.0
#include "host/confinement.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>

#include "src/transport/text.hpp"
#include "temp_dir.hpp"

namespace isthmus::host {
namespace {

uid_t uid_of(const Result<Confined>& confined) {
  return confined && confined->identity ? confined->identity->uid : ::geteuid();
}

struct stat status_of(const std::filesystem::path& path) {
  struct stat status{};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status;
}

class ConfinementTest : public testing::Test {
 protected:
  static Confinement make(const std::filesystem::path& cache, std::optional<ChildProcess::Identity> user = {}) {
    auto made = Confinement::create(std::move(user), cache);
    EXPECT_TRUE(made);
    return std::move(*made);
  }

  test::TempDir folder_;
  std::filesystem::path cache_ = folder_.path() / "cache";
  bool root_ = ::geteuid() == 0;
};

TEST_F(ConfinementTest, each_owner_has_a_user_of_its_own_which_stays_the_same) {
  if (!root_) {
    GTEST_SKIP() << "only root can give workers users of their own";
  }
  auto confinement = make(cache_);
  std::set<uid_t> users;
  for (int i = 0; i < 300; ++i) {
    const auto owner = text("vm-", i);
    const uid_t user = uid_of(confinement.of(owner, false, {}));
    EXPECT_GE(user, Confinement::first_uid);
    EXPECT_LT(user, Confinement::first_uid + Confinement::uid_count);
    EXPECT_TRUE(users.insert(user).second) << owner;
    EXPECT_EQ(uid_of(confinement.of(owner, false, {})), user);
  }
  auto later = make(cache_);
  EXPECT_EQ(uid_of(later.of("vm-7", false, {})), uid_of(confinement.of("vm-7", false, {})));
  EXPECT_NE(uid_of(later.of("vm-7", false, {})), uid_of(later.of("shm-7-0", false, {})));
}

TEST_F(ConfinementTest, a_configured_user_is_everybodys) {
  if (!root_) {
    GTEST_SKIP() << "only root can become another user";
  }
  auto confinement = make(cache_, ChildProcess::Identity{.uid = 4711, .gid = 4712, .groups = {4713}});
  const auto confined = confinement.of("vm-a", true, {});
  ASSERT_TRUE(confined) << confined.error().message;
  EXPECT_EQ(uid_of(confined), 4711U);
  EXPECT_EQ(confined->identity->groups, std::vector<gid_t>{4713});
  EXPECT_EQ(status_of(cache_ / "vm-a").st_uid, 4711U);
  EXPECT_EQ(status_of(cache_ / "vm-a").st_gid, 4712U);
  EXPECT_NE(confinement.summary().find("user 4711"), std::string::npos);
}

TEST_F(ConfinementTest, who_is_not_root_cannot_have_workers_of_other_users) {
  if (root_) {
    GTEST_SKIP() << "root can";
  }
  const auto refused = Confinement::create(ChildProcess::Identity{.uid = 0x7000'0000, .gid = 1, .groups = {}}, cache_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::permission_denied);
}

TEST_F(ConfinementTest, the_cache_is_made_for_its_worker_alone_and_told_to_drivers) {
  auto confinement = make(cache_);
  for (int round = 0; round < 2; ++round) {  // the second finds it made
    const auto confined = confinement.of("vm-a", true, {"MORE=1"});
    ASSERT_TRUE(confined) << confined.error().message;
    const std::string directory = (cache_ / "vm-a").native();
    EXPECT_EQ(confined->environment,
              (std::vector<std::string>{"POCL_CACHE_DIR=" + directory, "CUDA_CACHE_PATH=" + directory,
                                        "XDG_CACHE_HOME=" + directory, "MORE=1"}));
    const struct stat status = status_of(directory);
    EXPECT_TRUE(S_ISDIR(status.st_mode));
    EXPECT_EQ(status.st_mode & 07777U, 0700U);
    EXPECT_EQ(status.st_uid, uid_of(confined));
  }
  EXPECT_EQ(status_of(cache_).st_mode & 07777U, 0711U);
  EXPECT_EQ(status_of(cache_).st_uid, ::geteuid());
}

TEST_F(ConfinementTest, what_is_configured_goes_before_what_is_computed) {
  auto confinement = make(cache_);
  const auto confined = confinement.of("vm-a", true, {"POCL_CACHE_DIR=/elsewhere"});
  ASSERT_TRUE(confined);
  const std::string directory = (cache_ / "vm-a").native();
  EXPECT_EQ(confined->environment,
            (std::vector<std::string>{"CUDA_CACHE_PATH=" + directory, "XDG_CACHE_HOME=" + directory,
                                      "POCL_CACHE_DIR=/elsewhere"}));
}

TEST_F(ConfinementTest, without_a_cache_there_is_no_environment_and_no_directory) {
  auto confinement = make(cache_);
  const auto confined = confinement.of("vm-a", false, {});
  ASSERT_TRUE(confined);
  EXPECT_TRUE(confined->environment.empty());
  EXPECT_FALSE(std::filesystem::exists(cache_));
}

TEST_F(ConfinementTest, a_cache_that_is_open_to_others_or_no_directory_is_refused) {
  auto confinement = make(cache_);
  ASSERT_TRUE(confinement.of("vm-a", true, {}));
  const auto refused = [&](std::string_view part) {
    const auto confined = confinement.of("vm-a", true, {});
    ASSERT_FALSE(confined);
    EXPECT_EQ(confined.error().code, Errc::permission_denied);
    EXPECT_NE(confined.error().message.find(part), std::string::npos) << confined.error().message;
  };
  ASSERT_EQ(::chmod((cache_ / "vm-a").c_str(), 0755), 0);
  refused("mode 0755");
  std::filesystem::remove(cache_ / "vm-a");
  std::filesystem::create_directory_symlink("/tmp", cache_ / "vm-a");
  refused("must be a directory of user");
  ASSERT_EQ(::chmod(cache_.c_str(), 0777), 0);
  refused("nobody else may write it");
}

TEST_F(ConfinementTest, the_log_says_how_it_is) {
  const std::string summary = make(cache_).summary();
  EXPECT_NE(summary.find("network"), std::string::npos) << summary;
  EXPECT_EQ(summary.find("as isthmusd does") == std::string::npos, root_) << summary;
}

}  // namespace
}  // namespace isthmus::host
