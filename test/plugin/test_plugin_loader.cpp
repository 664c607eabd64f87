// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "host/worker/plugin_loader.hpp"
#include "isthmus/api/probe.hpp"

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
            "it was built for plug-in ABI 5, this worker has ABI 4; rebuild it against this "
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

TEST(PluginLoaderTest, EachApiHasOnePlugin) {
  constexpr std::array<std::uint16_t, 3> some{1000, 1001, 0};
  constexpr std::array<std::uint16_t, 2> more{1001, 0};
  constexpr std::array<std::uint16_t, 2> probes{probe::ProbeApi::id, 0};
  auto first = good();
  auto second = good();
  second.name = "second";
  const std::array<const plugin::Descriptor*, 2> both{&first, &second};
  EXPECT_TRUE(check_apis(both)) << "neither tells";
  first.apis = some.data();
  EXPECT_TRUE(check_apis(both));
  second.apis = more.data();
  const auto twice = check_apis(both);
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().message,
            "plug-in second: API 1001 is served by plug-in good already; name one of them only in plugins, or give "
            "one's API another id");
  second.apis = probes.data();
  const auto own = check_apis(both);
  ASSERT_FALSE(own);
  EXPECT_NE(own.error().message.find("is served by the worker itself"), std::string::npos);
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
