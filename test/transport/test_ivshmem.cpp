// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "src/transport/claim.hpp"
#include "src/transport/ivshmem_device.hpp"
#include "src/transport/lane_state.hpp"
#include "test/support/fake_vm.hpp"
#include "test/support/random.hpp"
#include "test/support/watchdog.hpp"
#include "test/transport/lane_holder.hpp"

namespace isthmus::test::ivshmem_tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto slot_4 = "0000:00:04.0";
constexpr auto slot_5 = "0000:00:05.0";
constexpr auto slot_6 = "0000:00:06.0";

RegionSpec spec(std::string name, std::uint32_t lanes = 2) {
  return {.name = std::move(name), .size = abi::min_region_size, .lane_count = lanes};
}

Result<IvshmemDevice> open_endpoint(const FakePci& pci, const std::string& uri) {
  return open_ivshmem(must(Endpoint::parse(uri)), pci.folder());
}

Result<std::shared_ptr<LaneState>> attach(const FakePci& pci, const std::string& uri = "ivshmem:auto",
                                          std::chrono::milliseconds timeout = 60s) {
  return attach_ivshmem(must(Endpoint::parse(uri)), {.timeout = timeout}, pci.folder());
}

void expect_error(const Error& error, Errc code, std::initializer_list<std::string> words) {
  EXPECT_EQ(error.code, code) << error.message;
  EXPECT_EQ(error.message.find('\n'), std::string::npos) << error.message;
  for (const std::string& word : words) {
    EXPECT_NE(error.message.find(word), std::string::npos) << error.message << " lacks " << word;
  }
}

// What is said at once waits for nothing: neither for the minute that attach() may take, nor for a part of it.
constexpr auto at_once = 20s;

bool says(const std::string& line, const std::string& start) { return line.starts_with(start); }

// ---- finding the device --------------------------------------------------------------------------------------------

TEST(IvshmemDeviceTest, WithoutAnyDeviceTheErrorSaysHowToGetOne) {
  const FakePci pci;
  for (const std::string& folder : {pci.folder(), pci.folder() + "/missing"}) {
    const auto none = open_ivshmem(must(Endpoint::parse("ivshmem:auto")), folder);
    ASSERT_FALSE(none);
    expect_error(none.error(), Errc::not_found, {"no ivshmem device", "-device ivshmem-plain"});
  }
}

TEST(IvshmemDeviceTest, DevicesOfOtherKindsAreLeftAlone) {
  const FakePci pci;
  pci.add_device("0000:00:01.0", "0x8086", "0x1110");
  pci.add_device("0000:00:02.0", "0x1af4", "0x1000");
  pci.add_device("0000:00:03.0", "", "");
  const auto none = open_endpoint(pci, "ivshmem:auto");
  ASSERT_FALSE(none);
  expect_error(none.error(), Errc::not_found, {"no ivshmem device"});
}

TEST(IvshmemDeviceTest, TheOnlyDeviceIsFound) {
  const FakePci pci;
  const auto memory = pci.add_region(slot_4, spec("first"));
  const auto device = must(open_endpoint(pci, "ivshmem:auto"));
  EXPECT_EQ(device.address, slot_4);
  EXPECT_EQ(device.region.name(), "first");
}

TEST(IvshmemDeviceTest, OfTwoDevicesOneHasToBeNamed) {
  const FakePci pci;
  const auto memory_4 = pci.add_region(slot_4, spec("first"));
  const auto memory_5 = pci.add_region(slot_5, spec("second"));
  const auto unnamed = open_endpoint(pci, "ivshmem:auto");
  ASSERT_FALSE(unnamed);
  expect_error(unnamed.error(), Errc::not_found, {"first", "second", slot_4, slot_5, "ivshmem:auto?region="});
  EXPECT_EQ(must(open_endpoint(pci, "ivshmem:auto?region=first")).address, slot_4);
  EXPECT_EQ(must(open_endpoint(pci, "ivshmem:auto?region=second")).address, slot_5);
  EXPECT_EQ(must(open_endpoint(pci, "ivshmem:0000:00:05.0")).region.name(), "second");
}

TEST(IvshmemDeviceTest, AnUnknownNameIsAnErrorThatShowsWhatThereIs) {
  const FakePci pci;
  const auto memory = pci.add_region(slot_4, spec("first"));
  const auto other = open_endpoint(pci, "ivshmem:auto?region=third");
  ASSERT_FALSE(other);
  expect_error(other.error(), Errc::not_found, {"third", "first", slot_4});
}

TEST(IvshmemDeviceTest, AnAddressWithoutAnIvshmemDeviceIsAnError) {
  const FakePci pci;
  const auto memory = pci.add_region(slot_4, spec("first"));
  pci.add_device(slot_6, "0x8086", "0x1234");
  for (const std::string address : {slot_5, slot_6}) {
    const auto other = open_endpoint(pci, "ivshmem:" + address);
    ASSERT_FALSE(other);
    expect_error(other.error(), Errc::not_found, {address, "lspci"});
  }
}

TEST(IvshmemDeviceTest, ADeviceWithoutARegionIsLeftOutWhereAnotherHasOne) {
  const FakePci pci;
  const auto foreign = pci.add_memory(slot_4, abi::min_region_size);
  const auto memory = pci.add_region(slot_5, spec("ours"));
  EXPECT_EQ(must(open_endpoint(pci, "ivshmem:auto")).address, slot_5);
}

TEST(IvshmemDeviceTest, MemoryWithoutTheMagicIsAVersionMismatch) {
  const FakePci pci;
  const auto foreign = pci.add_memory(slot_4, abi::min_region_size);
  for (const std::string uri : {"ivshmem:auto", "ivshmem:0000:00:04.0"}) {
    const auto none = open_endpoint(pci, uri);
    ASSERT_FALSE(none);
    expect_error(none.error(), Errc::version_mismatch, {slot_4, "magic 0x0", "isthmusd"});
  }
}

TEST(IvshmemDeviceTest, AnotherAbiVersionIsNamedWithBothVersions) {
  const FakePci pci;
  const auto memory = pci.add_region(slot_4, spec("first"));
  const std::uint32_t version = 77;
  ASSERT_EQ(pwrite(memory.get(), &version, sizeof version, offsetof(abi::RegionHeader, abi)), sizeof version);
  const auto other = open_endpoint(pci, "ivshmem:auto");
  ASSERT_FALSE(other);
  expect_error(other.error(), Errc::version_mismatch, {"ABI 77", "ABI 0"});
}

TEST(IvshmemDeviceTest, MemoryOfAnImpossibleSizeIsAnError) {
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{4096}, abi::min_region_size / 2,
                                   abi::min_region_size + 4096, 3 * abi::min_region_size}) {
    const FakePci pci;
    const auto memory = pci.add_memory(slot_4, size);
    const auto device = open_endpoint(pci, "ivshmem:auto");
    ASSERT_FALSE(device) << size;
    expect_error(device.error(), Errc::invalid_argument, {slot_4});
  }
}

TEST(IvshmemDeviceTest, ADeviceWithoutItsMemoryFileIsAnErrorThatNamesTheFile) {
  const FakePci pci;
  pci.add_device(slot_4);
  const auto device = open_endpoint(pci, "ivshmem:auto");
  ASSERT_FALSE(device);
  expect_error(device.error(), Errc::system, {"resource2", "No such file"});
}

TEST(IvshmemDeviceTest, ADisabledDeviceIsEnabled) {
  const FakePci pci;
  const auto memory = pci.add_region(slot_4, spec("first"));
  std::ofstream(pci.file(slot_4, "enable")) << "0\n";
  std::ignore = must(open_endpoint(pci, "ivshmem:auto"));
  std::string state;
  std::ifstream(pci.file(slot_4, "enable")) >> state;
  EXPECT_EQ(state, "1");
}

TEST(IvshmemDeviceTest, WithoutPermissionTheErrorSaysWhatToDo) {
  const FakePci pci;
  const auto memory = pci.add_region(slot_4, spec("first"));
  std::string error;
  if (geteuid() == 0) {
    constexpr auto nobody = "65534";
    LaneHolder user({pci.folder(), "ivshmem:auto", nobody});
    error = user.line();
  } else {
    ASSERT_EQ(fchmod(memory.get(), 0), 0);
    const auto device = open_endpoint(pci, "ivshmem:auto");
    ASSERT_FALSE(device);
    error = "error " + std::to_string(static_cast<int>(device.error().code)) + ": " + device.error().message;
  }
  EXPECT_TRUE(says(error, "error " + std::to_string(static_cast<int>(Errc::permission_denied)))) << error;
  EXPECT_NE(error.find("run as root, or give this user write access"), std::string::npos) << error;
}

// ---- lanes ---------------------------------------------------------------------------------------------------------

class AnsweringService final : public Service {
 public:
  void handle(Request& request) override { std::ignore = request.reply(0); }
};

class IvshmemLaneTest : public testing::Test {
 protected:
  void serve() { daemon_.emplace(memory_.get(), 2, service_); }
  [[nodiscard]] LaneHolder holder() { return LaneHolder({pci_.folder(), "ivshmem:auto"}); }
  static bool answers(LaneState& lane) {
    const auto channel = lane.channel();
    return channel && (*channel)->call({.api = 1, .opcode = 1, .fixed = {}, .trailing = {}});
  }
  [[nodiscard]] std::uint32_t claim_of(std::uint32_t lane) const {
    std::uint32_t claim = 0;
    const std::uint64_t at = abi::page_size + lane * sizeof(abi::LaneControl);
    require(pread(memory_.get(), &claim, sizeof claim, static_cast<off_t>(at)) == sizeof claim, "pread");
    return claim;
  }
  void set_claim(std::uint32_t lane, abi::ClaimState state) {
    const std::uint64_t at = abi::page_size + lane * sizeof(abi::LaneControl);
    require(pwrite(memory_.get(), &state, sizeof state, static_cast<off_t>(at)) == sizeof state, "pwrite");
  }

  Watchdog watchdog_{"a test of ivshmem lanes"};
  FakePci pci_;
  UniqueFd memory_ = pci_.add_region(slot_4, spec("vm"));
  AnsweringService service_;
  std::optional<FakeDaemon> daemon_;
};

TEST_F(IvshmemLaneTest, AClientAttachesCallsAndDetaches) {
  serve();
  for (int round = 0; round < 3; ++round) {
    const auto lane = must(attach(pci_));
    EXPECT_TRUE(answers(*lane));
    EXPECT_TRUE(lane->check());
  }
}

TEST_F(IvshmemLaneTest, WithoutADaemonTheErrorComesAtOnce) {
  const auto start = Clock::now();
  const auto lane = attach(pci_);
  EXPECT_LT(Clock::now() - start, at_once);
  ASSERT_FALSE(lane);
  expect_error(lane.error(), Errc::peer_died, {"vm", "isthmusd", "start it"});
  EXPECT_EQ(claim_of(0), static_cast<std::uint32_t>(abi::ClaimState::free));
}

TEST_F(IvshmemLaneTest, WithoutAWorkerTheWaitEndsAndTheLaneIsGivenBack) {
  must(set_daemon_present(memory_.get(), true));
  const auto lane = attach(pci_, "ivshmem:auto", 150ms);
  ASSERT_FALSE(lane);
  expect_error(lane.error(), Errc::timed_out, {"vm", "lane 0", "150 ms"});
  EXPECT_EQ(claim_of(0), static_cast<std::uint32_t>(abi::ClaimState::released));
  serve();
  EXPECT_TRUE(answers(*must(attach(pci_))));
}

TEST_F(IvshmemLaneTest, ADaemonThatEndsIsNoticed) {
  serve();
  const auto lane = must(attach(pci_));
  must(set_daemon_present(memory_.get(), false));
  const auto checked = lane->check();
  ASSERT_FALSE(checked);
  expect_error(checked.error(), Errc::peer_died, {"isthmusd on the host has ended"});
  EXPECT_FALSE(lane->usable());
}

TEST_F(IvshmemLaneTest, WhenAllLanesAreTakenTheNextClientGetsAnErrorUntilOneIsFree) {
  serve();
  auto first = must(attach(pci_));
  const auto second = must(attach(pci_));
  EXPECT_NE(first->index(), second->index());
  const auto start = Clock::now();
  const auto third = attach(pci_);
  EXPECT_LT(Clock::now() - start, at_once);
  ASSERT_FALSE(third);
  expect_error(third.error(), Errc::exhausted, {"vm", "all 2 lanes"});
  first.reset();
  EXPECT_TRUE(answers(*must(attach(pci_))));
  EXPECT_TRUE(answers(*second));
}

TEST_F(IvshmemLaneTest, TheLanesOfKilledProcessesAreReclaimed) {
  serve();
  for (int round = 0; round < 4; ++round) {
    LaneHolder first = holder();
    LaneHolder second = holder();
    ASSERT_TRUE(says(first.line(), "lane "));
    ASSERT_TRUE(says(second.line(), "lane "));
    first.kill_and_reap();
    second.kill_and_reap();
  }
  EXPECT_TRUE(answers(*must(attach(pci_))));
}

TEST_F(IvshmemLaneTest, AForkedChildDoesNotKeepTheLaneOfItsKilledParent) {
  serve();
  const auto other = must(attach(pci_));
  LaneHolder parent = holder();
  ASSERT_TRUE(says(parent.line(), "lane "));
  parent.tell("fork");
  const std::string forked = parent.line();
  ASSERT_TRUE(says(forked, "forked "));
  const pid_t child = std::stoi(forked.substr(7));
  parent.kill_and_reap();
  const auto next = attach(pci_);
  EXPECT_EQ(kill(child, SIGKILL), 0) << "the child lived until now";
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_TRUE(answers(**next));
}

TEST_F(IvshmemLaneTest, AForkedChildDoesNotKeepTheLaneThatItsParentGaveBack) {
  serve();
  const auto other = must(attach(pci_));
  LaneHolder parent = holder();
  ASSERT_TRUE(says(parent.line(), "lane "));
  parent.tell("fork");
  const std::string forked = parent.line();
  ASSERT_TRUE(says(forked, "forked "));
  const pid_t child = std::stoi(forked.substr(7));
  parent.finish();
  const auto next = attach(pci_);
  EXPECT_EQ(kill(child, SIGKILL), 0) << "the child lived until now";
  ASSERT_TRUE(next) << next.error().message;
}

TEST_F(IvshmemLaneTest, AStoppedProcessKeepsItsLaneAndGoesOn) {
  serve();
  LaneHolder stopped = holder();
  ASSERT_TRUE(says(stopped.line(), "lane "));
  stopped.tell("call");
  ASSERT_EQ(stopped.line(), "answered");
  stopped.signal(SIGSTOP);
  const auto other = must(attach(pci_));
  const auto region = must(open_endpoint(pci_, "ivshmem:auto"));
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(mark_dead_lanes(region.region, region.bar2.get()), 0);
    const auto third = attach(pci_);
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().code, Errc::exhausted);
    std::this_thread::sleep_for(100ms);
  }
  stopped.signal(SIGCONT);
  stopped.tell("call");
  EXPECT_EQ(stopped.line(), "answered");
}

TEST_F(IvshmemLaneTest, ALaneOfAnotherBootIsReclaimed) {
  const auto device = must(open_endpoint(pci_, "ivshmem:auto"));
  for (std::uint32_t lane = 0; lane < 2; ++lane) {
    auto& page = device.region.lane(lane).client;
    page.record.boot_id[0].store_relaxed(0x1234);
    page.record.boot_id[1].store_relaxed(0x5678);
    page.record.pid.store_relaxed(static_cast<std::uint64_t>(getpid()));
    set_claim(lane, abi::ClaimState::claimed);
  }
  serve();
  EXPECT_TRUE(answers(*must(attach(pci_))));
}

TEST_F(IvshmemLaneTest, ALaneWhoseOwnerDiedWhileItClaimedIsReclaimed) {
  set_claim(0, abi::ClaimState::claiming);
  set_claim(1, abi::ClaimState::claiming);
  serve();
  EXPECT_TRUE(answers(*must(attach(pci_))));
}

TEST_F(IvshmemLaneTest, TheRecordSaysWhoHoldsTheLane) {
  serve();
  const auto lane = must(attach(pci_));
  const auto& record = lane->region().lane(lane->index()).client.record;
  const auto boot = boot_id();
  EXPECT_NE(boot[0] | boot[1], 0);
  EXPECT_TRUE(record.boot_id[0].load_relaxed().equals(boot[0]));
  EXPECT_TRUE(record.boot_id[1].load_relaxed().equals(boot[1]));
  EXPECT_TRUE(record.pid.load_relaxed().equals(static_cast<std::uint64_t>(getpid())));
  EXPECT_FALSE(record.start_time.load_relaxed().equals(0));
}

TEST_F(IvshmemLaneTest, AClaimWordOfGarbageIsNeitherTakenNorWaitedFor) {
  serve();
  set_claim(0, static_cast<abi::ClaimState>(77));
  const auto lane = must(attach(pci_));
  EXPECT_EQ(lane->index(), 1);
  const auto start = Clock::now();
  EXPECT_EQ(attach(pci_).error().code, Errc::exhausted);
  EXPECT_LT(Clock::now() - start, at_once);
}

// Clients come and go on few lanes while somebody looks for dead ones all the time: no lane has two owners, and none
// that lives is taken for dead.
TEST(IvshmemClaimTest, ALaneThatChangesHandsIsNeverTakenForDead) {
  const Watchdog watchdog("a test of claims");
  constexpr std::uint32_t lanes = 3;
  const FakePci pci;
  const UniqueFd memory = pci.add_region(slot_4, spec("vm", lanes));
  std::array<std::atomic<int>, lanes> owners{};
  std::atomic<int> claims{0};
  std::atomic<int> taken_away{0};
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  const auto word = [](abi::ClaimState state) { return static_cast<std::uint32_t>(state); };
  for (int client = 1; client <= 3; ++client) {
    threads.emplace_back([&, client] {
      Random random(static_cast<std::uint64_t>(client));
      while (!over.load()) {
        auto device = must(open_endpoint(pci, "ivshmem:auto"));
        const auto lane = claim_any_lane(device.region, device.bar2.get());
        if (!lane) {
          continue;
        }
        claims.fetch_add(1);
        taken_away.fetch_add(owners.at(*lane).exchange(client) != 0 ? 1 : 0);
        for (std::uint64_t i = random.below(3); i != 0; --i) {
          std::this_thread::yield();
        }
        owners.at(*lane).store(0);
        auto& claim = device.region.lane(*lane).client.claim.word;
        taken_away.fetch_add(claim.replace(word(abi::ClaimState::claimed), word(abi::ClaimState::released)) ? 0 : 1);
      }
    });
  }
  for (int watcher = 0; watcher < 2; ++watcher) {
    threads.emplace_back([&] {
      const auto device = must(open_endpoint(pci, "ivshmem:auto"));
      while (!over.load()) {
        mark_dead_lanes(device.region, device.bar2.get());
      }
    });
  }
  // The host, which cleans at once.
  threads.emplace_back([&] {
    const auto device = must(open_endpoint(pci, "ivshmem:auto"));
    while (!over.load()) {
      for (std::uint32_t lane = 0; lane < lanes; ++lane) {
        auto& claim = device.region.lane(lane).client.claim.word;
        claim.replace(word(abi::ClaimState::released), word(abi::ClaimState::free));
        claim.replace(word(abi::ClaimState::dead), word(abi::ClaimState::free));
      }
      std::this_thread::yield();
    }
  });
  for (const auto until = Clock::now() + 2s; Clock::now() < until || claims.load() <= 100;) {  // the watchdog ends it
    std::this_thread::sleep_for(1ms);
  }
  over = true;
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(taken_away.load(), 0) << "of " << claims.load() << " claims";
}

}  // namespace
}  // namespace isthmus::test::ivshmem_tests
