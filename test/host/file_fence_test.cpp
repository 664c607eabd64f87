// SPDX-License-Identifier: Apache-2.0
#include "host/file_fence.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX, not C++
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>

#include "temp_dir.hpp"

namespace isthmus::host {
namespace {

int try_to_open(const std::filesystem::path& path, int flags) {
  const UniqueFd opened(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  return opened ? 0 : errno;
}

// Runs a function in a child behind the fence: what it returns, 0 to 255.
int behind(int fence, const std::function<int()>& function) {
  const pid_t child = ::fork();
  if (child == 0) {
    const bool closed =
        ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::syscall(SYS_landlock_restrict_self, fence, 0) == 0;
    ::_exit(closed ? function() : 255);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 254;
}

class FileFenceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (FileFence::kernel_version() == 0) {
      GTEST_SKIP() << FileFence::missing_in(0);
    }
    for (const char* name : {"caches/mine/kernel", "caches/other/kernel", "regions/alpha", "regions/beta", "beside"}) {
      std::filesystem::create_directories((folder_.path() / name).parent_path());
      std::ofstream(folder_.path() / name) << "text";
    }
    std::filesystem::create_symlink(folder_.path() / "caches/other", folder_.path() / "way_round");
  }
  [[nodiscard]] std::filesystem::path at(const char* name) const { return folder_.path() / name; }
  [[nodiscard]] UniqueFd make() const {
    auto made = FileFence{.off_limits = {at("caches"), at("regions/alpha"), at("not/there")},
                          .own = at("caches/mine"),
                          .users = {::geteuid()}}
                    .make();
    EXPECT_TRUE(made) << made.error().message;
    return made ? std::move(made->descriptor) : UniqueFd();
  }

  test::TempDir folder_;
};

TEST_F(FileFenceTest, leaves_a_process_its_own_and_what_is_beside) {
  const UniqueFd fence = make();
  EXPECT_EQ(behind(fence.get(), [&] { return try_to_open(at("caches/mine/kernel"), O_RDWR); }), 0);
  EXPECT_EQ(behind(fence.get(), [&] { return try_to_open(at("caches/mine/more"), O_RDWR | O_CREAT); }), 0);
  EXPECT_EQ(behind(fence.get(),
                   [&] {
                     std::filesystem::create_directory(at("caches/mine/folder"));
                     return ::rename(at("caches/mine/more").c_str(), at("caches/mine/folder/moved").c_str()) == 0
                                ? ::unlink(at("caches/mine/folder/moved").c_str())
                                : errno;
                   }),
            0);
  EXPECT_EQ(behind(fence.get(), [&] { return try_to_open(at("regions/beta"), O_RDWR); }), 0);
  EXPECT_EQ(behind(fence.get(), [&] { return try_to_open(at("beside"), O_RDWR); }), 0);
  EXPECT_EQ(behind(fence.get(), [] { return try_to_open("/dev/null", O_RDWR); }), 0);
  EXPECT_EQ(behind(fence.get(), [] { return try_to_open("/proc/self/maps", O_RDONLY); }), 0);
  EXPECT_EQ(behind(fence.get(), [] { return try_to_open("/bin/sh", O_RDONLY); }), 0) << "/bin may be a symbolic link";
}

TEST_F(FileFenceTest, closes_what_is_off_limits_by_whatever_way) {
  const UniqueFd fence = make();
  for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR}) {
    EXPECT_EQ(behind(fence.get(), [&] { return try_to_open(at("caches/other/kernel"), flags); }), EACCES);
    EXPECT_EQ(behind(fence.get(), [&] { return try_to_open(at("regions/alpha"), flags); }), EACCES);
    EXPECT_EQ(behind(fence.get(), [&] { return try_to_open(at("way_round/kernel"), flags); }), EACCES);
    EXPECT_EQ(behind(fence.get(), [&] { return try_to_open(at("caches/mine/../other/kernel"), flags); }), EACCES);
  }
  EXPECT_EQ(behind(fence.get(), [&] { return try_to_open(at("caches/other/more"), O_RDWR | O_CREAT); }), EACCES);
  EXPECT_EQ(behind(fence.get(), [&] { return ::unlink(at("caches/other/kernel").c_str()) == 0 ? 0 : errno; }), EACCES);
  // A way in that is made behind the fence: a link into its own directory.
  EXPECT_EQ(behind(fence.get(),
                   [&] {
                     return ::link(at("caches/other/kernel").c_str(), at("caches/mine/link").c_str()) == 0 ? 0 : errno;
                   }),
            FileFence::kernel_version() >= 2 ? EXDEV : EACCES);
  EXPECT_EQ(behind(fence.get(),
                   [&] {
                     return ::symlink(at("caches/other/kernel").c_str(), at("caches/mine/soft").c_str()) == 0
                                ? try_to_open(at("caches/mine/soft"), O_RDONLY)
                                : 0;
                   }),
            EACCES);
}

TEST_F(FileFenceTest, nothing_is_written_but_where_workers_write) {
  const UniqueFd fence = make();
  // By root, whom file modes do not stop.
  EXPECT_EQ(behind(fence.get(), [] { return try_to_open("/usr/isthmus-was-here", O_WRONLY | O_CREAT); }), EACCES);
  EXPECT_EQ(behind(fence.get(), [] { return try_to_open("/etc/hostname", O_WRONLY); }), EACCES);
  EXPECT_FALSE(std::filesystem::exists("/usr/isthmus-was-here"));
}

TEST_F(FileFenceTest, leaves_out_what_strangers_put_beside_something_closed) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can give files to others";
  }
  ASSERT_EQ(::chown(at("regions/beta").c_str(), 4711, 4711), 0);
  const UniqueFd fence = make();
  EXPECT_EQ(behind(fence.get(), [&] { return try_to_open(at("regions/beta"), O_RDONLY); }), EACCES);
  EXPECT_EQ(behind(fence.get(), [&] { return try_to_open(at("beside"), O_RDONLY); }), 0);
}

TEST_F(FileFenceTest, says_when_a_directory_was_too_full_to_look_at) {
  for (int i = 0; i < 5000; ++i) {
    ASSERT_EQ(::mknodat(AT_FDCWD, (at("regions") / std::to_string(i)).c_str(), S_IFREG | 0600, 0), 0);
  }
  const auto made = FileFence{.off_limits = {at("regions/alpha")}, .own = {}, .users = {}}.make();
  ASSERT_TRUE(made);
  EXPECT_NE(made->left_out.find("more than 4096 entries"), std::string::npos);
}

// As NVIDIA's driver does when it starts.
TEST_F(FileFenceTest, a_process_cuts_its_own_files_short) {
  const UniqueFd fence = make();
  EXPECT_EQ(behind(fence.get(), [] { return try_to_open("/proc/self/status", O_RDONLY); }), 0);
  EXPECT_EQ(behind(fence.get(), [] { return try_to_open("/proc/self/comm", O_WRONLY | O_TRUNC); }), 0);
}

TEST_F(FileFenceTest, keeps_signals_in) {
  if (FileFence::kernel_version() < 6) {
    GTEST_SKIP() << FileFence::missing_in(FileFence::kernel_version());
  }
  const UniqueFd fence = make();
  const pid_t victim = ::getpid();
  EXPECT_EQ(behind(fence.get(), [victim] { return ::kill(victim, 0) == 0 ? 0 : errno; }), EPERM);
  EXPECT_EQ(behind(fence.get(), [] { return ::kill(::getpid(), 0) == 0 ? 0 : errno; }), 0);
}

TEST(FileFence, says_what_a_kernel_lacks) {
  EXPECT_NE(FileFence::missing_in(0).find("no Landlock"), std::string::npos);
  EXPECT_NE(FileFence::missing_in(1).find("cutting files short, TCP, signals"), std::string::npos);
  EXPECT_NE(FileFence::missing_in(5).find("signals"), std::string::npos);
  EXPECT_EQ(FileFence::missing_in(5).find("TCP"), std::string::npos);
  EXPECT_TRUE(FileFence::missing_in(6).empty());
  EXPECT_TRUE(FileFence::missing_in(7).empty());
}

}  // namespace
}  // namespace isthmus::host
