// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <string>

#include "src/transport/region.hpp"
#include "test/support/random.hpp"
#include "test/support/test_region.hpp"

namespace isthmus::test::region_tests {
namespace {

using abi::RegionHeader;

constexpr std::uint64_t max64 = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t mib = std::uint64_t{1} << 20;

UniqueFd memory_of(std::uint64_t size) {
  UniqueFd fd(memfd_create("isthmus-test", MFD_CLOEXEC));
  require(fd && ftruncate(fd.get(), static_cast<off_t>(size)) == 0, "memfd");
  return fd;
}

void expect_error(const Error& error, Errc code, std::initializer_list<std::string> words) {
  EXPECT_EQ(error.code, code) << error.message;
  for (const std::string& word : words) {
    EXPECT_NE(error.message.find(word), std::string::npos) << error.message << " lacks " << word;
  }
}

// ---- geometry ------------------------------------------------------------------------------------------------------

TEST(RegionGeometryTest, PartsFollowEachOtherAndExtentsFillTheRest) {
  for (std::uint64_t size = abi::min_region_size; size <= abi::max_region_size; size *= 2) {
    for (const std::uint32_t lanes : {1U, 2U, 3U, 17U, 63U, 64U}) {
      const auto g = abi::RegionGeometry::of(size, lanes);
      EXPECT_EQ(g.owners_offset, abi::page_size * (1 + 2 * lanes));
      EXPECT_GE(g.extents_offset, g.owners_offset + g.extent_count * sizeof(std::uint64_t));
      EXPECT_EQ(g.extents_offset % abi::extent_size, 0);
      EXPECT_EQ(g.extents_offset + g.extent_count * abi::extent_size, size);
      EXPECT_GE(g.extent_count, 2);
    }
  }
}

TEST(RegionGeometryTest, WordsOfDifferentWritersAreOnDifferentPairsOfCacheLines) {
  using W = abi::ChannelWords;
  const std::array offsets{offsetof(W, request_doorbell), offsetof(W, twin_sleeping),   offsetof(W, request_consumed),
                           offsetof(W, reply_doorbell),   offsetof(W, client_sleeping), offsetof(W, reply_consumed),
                           offsetof(W, retired)};
  for (std::size_t i = 1; i < offsets.size(); ++i) {
    EXPECT_GE(offsets.at(i) - offsets.at(i - 1), abi::writer_separation);
  }
  EXPECT_EQ(offsetof(abi::LaneControl, host) % abi::page_size, 0);
  EXPECT_EQ(offsetof(abi::ChannelBlock, requests) % abi::page_size, 0);
  EXPECT_EQ(offsetof(abi::ChannelBlock, replies) % abi::writer_separation, 0);
}

// ---- format --------------------------------------------------------------------------------------------------------

TEST(FormatRegionTest, AFormattedRegionOpensOnBothSidesWithItsNameAndEpoch) {
  const TestRegion memory(16 * mib, 5, "my-vm");
  const Region client = memory.map();
  const Region host = must(Region::open_as_host(memory.fd(), 5, 0, "region"));
  EXPECT_EQ(client.name(), "my-vm");
  EXPECT_EQ(host.name(), "my-vm");
  EXPECT_EQ(client.epoch(), host.epoch());
  EXPECT_EQ(client.geometry().lane_count, 5);
  EXPECT_EQ(client.geometry().extent_count, host.geometry().extent_count);
  EXPECT_TRUE(client.intact() && host.intact());
  EXPECT_EQ(client.size(), 16 * mib);
}

TEST(FormatRegionTest, TwoRegionsHaveDifferentEpochs) {
  EXPECT_NE(TestRegion().map().epoch(), TestRegion().map().epoch());
}

TEST(FormatRegionTest, AnImpossibleSizeIsAnErrorWithSizeAndLimits) {
  for (const std::uint64_t size :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4096}, 4 * mib, 8 * mib - 1, 8 * mib + 1, 12 * mib,
        8 * mib + 4096, 2 * abi::max_region_size, max64, std::uint64_t{1} << 63}) {
    const UniqueFd fd = memory_of(8 * mib);
    const auto formatted = format_region(fd.get(), {.name = "x", .size = size});
    ASSERT_FALSE(formatted) << size;
    expect_error(formatted.error(), Errc::invalid_argument, {"region x", "power of two", "8 MiB", "65536 MiB"});
  }
}

TEST(FormatRegionTest, AnImpossibleNumberOfLanesIsAnError) {
  const UniqueFd fd = memory_of(8 * mib);
  for (const std::uint32_t lanes : {0U, 65U, 0xffff'ffffU}) {
    const auto formatted = format_region(fd.get(), {.name = "x", .size = 8 * mib, .lane_count = lanes});
    ASSERT_FALSE(formatted);
    expect_error(formatted.error(), Errc::invalid_argument, {"region x", std::to_string(lanes), "1 to 64"});
  }
}

TEST(FormatRegionTest, AnImpossibleNameIsAnError) {
  const UniqueFd fd = memory_of(8 * mib);
  for (const std::string& name : {std::string(), std::string(64, 'x'), std::string("two\nlines"),
                                  std::string("nul\0inside", 10), std::string("b\xc3\xa4r")}) {
    const auto formatted = format_region(fd.get(), {.name = name, .size = 8 * mib});
    ASSERT_FALSE(formatted) << name;
    expect_error(formatted.error(), Errc::invalid_argument, {"63"});
  }
  EXPECT_TRUE(format_region(fd.get(), {.name = std::string(63, 'x'), .size = 8 * mib}));
  EXPECT_EQ(must(Region::open_as_client(fd.get(), 8 * mib, "region")).name(), std::string(63, 'x'));
}

TEST(FormatRegionTest, AFileThatIsTooShortOrNotWritableIsAnError) {
  const UniqueFd closed;
  EXPECT_FALSE(format_region(closed.get(), {.name = "x", .size = 8 * mib}));
  const UniqueFd fd = memory_of(8 * mib);
  const UniqueFd read_only(open(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), O_RDONLY | O_CLOEXEC));
  const auto formatted = format_region(read_only.get(), {.name = "x", .size = 8 * mib});
  ASSERT_FALSE(formatted);
  EXPECT_EQ(formatted.error().code, Errc::system);
}

TEST(FormatRegionTest, LanesStartWithEpochsOfTheirOwn) {
  const TestRegion memory(abi::min_region_size, 3);
  const Region region = memory.map();
  for (std::uint32_t lane = 0; lane < 3; ++lane) {
    EXPECT_TRUE(region.lane(lane).host.epoch.word.load_relaxed().equals(region.epoch() + lane));
    EXPECT_TRUE(region.lane(lane).client.claim.word.load_relaxed().equals(0));
    EXPECT_TRUE(region.lane(lane).host.state.word.load_relaxed().equals(0));
  }
}

TEST(FormatRegionTest, TheDaemonsPresenceCanBeSaid) {
  const TestRegion memory;
  const Region region = memory.map();
  EXPECT_TRUE(region.header().daemon.word.load_relaxed().equals(0));
  must(set_daemon_present(memory.fd(), true));
  EXPECT_TRUE(region.header().daemon.word.load_relaxed().equals(1));
  must(set_daemon_present(memory.fd(), false));
  EXPECT_TRUE(region.header().daemon.word.load_relaxed().equals(0));
}

// ---- adopt ---------------------------------------------------------------------------------------------------------

TEST(AdoptRegionTest, TheEpochChangesSoThatOldClientsNotice) {
  const TestRegion memory;
  const Region old = memory.map();
  must(adopt_region(memory.fd(), memory.spec()));
  EXPECT_FALSE(old.intact());
  const Region region = memory.map();
  EXPECT_TRUE(region.intact());
  EXPECT_NE(region.epoch(), old.epoch());
}

TEST(AdoptRegionTest, LanesThatWereServedAreClosedWithAReasonAndOthersAreLeft) {
  const TestRegion memory(abi::min_region_size, 4);
  const Region region = memory.map();
  const std::array states{abi::HostState::free, abi::HostState::serving, abi::HostState::closing,
                          abi::HostState::closed};
  for (std::uint32_t lane = 0; lane < 4; ++lane) {
    region.lane(lane).host.state.word.store_relaxed(static_cast<std::uint32_t>(states.at(lane)));
    region.lane(lane).client.claim.word.store_relaxed(static_cast<std::uint32_t>(abi::ClaimState::claimed));
  }
  must(adopt_region(memory.fd(), memory.spec()));
  for (std::uint32_t lane = 0; lane < 4; ++lane) {
    const auto expected = lane == 0 ? abi::HostState::free : abi::HostState::closed;
    EXPECT_TRUE(region.lane(lane).host.state.word.load_relaxed().equals(static_cast<std::uint32_t>(expected))) << lane;
    EXPECT_TRUE(
        region.lane(lane).client.claim.word.load_relaxed().equals(static_cast<std::uint32_t>(abi::ClaimState::claimed)))
        << "whose client lives is not for the daemon to say";
    EXPECT_EQ(copy_text(region.lane(lane).host.reason), lane == 0 ? "" : "isthmusd was started anew");
  }
}

TEST(AdoptRegionTest, AFileThatIsNoRegionIsRefused) {
  const UniqueFd fd = memory_of(8 * mib);
  const auto adopted = adopt_region(fd.get(), {.name = "x", .size = 8 * mib});
  ASSERT_FALSE(adopted);
  expect_error(adopted.error(), Errc::version_mismatch, {"region x", "no Isthmus region", "remove it"});
  const UniqueFd empty = memory_of(0);
  EXPECT_FALSE(adopt_region(empty.get(), {.name = "x", .size = 8 * mib}));
}

TEST(AdoptRegionTest, AnotherAbiOrNumberOfLanesIsRefused) {
  TestRegion memory(abi::min_region_size, 2);
  RegionSpec other = memory.spec();
  other.lane_count = 3;
  const auto lanes = adopt_region(memory.fd(), other);
  ASSERT_FALSE(lanes);
  expect_error(lanes.error(), Errc::version_mismatch, {"2 lanes", " 3", "stop the VM"});
  memory.poke(offsetof(RegionHeader, abi), std::uint32_t{9});
  const auto version = adopt_region(memory.fd(), memory.spec());
  ASSERT_FALSE(version);
  expect_error(version.error(), Errc::version_mismatch, {"ABI 9", "ABI 0"});
}

TEST(AdoptRegionTest, AnotherSizeThanTheHeaderSaysIsRefused) {
  const TestRegion memory(16 * mib);
  RegionSpec other = memory.spec();
  other.size = 8 * mib;
  const auto smaller = adopt_region(memory.fd(), other);
  ASSERT_FALSE(smaller);
  expect_error(smaller.error(), Errc::version_mismatch, {"16 MiB", "8 MiB"});
  EXPECT_TRUE(memory.map().intact());
}

TEST(CloseLaneTest, TheReasonIsThereBeforeTheStateAndIsCutWhereItIsTooLong) {
  const TestRegion memory(abi::min_region_size, 2);
  const Region region = memory.map();
  must(close_lane(memory.fd(), 1, "because"));
  EXPECT_EQ(copy_text(region.lane(1).host.reason), "because");
  must(close_lane(memory.fd(), 1, std::string(1000, 'r')));
  EXPECT_EQ(copy_text(region.lane(1).host.reason), std::string(abi::text_size - 1, 'r'));
  EXPECT_TRUE(region.lane(1).host.state.word.load_relaxed().equals(static_cast<std::uint32_t>(abi::HostState::closed)));
  EXPECT_TRUE(region.lane(0).host.state.word.load_relaxed().equals(0));
}

// ---- open ----------------------------------------------------------------------------------------------------------

TEST(OpenRegionTest, AClientRefusesSizesThatNoRegionHas) {
  const TestRegion memory;
  for (const std::uint64_t size :
       {std::uint64_t{0}, std::uint64_t{4096}, 4 * mib, 8 * mib - 4096, 12 * mib, 2 * abi::max_region_size, max64}) {
    const auto region = Region::open_as_client(memory.fd(), size, "device 7");
    ASSERT_FALSE(region) << size;
    expect_error(region.error(), Errc::invalid_argument, {"device 7"});
  }
}

TEST(OpenRegionTest, AHostRefusesSizesThatNoRegionHas) {
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, 4 * mib, 8 * mib + 1, 12 * mib}) {
    const UniqueFd fd = memory_of(size);
    const auto region = Region::open_as_host(fd.get(), 1, 0, "region x");
    ASSERT_FALSE(region) << size;
    expect_error(region.error(), Errc::invalid_argument, {"region x"});
  }
}

TEST(OpenRegionTest, AHostRefusesAnImpossibleNumberOfLanes) {
  const TestRegion memory;
  for (const std::uint32_t lanes : {0U, 65U, 0xffff'ffffU}) {
    const auto region = Region::open_as_host(memory.fd(), lanes, 0, "region x");
    ASSERT_FALSE(region);
    expect_error(region.error(), Errc::invalid_argument, {std::to_string(lanes)});
  }
}

TEST(OpenRegionTest, BothSidesRefuseMemoryWithoutTheMagic) {
  const UniqueFd fd = memory_of(8 * mib);
  const auto client = Region::open_as_client(fd.get(), 8 * mib, "device 7");
  ASSERT_FALSE(client);
  expect_error(client.error(), Errc::version_mismatch, {"device 7", "magic 0x0", "0x53554d48545349", "isthmusd"});
  const auto host = Region::open_as_host(fd.get(), 1, 0, "region x");
  ASSERT_FALSE(host);
  expect_error(host.error(), Errc::protocol_violation, {"region x", "magic"});
}

TEST(OpenRegionTest, AClientRefusesAnotherAbiVersion) {
  TestRegion memory;
  memory.poke(offsetof(RegionHeader, abi), std::uint32_t{0xffff'ffff});
  const auto region = Region::open_as_client(memory.fd(), memory.spec().size, "device 7");
  ASSERT_FALSE(region);
  expect_error(region.error(), Errc::version_mismatch, {"ABI 4294967295", "ABI 0", "matching versions"});
}

TEST(OpenRegionTest, AClientRefusesAHeaderThatContradictsTheSize) {
  const auto spoil32 = [](std::size_t offset, std::uint32_t value) {
    TestRegion memory(16 * mib, 2);
    memory.poke(offset, value);
    const auto region = Region::open_as_client(memory.fd(), 16 * mib, "device 7");
    ASSERT_FALSE(region) << offset << " " << value;
    expect_error(region.error(), Errc::protocol_violation, {"device 7", "16 MiB", "region_size"});
  };
  const auto spoil64 = [](std::size_t offset, std::uint64_t value) {
    TestRegion memory(16 * mib, 2);
    memory.poke(offset, value);
    const auto region = Region::open_as_client(memory.fd(), 16 * mib, "device 7");
    ASSERT_FALSE(region) << offset << " " << value;
    expect_error(region.error(), Errc::protocol_violation, {"device 7", "16 MiB", "region_size"});
  };
  for (const std::uint32_t lanes : {0U, 65U, 0xffff'ffffU}) {
    spoil32(offsetof(RegionHeader, lane_count), lanes);
  }
  for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{1}, 8 * mib, 32 * mib, max64}) {
    spoil64(offsetof(RegionHeader, region_size), value);
    spoil64(offsetof(RegionHeader, extents_offset), value);
    spoil64(offsetof(RegionHeader, extent_count), value);
  }
}

TEST(OpenRegionTest, AClientMapsAtTheRegionsAddressWhereItIsFreeAndElsewhereWhereNot) {
  constexpr std::uint64_t address = 0x5500'0000'0000;
  TestRegion memory;
  memory.poke(offsetof(RegionHeader, base_address), address);
  const Region first = memory.map();
  EXPECT_EQ(reinterpret_cast<std::uint64_t>(first.data(0)), address);
  const Region second = memory.map();
  EXPECT_NE(second.data(0), first.data(0));
  EXPECT_TRUE(second.intact());
}

#if !defined(ISTHMUS_THREAD_SANITIZER)  // whose mmap takes addresses that it cannot shadow for a request for address 0
// In memory it works where the kernel can (test_processes.py looks); a file on a disk can never.
TEST(OpenRegionTest, AFileThatCannotBeInHugePagesIsAnErrorAndStaysUsable) {
  std::string path = "test_region_huge_XXXXXX";
  const UniqueFd file(mkstemp(path.data()));
  ASSERT_TRUE(file);
  unlink(path.c_str());
  struct statfs kind{};
  if (fstatfs(file.get(), &kind) != 0 || kind.f_type == TMPFS_MAGIC) {
    GTEST_SKIP() << "the tests run in a folder in memory";
  }
  ASSERT_EQ(ftruncate(file.get(), static_cast<off_t>(abi::extent_size)), 0);
  auto mapping = must(Mapping::map(file.get(), abi::extent_size, 0, "file"));
  const auto moved = mapping.use_huge_pages("file");
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().code, Errc::unsupported);
  EXPECT_NE(moved.error().message.find("ordinary pages are used"), std::string::npos) << moved.error().message;
  *mapping.data() = std::byte{7};
  EXPECT_EQ(*mapping.data(), std::byte{7});
}

TEST(OpenRegionTest, AnImpossibleAddressInTheHeaderIsNoProblem) {
  for (const std::uint64_t address : {std::uint64_t{1}, std::uint64_t{4096}, 2 * mib, max64, max64 - 2 * mib + 1,
                                      std::uint64_t{1} << 63, (std::uint64_t{1} << 47) - 2 * mib}) {
    TestRegion memory;
    memory.poke(offsetof(RegionHeader, base_address), address);
    EXPECT_TRUE(memory.map().intact()) << address;
  }
}
#endif

TEST(OpenRegionTest, ANameIsCutAtItsFieldAndShownInPrintableCharacters) {
  TestRegion memory;
  std::array<char, abi::name_size> name{};
  name.fill('x');
  memory.poke(offsetof(RegionHeader, name), name);
  EXPECT_EQ(memory.map().name(), std::string(abi::name_size, 'x'));
  name = {'a', '\n', '\x1b', '[', '\x7f', '\xff', 'b', '\0', 'c'};
  memory.poke(offsetof(RegionHeader, name), name);
  EXPECT_EQ(memory.map().name(), "a??[??b");
}

TEST(OpenRegionTest, ARegionWhoseMagicOrEpochChangesIsNoLongerIntact) {
  for (const std::size_t offset : {offsetof(RegionHeader, magic), offsetof(RegionHeader, epoch)}) {
    TestRegion memory;
    const Region region = memory.map();
    const auto old = memory.peek<std::uint64_t>(offset);
    memory.poke(offset, old + 1);
    EXPECT_FALSE(region.intact());
    memory.poke(offset, old);
    EXPECT_TRUE(region.intact());
  }
}

// ---- references ----------------------------------------------------------------------------------------------------

class ResolveTest : public testing::Test {
 protected:
  [[nodiscard]] bool resolves(std::uint64_t offset, std::uint64_t length, std::uint8_t window = 0) const {
    const auto bytes = region_.resolve(Reference::make(window, offset, length));
    if (bytes) {
      EXPECT_EQ(bytes->data(), region_.data(offset));
      EXPECT_EQ(bytes->size(), length);
    }
    return bytes.has_value();
  }
  TestRegion memory_;
  Region region_ = memory_.map();
  std::uint64_t first_ = region_.geometry().extents_offset;
  std::uint64_t size_ = region_.size();
};

TEST_F(ResolveTest, EverythingInsideTheExtentsIsFound) {
  EXPECT_TRUE(resolves(first_, 1));
  EXPECT_TRUE(resolves(first_, size_ - first_));
  EXPECT_TRUE(resolves(size_ - 1, 1));
  EXPECT_TRUE(resolves(size_, 0));
  EXPECT_TRUE(resolves(first_ + 12'345, 67'890));
}

TEST_F(ResolveTest, NothingOutsideTheExtentsIsFound) {
  EXPECT_FALSE(resolves(0, 1)) << "the header";
  EXPECT_FALSE(resolves(0, 0));
  EXPECT_FALSE(resolves(abi::page_size, 8)) << "a lane";
  EXPECT_FALSE(resolves(region_.geometry().owners_offset, 8)) << "the owners";
  EXPECT_FALSE(resolves(first_ - 1, 1));
  EXPECT_FALSE(resolves(first_ - 1, 2)) << "across the border";
  EXPECT_FALSE(resolves(size_, 1));
  EXPECT_FALSE(resolves(size_ - 1, 2));
  EXPECT_FALSE(resolves(size_ + 1, 0));
  EXPECT_FALSE(resolves(first_, size_));
  EXPECT_FALSE(resolves(Reference::max_offset, 0));
  EXPECT_FALSE(resolves(Reference::max_offset, 1));
}

TEST_F(ResolveTest, SumsThatWrapAroundAreNotFound) {
  for (const std::uint64_t length :
       {max64, max64 - 1, max64 - first_, max64 - first_ + 1, max64 - size_, max64 - size_ + 1, max64 - size_ + 2,
        std::uint64_t{1} << 63, (std::uint64_t{1} << 56)}) {
    EXPECT_FALSE(resolves(first_, length)) << length;
    EXPECT_FALSE(resolves(size_, length)) << length;
    EXPECT_FALSE(resolves(size_ - 1, length)) << length;
    EXPECT_FALSE(resolves(Reference::max_offset, length)) << length;
  }
}

TEST_F(ResolveTest, OtherWindowsAreNotFound) {
  for (int window = 1; window < 256; ++window) {
    EXPECT_FALSE(resolves(first_, 1, static_cast<std::uint8_t>(window))) << window;
  }
}

TEST_F(ResolveTest, RandomReferencesResolveExactlyWhenTheyLieInside) {
  Random random(3);
  int found = 0;
  for (int i = 0; i < 200'000; ++i) {
    const auto pick = [&] {
      const std::array edges{std::uint64_t{0}, first_, size_, max64, Reference::max_offset};
      return random.one_in(2) ? edges.at(random.below(edges.size())) + random.below(9) - 4
                              : random.next() >> random.below(64);
    };
    const Reference reference{.window_and_offset = pick(), .length = pick()};
    const auto bytes = region_.resolve(reference);
    const bool ends_inside = reference.length <= size_ && reference.offset() <= size_ - reference.length;
    ASSERT_EQ(bytes.has_value(), reference.window() == 0 && reference.offset() >= first_ && ends_inside)
        << reference.window_and_offset << " " << reference.length;
    found += bytes ? 1 : 0;
  }
  EXPECT_GT(found, 100);
}

TEST(ReferenceTest, WindowOffsetAndLengthComeBack) {
  const Reference reference = Reference::make(0xab, 0x12'3456'789a'bcde, max64);
  EXPECT_EQ(reference.window(), 0xab);
  EXPECT_EQ(reference.offset(), 0x12'3456'789a'bcde);
  EXPECT_EQ(reference.length, max64);
}

// ---- channel blocks ------------------------------------------------------------------------------------------------

TEST(ChannelBlockTest, ABlockIsFoundExactlyWhereAWholeOneLiesInAnExtent) {
  const TestRegion memory;
  const Region region = memory.map();
  const std::uint64_t first = region.geometry().extents_offset;
  int found = 0;
  for (std::uint64_t offset = 0; offset < region.size() + 4 * mib; offset += abi::page_size) {
    const bool inside = offset >= first && offset < region.size() &&
                        (offset - first) % abi::extent_size + sizeof(abi::ChannelBlock) <= abi::extent_size;
    ASSERT_EQ(region.channel_block(offset) != nullptr, inside) << offset;
    found += inside ? 1 : 0;
  }
  EXPECT_GT(found, 100);
}

TEST(ChannelBlockTest, OffsetsThatAreNotAlignedOrFarOutsideAreNotFound) {
  const TestRegion memory;
  const Region region = memory.map();
  const std::uint64_t first = region.geometry().extents_offset;
  for (const std::uint64_t offset :
       {first + 1, first + 64, first + 4095, first - 1, max64, max64 - 4095, max64 - abi::extent_size + 1,
        std::uint64_t{1} << 63, region.size(), region.size() - abi::page_size, region.size() - 1}) {
    EXPECT_EQ(region.channel_block(offset), nullptr) << offset;
  }
}

}  // namespace
}  // namespace isthmus::test::region_tests
