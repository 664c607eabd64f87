// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstddef>
#include <string>

#include "host/worker/plugin_loader.hpp"

namespace isthmus::host {
namespace {

plugin::Descriptor good() {
  return {.name = "good", .open_lane = [](plugin::Host&) -> Result<std::unique_ptr<plugin::Backend>> {
            return fail(Errc::unsupported, "never opened");
          }};
}

std::string refusal(const plugin::Descriptor& descriptor, std::string_view expected = "good") {
  const auto checked = check_plugin(descriptor, expected);
  return checked ? "" : checked.error().message;
}

TEST(PluginLoaderTest, ADescriptorOfThisReleaseFits) {
  EXPECT_EQ(refusal(good()), "");
  EXPECT_EQ(refusal(good(), ""), "") << "named by its path in the configuration";
}

TEST(PluginLoaderTest, EachMismatchNamesBothSidesAndTheWayOut) {
  auto descriptor = good();
  descriptor.abi = plugin::abi + 1;
  EXPECT_EQ(refusal(descriptor),
            "it was built for plug-in ABI 3, this worker has ABI 2; rebuild it against this "
            "release of Isthmus");
  descriptor = good();
  descriptor.magic = 0;
  EXPECT_NE(refusal(descriptor).find("begins with 0x0 instead of 0x49505449"), std::string::npos);
  descriptor = good();
  descriptor.size -= 8;
  EXPECT_NE(refusal(descriptor).find("rebuild it"), std::string::npos);
  descriptor = good();
  descriptor.dispatcher_size += 8;
  EXPECT_NE(refusal(descriptor).find("rebuild it"), std::string::npos);
  descriptor = good();
  descriptor.standard_library = "another one";
  EXPECT_NE(refusal(descriptor).find("built with another one"), std::string::npos);
  descriptor.standard_library = nullptr;
  EXPECT_NE(refusal(descriptor), "");
  descriptor = good();
  descriptor.open_lane = nullptr;
  EXPECT_NE(refusal(descriptor).find("open_lane"), std::string::npos);
  descriptor = good();
  descriptor.name = nullptr;
  EXPECT_NE(refusal(descriptor), "");
  EXPECT_EQ(refusal(good(), "other"), "it calls itself good; is the right file in its place?");
}

// A later ABI may lay everything out anew but for the first four fields.
TEST(PluginLoaderTest, TheFieldsThatToldTheAbiStayInTheirPlace) {
  EXPECT_EQ(offsetof(plugin::Descriptor, magic), 0);
  EXPECT_EQ(offsetof(plugin::Descriptor, abi), 4);
  EXPECT_EQ(offsetof(plugin::Descriptor, size), 8);
  EXPECT_EQ(offsetof(plugin::Descriptor, dispatcher_size), 12);
}

TEST(PluginLoaderTest, AFileThatIsNoLibraryIsTold) {
  const auto loaded = load_plugin("/etc/passwd", "good");
  ASSERT_FALSE(loaded);
  EXPECT_TRUE(loaded.error().message.starts_with("plug-in good: /etc/passwd: ")) << loaded.error().message;
}

}  // namespace
}  // namespace isthmus::host
