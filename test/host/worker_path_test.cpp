// SPDX-License-Identifier: Apache-2.0
#include "host/worker_path.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "temp_dir.hpp"

namespace isthmus::host {
namespace {

TEST(WorkerPath, the_configured_program_is_taken_if_it_can_be_executed) {
  EXPECT_EQ(find_worker("/bin/true").value(), "/bin/true");
}

TEST(WorkerPath, a_configured_program_that_is_missing_or_no_program_is_told) {
  const test::TempDir dir;
  EXPECT_EQ(find_worker(dir.path() / "none").error().code, Errc::not_found);
  std::ofstream(dir.path() / "file").put('x');
  EXPECT_EQ(find_worker(dir.path() / "file").error().code, Errc::permission_denied);
}

TEST(WorkerPath, without_configuration_it_stands_beside_us_or_is_asked_for) {
  const auto self = std::filesystem::read_symlink("/proc/self/exe");
  const auto found = find_worker(std::nullopt);
  if (found) {
    EXPECT_EQ(found->filename(), "isthmus-worker");
  } else {
    EXPECT_NE(found.error().message.find((self.parent_path() / "isthmus-worker").native()), std::string::npos);
    EXPECT_NE(found.error().message.find("set worker in the configuration"), std::string::npos);
  }
}

}  // namespace
}  // namespace isthmus::host
