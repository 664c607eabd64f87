// SPDX-License-Identifier: Apache-2.0
#include "host/plugin_path.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "temp_dir.hpp"

namespace isthmus::host {
namespace {

class PluginPath : public testing::Test {
 protected:
  std::filesystem::path make(const std::string& name, mode_t mode = 0644) const {
    const auto file = folder_.path() / name;
    std::ofstream(file) << "x";
    EXPECT_EQ(::chmod(file.c_str(), mode), 0);
    return file;
  }
  std::string refusal(const std::string& plugin, Errc code) const {
    const auto found = find_plugins(folder_.path(), {plugin});
    if (found) {
      return "found";
    }
    EXPECT_EQ(found.error().code, code) << found.error().message;
    return found.error().message;
  }

  test::TempDir folder_;
};

TEST_F(PluginPath, a_name_is_a_file_of_the_directory_and_a_path_is_itself) {
  const auto named = make("isthmus-one.so");
  const auto other = make("other.so");
  const auto found = find_plugins(folder_.path(), {"one", other.native()});
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ(found->at(0).name, "one");
  EXPECT_EQ(found->at(0).path, named);
  EXPECT_EQ(found->at(1).name, "");
  EXPECT_EQ(found->at(1).path, other);
}

TEST_F(PluginPath, without_a_directory_it_is_the_one_of_the_installation) {
  const auto found = find_plugins(std::nullopt, {"gone"});
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Errc::not_found);
  const auto prefix = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path();
  EXPECT_NE(found.error().message.find((prefix / "lib/isthmus/plugins/isthmus-gone.so").native()), std::string::npos)
      << found.error().message;
  EXPECT_NE(found.error().message.find("set plugin_dir"), std::string::npos) << found.error().message;
}

TEST_F(PluginPath, a_file_that_others_can_write_is_refused) {
  EXPECT_NE(refusal(make("a.so", 0666), Errc::permission_denied).find("mode 0666"), std::string::npos);
  EXPECT_NE(refusal(make("b.so", 0664), Errc::permission_denied).find("mode 0664"), std::string::npos);
  const auto foreign = make("c.so");
  if (::chown(foreign.c_str(), 12345, 12345) == 0) {  // as root
    EXPECT_NE(refusal(foreign, Errc::permission_denied).find("user 12345"), std::string::npos);
  }
}

TEST_F(PluginPath, a_file_in_a_directory_that_others_can_write_is_refused) {
  const auto file = make("a.so");
  ASSERT_EQ(::chmod(folder_.path().c_str(), 01777), 0);
  EXPECT_NE(refusal(file, Errc::permission_denied).find("its directory belongs to user"), std::string::npos);
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  EXPECT_EQ(refusal(file, Errc::permission_denied), "found");
}

TEST_F(PluginPath, a_directory_is_no_plugin) {
  std::filesystem::create_directory(folder_.path() / "isthmus-dir.so");
  EXPECT_NE(refusal("dir", Errc::invalid_argument).find("is no file"), std::string::npos);
}

}  // namespace
}  // namespace isthmus::host
