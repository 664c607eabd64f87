// SPDX-License-Identifier: Apache-2.0
#include "isthmus/bulk_copy.hpp"

#include <dirent.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "src/transport/copy_crew.hpp"
#include "src/transport/reserve.hpp"
#include "src/transport/slab.hpp"
#include "src/transport/streaming_copy.hpp"
#include "test/support/bytes.hpp"
#include "test/support/loopback.hpp"
#include "test/support/random.hpp"
#include "test/support/test_region.hpp"
#include "test/support/watchdog.hpp"

namespace isthmus::test::bulk_copy_tests {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;

const std::vector<std::byte>& random_bytes() {
  static const std::vector<std::byte> bytes = Random(9).bytes(24 * mib);
  return bytes;
}

std::size_t threads_of_this_process() {
  const std::unique_ptr<DIR, int (*)(DIR*)> tasks(opendir("/proc/self/task"), &closedir);
  std::size_t count = 0;
  while (const dirent* entry = readdir(tasks.get())) {
    count += entry->d_name[0] != '.' ? 1 : 0;
  }
  return count;
}

// Whether a child after fork may start threads: ThreadSanitizer forbids it.
#if defined(ISTHMUS_THREAD_SANITIZER)
constexpr bool children_may_start_threads = false;
#else
constexpr bool children_may_start_threads = true;
#endif

// Runs in a child process, which has no threads but its own yet; true if it says so.
bool in_a_child(const std::function<bool()>& what) {
  const pid_t child = fork();
  if (child == 0) {
    _exit(what() ? 0 : 1);
  }
  int status = -1;
  return waitpid(child, &status, 0) == child && status == 0;
}

// ---- streaming_copy ------------------------------------------------------------------------------------------------

// Copies with guards around, and looks at them.
void expect_exact_copy(std::size_t to, std::size_t from, std::size_t size, const StreamingKernel& kernel) {
  static std::vector<std::byte> target(64 * kib);
  const auto source = std::span(random_bytes()).subspan(from, size);
  fill(std::span(target).first(size + 256), std::byte{0xa5});
  streaming_copy(target.data() + 64 + to, source.data(), size, kernel);
  ASSERT_EQ(std::memcmp(target.data() + 64 + to, source.data(), size), 0)
      << kernel.name << ": " << size << " bytes to " << to << " from " << from;
  ASSERT_TRUE(all_are(std::span(target).first(64 + to), std::byte{0xa5}));
  ASSERT_TRUE(all_are(std::span(target).subspan(64 + to + size, 64), std::byte{0xa5}));
}

TEST(StreamingCopyTest, EveryAlignmentAndSizeIsCopiedAndNothingBesides) {
  for (const StreamingKernel& kernel : streaming_kernels()) {
    for (std::size_t to = 0; to < 64; to += 3) {
      for (std::size_t from = 0; from < 64; from += 5) {
        for (std::size_t size = 1; size < 1200; size += size < 600 ? 37 : 101) {
          expect_exact_copy(to, from, size, kernel);
        }
      }
      for (const std::size_t size : {16 * kib - 1, 16 * kib, 16 * kib + 63, 17 * kib + 64, 48 * kib + 1000}) {
        expect_exact_copy(to, to * 7, size, kernel);
      }
    }
  }
}

TEST(StreamingCopyTest, NothingFromNowhereIsFine) { streaming_copy(nullptr, nullptr, 0); }

// ---- copy ----------------------------------------------------------------------------------------------------------

class BulkCopyTest : public testing::TestWithParam<std::tuple<std::uint32_t, CopyStores>> {
 protected:
  [[nodiscard]] BulkCopy engine() const {
    return BulkCopy({.threads = std::get<0>(GetParam()), .stores = std::get<1>(GetParam())});
  }
  Watchdog watchdog_{"bulk copy test"};
};

TEST_P(BulkCopyTest, OddSizesAndAlignmentsAreCopiedWhole) {
  std::vector<std::byte> target(16 * mib + 256);
  Random random(4);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, 63 * kib + 1, mib - 1, mib, mib + 13, 2 * mib + 127,
                                 5 * mib + 4097, 16 * mib - 1}) {
    const std::size_t to = 64 + random.below(64);
    const std::size_t from = random.below(4096);
    fill(target, std::byte{0x5a});
    engine().copy(std::span(target).subspan(to, size), std::span(random_bytes()).subspan(from, size));
    ASSERT_EQ(std::memcmp(target.data() + to, random_bytes().data() + from, size), 0) << size;
    ASSERT_TRUE(all_are(std::span(target).first(to), std::byte{0x5a}));
    ASSERT_TRUE(all_are(std::span(target).subspan(to + size, 64), std::byte{0x5a}));
  }
}

TEST_P(BulkCopyTest, ManyThreadsMayCopyAtOnce) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::byte> target(2 * mib + t);
      for (std::size_t i = 0; i < 8; ++i) {
        const auto from = std::span(random_bytes()).subspan(t * mib + i, target.size());
        engine().copy(target, from);
        wrong.fetch_add(same(target, from) ? 0 : 1);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(wrong.load(), 0);
}

// ---- through buffers -----------------------------------------------------------------------------------------------

// A host that works on chunks in a thread of its own, in their order, as fast as it can.
class TestHost final : public ChunkPeer {
 public:
  using Work = std::function<void(const CopyChunk&)>;
  explicit TestHost(Work work) : work_(std::move(work)), thread_([this] { run(); }) {}
  TestHost(const TestHost&) = delete;
  TestHost& operator=(const TestHost&) = delete;
  TestHost(TestHost&&) = delete;
  TestHost& operator=(TestHost&&) = delete;
  ~TestHost() override {
    {
      const std::scoped_lock lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  Result<void> start(const CopyChunk& chunk) override {
    const std::scoped_lock lock(mutex_);
    EXPECT_EQ(chunk.number, chunks_.size()) << "chunks are started in order";
    if (chunk.number == fail_start_at) {
      return fail(Errc::closed, "no start");
    }
    chunks_.push_back(chunk);
    most_in_flight = std::max(most_in_flight, chunks_.size() - finished_chunks);
    changed_.notify_all();
    return {};
  }
  bool finished(const CopyChunk& chunk) override {
    const std::scoped_lock lock(mutex_);
    return done_ > chunk.number;
  }
  Result<void> finish(const CopyChunk& chunk) override {
    std::unique_lock lock(mutex_);
    EXPECT_EQ(chunk.number, finished_chunks) << "chunks are finished in order, each once";
    ++finished_chunks;
    if (chunk.number == fail_finish_at) {
      return fail(Errc::peer_died, "no finish");
    }
    changed_.wait(lock, [&] { return done_ > chunk.number; });
    return {};
  }
  [[nodiscard]] std::size_t started() {
    const std::scoped_lock lock(mutex_);
    return chunks_.size();
  }

  std::uint64_t fail_start_at = ~0ULL;
  std::uint64_t fail_finish_at = ~0ULL;
  std::size_t finished_chunks = 0;
  std::size_t most_in_flight = 0;

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return over_ || done_ < chunks_.size(); });
      if (done_ == chunks_.size()) {
        return;
      }
      const CopyChunk chunk = chunks_[done_];
      lock.unlock();
      work_(chunk);
      lock.lock();
      ++done_;
      changed_.notify_all();
    }
  }

  Work work_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<CopyChunk> chunks_;
  std::size_t done_ = 0;
  bool over_ = false;
  std::thread thread_;
};

class Buffers {
 public:
  explicit Buffers(const std::vector<std::size_t>& sizes) {
    std::uint64_t offset = 4096;
    for (const std::size_t size : sizes) {
      memory_.emplace_back(size);
      views.push_back({.bytes = memory_.back(), .reference = Reference::make(0, offset, size)});
      offset += size + 64;
    }
  }
  std::vector<CopyBuffer> views;

 private:
  std::vector<std::vector<std::byte>> memory_;
};

const std::vector<std::vector<std::size_t>> buffer_sets{{256 * kib, 256 * kib},
                                                        {64 * kib},
                                                        {1000},
                                                        {mib, 64 * kib, 300 * kib + 1},
                                                        {512 * kib, 512 * kib, 512 * kib, 512 * kib}};

TEST_P(BulkCopyTest, AHostSeesEveryChunkWholeWhateverTheBuffers) {
  for (const auto& sizes : buffer_sets) {
    Buffers buffers(sizes);
    for (const std::size_t size : {std::size_t{1}, std::size_t{999}, 64 * kib, 3 * mib + 17}) {
      const auto source = std::span(random_bytes()).subspan(size % 100, size);
      std::vector<std::byte> seen(size);
      TestHost host([&](const CopyChunk& chunk) {
        const CopyBuffer& buffer = buffers.views.at(chunk.number % buffers.views.size());
        EXPECT_EQ(chunk.bytes.data(), buffer.bytes.data());
        EXPECT_EQ(chunk.reference.offset(), buffer.reference.offset());
        EXPECT_EQ(chunk.reference.length, chunk.bytes.size());
        copy(chunk.bytes, std::span(seen).subspan(chunk.offset));
        fill(chunk.bytes, std::byte{0});  // what is copied too early is lost
      });
      const auto copied = engine().to_slab(source, buffers.views, host);
      ASSERT_TRUE(copied) << copied.error().message;
      EXPECT_EQ(host.finished_chunks, host.started());
      EXPECT_LE(host.most_in_flight, sizes.size());
      ASSERT_TRUE(same(seen, source)) << size;
    }
  }
}

TEST_P(BulkCopyTest, WhatAHostFillsArrivesWholeWhateverTheBuffers) {
  for (const auto& sizes : buffer_sets) {
    Buffers buffers(sizes);
    for (const std::size_t size : {std::size_t{1}, std::size_t{999}, 64 * kib, 3 * mib + 17}) {
      const auto wanted = std::span(random_bytes()).subspan(size % 100, size);
      std::vector<std::byte> target(size);
      TestHost host(
          [&](const CopyChunk& chunk) { copy(wanted.subspan(chunk.offset, chunk.bytes.size()), chunk.bytes); });
      const auto copied = engine().from_slab(target, buffers.views, host);
      ASSERT_TRUE(copied) << copied.error().message;
      EXPECT_EQ(host.finished_chunks, host.started());
      EXPECT_LE(host.most_in_flight, sizes.size());
      ASSERT_TRUE(same(target, wanted)) << size;
    }
  }
}

TEST_P(BulkCopyTest, NothingIsCopiedWithoutAskingTheHost) {
  Buffers buffers({64 * kib});
  TestHost host([](const CopyChunk&) {});
  EXPECT_TRUE(engine().to_slab({}, buffers.views, host));
  EXPECT_TRUE(engine().from_slab({}, buffers.views, host));
  EXPECT_EQ(host.started(), 0U);
}

TEST_P(BulkCopyTest, WithoutBuffersThereIsAnError) {
  std::vector<std::byte> memory(100);
  TestHost host([](const CopyChunk&) {});
  const Buffers one_is_empty({64, 0});
  for (const auto& buffers : {std::vector<CopyBuffer>(), one_is_empty.views}) {
    EXPECT_EQ(engine().to_slab(memory, buffers, host).error().code, Errc::invalid_argument);
    EXPECT_EQ(engine().from_slab(memory, buffers, host).error().code, Errc::invalid_argument);
  }
}

TEST_P(BulkCopyTest, AnErrorOfTheHostsEndsTheCopyAndLeavesNoChunkUnfinished) {
  std::vector<std::byte> target(4 * mib);
  for (const std::uint64_t at : {0U, 1U, 5U}) {
    for (const bool at_start : {true, false}) {
      for (const bool into_slab : {true, false}) {
        Buffers buffers({256 * kib, 256 * kib, 256 * kib});
        TestHost host([](const CopyChunk&) {});
        (at_start ? host.fail_start_at : host.fail_finish_at) = at;
        const auto copied = into_slab ? engine().to_slab(std::span(random_bytes()).first(4 * mib), buffers.views, host)
                                      : engine().from_slab(target, buffers.views, host);
        ASSERT_FALSE(copied);
        EXPECT_EQ(copied.error().code, at_start ? Errc::closed : Errc::peer_died);
        EXPECT_EQ(host.finished_chunks, host.started());
        EXPECT_LE(host.started(), at + 4);
      }
    }
  }
}

TEST_P(BulkCopyTest, AnExceptionOfTheHostsLeavesNoHelperBehind) {
  class Thrower final : public ChunkPeer {
   public:
    Result<void> start(const CopyChunk&) override { throw std::runtime_error("start"); }
    Result<void> finish(const CopyChunk&) override { return {}; }
  };
  for (int i = 0; i < 10; ++i) {
    const auto buffers = std::make_unique<Buffers>(std::vector<std::size_t>{mib, mib, mib});
    Thrower host;
    EXPECT_THROW(std::ignore = engine().to_slab(random_bytes(), buffers->views, host), std::runtime_error);
  }  // a helper that still wrote would write into freed memory
}

TEST_P(BulkCopyTest, AHostThatForksLeavesItsChildAnError) {
  class Forker final : public ChunkPeer {
   public:
    Result<void> start(const CopyChunk& chunk) override {
      if (chunk.number == 2) {
        child = fork();
      }
      return {};
    }
    Result<void> finish(const CopyChunk&) override { return {}; }
    pid_t child = -1;
  };
  Buffers buffers({mib, mib});
  Forker host;
  const auto copied = engine().to_slab(std::span(random_bytes()).first(8 * mib), buffers.views, host);
  if (host.child == 0) {
    _exit(!copied && copied.error().code == Errc::wrong_thread ? 0 : 1);
  }
  EXPECT_TRUE(copied);
  int status = -1;
  ASSERT_EQ(waitpid(host.child, &status, 0), host.child);
  EXPECT_EQ(status, 0);
}

INSTANTIATE_TEST_SUITE_P(Ways, BulkCopyTest,
                         testing::Combine(testing::Values(1U, 2U, 0U),
                                          testing::Values(CopyStores::cached, CopyStores::streaming)),
                         [](const auto& named) {
                           return "threads" + std::to_string(std::get<0>(named.param)) +
                                  (std::get<1>(named.param) == CopyStores::cached ? "cached" : "streaming");
                         });

// ---- helper threads ------------------------------------------------------------------------------------------------

bool copy_succeeds(const BulkCopy& engine, std::size_t size) {
  std::vector<std::byte> target(size);
  engine.copy(target, std::span(random_bytes()).first(size));
  return same(target, std::span(random_bytes()).first(size));
}

TEST(CopyCrewTest, ThereAreNoMoreThreadsThanProcessorsAndNoneForSmallCopies) {
  const BulkCopy engine({.threads = 1000});
  EXPECT_EQ(engine.threads_for(0), 1U);
  EXPECT_EQ(engine.threads_for(2 * mib - 1), 1U);
  EXPECT_EQ(engine.threads_for(64 * mib), std::min(CopyCrew::most_threads(), 64U));
  EXPECT_EQ(BulkCopy({.threads = 1}).threads_for(64 * mib), 1U);
  EXPECT_LE(BulkCopy().threads_for(std::size_t{64} << 30), 8U);
}

TEST(CopyCrewTest, NoThreadExistsBeforeTheFirstLargeCopyAndNoneWhenSwitchedOff) {
  if (!children_may_start_threads) {
    GTEST_SKIP() << "not under ThreadSanitizer";
  }
  // The first thing that runs in this process, so that nobody else has started helpers.
  static_cast<void>(random_bytes());
  EXPECT_TRUE(in_a_child([] {
    const std::size_t before = threads_of_this_process();
    bool ok = copy_succeeds(BulkCopy(), mib / 2) && copy_succeeds(BulkCopy({.threads = 1}), 8 * mib);
    ok = ok && threads_of_this_process() == before;
    ok = ok && copy_succeeds(BulkCopy(), 8 * mib);
    return ok && threads_of_this_process() == before + BulkCopy().threads_for(8 * mib) - 1;
  }));
}

TEST(CopyCrewTest, AChildAfterForkHasItsOwnHelpers) {
  if (!children_may_start_threads) {
    GTEST_SKIP() << "not under ThreadSanitizer";
  }
  static_cast<void>(random_bytes());
  ASSERT_TRUE(copy_succeeds(BulkCopy(), 8 * mib));
  EXPECT_TRUE(in_a_child([] { return copy_succeeds(BulkCopy(), 8 * mib); }));
  EXPECT_TRUE(copy_succeeds(BulkCopy(), 8 * mib));
}

// The variable is read once in a process: so this test runs again, in another one.
TEST(CopyCrewTest, TheEnvironmentSwitchesHelpersOff) {
  const char* const bound = std::getenv("ISTHMUS_COPY_THREADS");
  if (bound != nullptr && std::string(bound) == "1") {
    const std::size_t before = threads_of_this_process();
    EXPECT_EQ(BulkCopy({.threads = 4}).threads_for(64 * mib), 1U);
    EXPECT_TRUE(copy_succeeds(BulkCopy(), 8 * mib));
    EXPECT_EQ(threads_of_this_process(), before);
    return;
  }
  const pid_t child = fork();
  if (child == 0) {
    setenv("ISTHMUS_COPY_THREADS", "1", 1);
    execl("/proc/self/exe", "test_bulk_copy", "--gtest_filter=CopyCrewTest.TheEnvironmentSwitchesHelpersOff", nullptr);
    _exit(2);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// Helpers at work when the process forks hold locks that nobody will ever release in the child.
TEST(CopyCrewTest, AForkInTheMiddleOfACopyHarmsNobody) {
  if (!children_may_start_threads) {
    GTEST_SKIP() << "not under ThreadSanitizer";
  }
  const Watchdog watchdog("fork in the middle of a copy");
  static_cast<void>(random_bytes());  // a child of a process that is about to make them would wait for ever
  std::atomic<bool> over{false};
  std::atomic<bool> ok{true};
  std::thread copier([&] {
    while (!over.load()) {
      ok = copy_succeeds(BulkCopy(), 4 * mib) && ok;
    }
  });
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(in_a_child([] { return copy_succeeds(BulkCopy(), 2 * mib); }));
  }
  over.store(true);
  copier.join();
  EXPECT_TRUE(ok.load());
}

TEST(CopyCrewTest, AProcessWithHelpersExits) {
  if (!children_may_start_threads) {
    GTEST_SKIP() << "not under ThreadSanitizer";
  }
  static_cast<void>(random_bytes());
  const pid_t child = fork();
  if (child == 0) {
    alarm(240);  // a hang ends with a signal
    std::exit(copy_succeeds(BulkCopy(), 8 * mib) ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(CopyCrewTest, HelpersTakeNoSignals) {
  ASSERT_TRUE(copy_succeeds(BulkCopy(), 8 * mib));
  if (BulkCopy().threads_for(8 * mib) == 1) {
    GTEST_SKIP() << "one processor: no helpers";
  }
  static std::atomic<int> taken_by_others{0};
  static const std::thread::id main_thread = std::this_thread::get_id();
  const auto previous =
      std::signal(SIGUSR1, [](int) { taken_by_others.fetch_add(std::this_thread::get_id() == main_thread ? 0 : 1); });
  for (int i = 0; i < 100; ++i) {
    kill(getpid(), SIGUSR1);
  }
  static_cast<void>(std::signal(SIGUSR1, previous));
  EXPECT_EQ(taken_by_others.load(), 0);
}

// ---- with a real host ----------------------------------------------------------------------------------------------

// Puts what references name together: the trailing bytes say where it belongs.
class CollectService final : public Service {
 public:
  explicit CollectService(std::size_t size) : bytes(size) {}
  void handle(Request& request) override {
    struct Place {
      Reference data;
      std::uint64_t offset;
    } place{};
    std::memcpy(&place, request.fixed().data(), sizeof place);
    const auto data = request.resolve(place.data);
    if (!data || place.offset + data->size() > bytes.size()) {
      std::ignore = request.reply(1);
      return;
    }
    copy(*data, std::span(bytes).subspan(place.offset));
    std::ignore = request.reply(0);
  }
  std::vector<std::byte> bytes;
};

class ChannelPeer final : public ChunkPeer {
 public:
  explicit ChannelPeer(Channel& channel) : channel_(&channel) {}

  Result<void> start(const CopyChunk& chunk) override {
    const std::pair<Reference, std::uint64_t> place(chunk.reference, chunk.offset);
    const auto id =
        channel_->submit({.api = 1, .opcode = 1, .fixed = std::as_bytes(std::span(&place, 1)), .trailing = {}});
    if (!id) {
      return std::unexpected(id.error());
    }
    calls_.push_back(*id);
    return {};
  }
  Result<void> finish(const CopyChunk& chunk) override {
    const auto reply = channel_->wait(calls_.at(chunk.number));
    if (!reply) {
      return std::unexpected(reply.error());
    }
    return reply->status == 0 ? Result<void>() : fail(Errc::invalid_argument, "the host refused a chunk");
  }

 private:
  Channel* channel_;
  std::vector<CallId> calls_;
};

TEST(ReserveCopyTest, ALargeCopyGoesThroughTheReserveWhenEveryFrameIsInUse) {
  const Watchdog watchdog("copy through the reserve");
  CollectService service(10 * mib);
  Loopback host(service);
  const auto lane = host.attach();
  Channel& channel = *must(lane->channel());
  const std::uint64_t block = must(lane->slab().allocate_channel());
  std::vector<std::uint64_t> all;
  for (auto offset = lane->slab().allocate(64 * kib); offset; offset = lane->slab().allocate(64 * kib)) {
    all.push_back(*offset);
  }
  ASSERT_FALSE(lane->slab().allocate_at_most(10 * mib));

  Reserve reserve(*lane->region().channel_block(block), block);
  const auto first = reserve.take();
  const auto second = reserve.take();
  ASSERT_TRUE(first && second);
  const std::vector<CopyBuffer> buffers{{.bytes = first->bytes(), .reference = first->reference()},
                                        {.bytes = second->bytes(), .reference = second->reference()}};
  ChannelPeer peer(channel);
  const auto source = std::span(random_bytes()).first(10 * mib);
  const auto copied = BulkCopy().to_slab(source, buffers, peer);
  ASSERT_TRUE(copied) << copied.error().message;
  host.stop();
  static_cast<void>(host.end());
  EXPECT_TRUE(same(service.bytes, source));
}

}  // namespace
}  // namespace isthmus::test::bulk_copy_tests
