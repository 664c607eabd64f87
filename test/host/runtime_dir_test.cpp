// SPDX-License-Identifier: Apache-2.0
#include "host/runtime_dir.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "temp_dir.hpp"

namespace isthmus::host {
namespace {

TEST(RuntimeDir, a_missing_directory_is_made_for_all_to_read_and_us_to_write) {
  const test::TempDir dir;
  const mode_t before = ::umask(077);
  const auto prepared = prepare_runtime_dir(dir.path() / "run");
  ::umask(before);
  ASSERT_TRUE(prepared) << prepared.error().message;
  struct stat status{};
  ASSERT_EQ(::stat((dir.path() / "run").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFDIR | 0755U);
}

TEST(RuntimeDir, an_existing_one_of_ours_will_do) {
  const test::TempDir dir;
  EXPECT_TRUE(prepare_runtime_dir(dir.path()));
}

TEST(RuntimeDir, one_where_others_can_write_is_refused) {
  const auto prepared = prepare_runtime_dir("/tmp");
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, Errc::permission_denied);
  EXPECT_NE(prepared.error().message.find("mode 1777 lets other users write"), std::string::npos)
      << prepared.error().message;
}

TEST(RuntimeDir, one_of_a_stranger_is_refused) {
  const test::TempDir dir;
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  ASSERT_EQ(::chown(dir.path().c_str(), 65534, 65534), 0);
  EXPECT_EQ(prepare_runtime_dir(dir.path()).error().code, Errc::permission_denied);
}

TEST(RuntimeDir, a_missing_parent_and_a_file_in_its_place_are_told) {
  const test::TempDir dir;
  EXPECT_EQ(prepare_runtime_dir(dir.path() / "no" / "run").error().code, Errc::not_found);
  std::ofstream(dir.path() / "file").put('x');
  EXPECT_EQ(prepare_runtime_dir(dir.path() / "file").error().code, Errc::invalid_argument);
}

TEST(RuntimeDir, the_default_is_run_for_root_and_the_users_own_for_others) {
  const auto directory = default_runtime_dir();
  if (::geteuid() == 0) {
    EXPECT_EQ(directory.value(), "/run/isthmus");
  } else if (const char* base = std::getenv("XDG_RUNTIME_DIR"); base != nullptr) {
    EXPECT_EQ(directory.value(), std::filesystem::path(base) / "isthmus");
  } else {
    EXPECT_EQ(directory.error().code, Errc::not_found);
  }
}

}  // namespace
}  // namespace isthmus::host
