// SPDX-License-Identifier: Apache-2.0

// Counts what a thread allocates: a program of its own, because it replaces the C++ allocation functions.

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <new>

#include "isthmus/marshal/dispatcher.hpp"
#include "isthmus/marshal/open.hpp"
#include "test/marshal/gauge_1_0.hpp"
#include "test/support/loopback.hpp"

namespace {

thread_local std::size_t allocations = 0;

}  // namespace

// Not inlined: GCC would see malloc behind new and free behind delete, and complain that they do not match.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size > 0 ? size : 1)) {  // NOLINT(cppcoreguidelines-no-malloc)
    return memory;
  }
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }                        // NOLINT
[[gnu::noinline]] void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }  // NOLINT

namespace isthmus::test {
namespace {

struct CountingBackend {
  std::expected<gauge_1_0::Read::Reply, std::int32_t> handle(const gauge_1_0::Read::Request& request,
                                                             marshal::Call& /*call*/) const {
    return gauge_1_0::Read::Reply{.value = request.gauge, .reserved = static_cast<std::uint32_t>(allocations)};
  }
  std::expected<gauge_1_0::Name::Reply, std::int32_t> handle(const gauge_1_0::Name::Request& /*request*/,
                                                             marshal::Call& call) const {
    static constexpr std::array<std::byte, 8> name{};
    call.reply_trailing(name);
    return gauge_1_0::Name::Reply{};
  }
};

TEST(NoAllocationTest, TheCountSeesAnAllocation) {
  const std::size_t before = allocations;
  const auto made = std::make_unique<std::array<int, 10>>();
  EXPECT_NE(made, nullptr);
  EXPECT_GT(allocations, before);
}

TEST(NoAllocationTest, NeitherOpeningNorCallsNorPostsAllocateOnEitherSide) {
  CountingBackend backend;
  marshal::Dispatcher dispatcher;
  dispatcher.serve<gauge_1_0::GaugeApi>(backend);
  Loopback host(dispatcher);
  const auto lane = host.attach();
  auto gauge = must(marshal::open<gauge_1_0::GaugeApi>(*must(lane->channel())));
  const auto worker_before = must(gauge.call<gauge_1_0::Read>({})).reply.reserved;
  const std::size_t before = allocations;
  bool good = true;
  for (std::uint32_t i = 0; i < 100; ++i) {
    const auto again = marshal::open<gauge_1_0::GaugeApi>(*lane->channel().value());
    std::array<std::byte, 16> trailing{};
    const auto written = marshal::TrailingWriter(trailing).string("x").value(std::uint32_t{7}).finish();
    const auto called = gauge.call<gauge_1_0::Read>({.gauge = i}, *written);
    const auto named = gauge.call<gauge_1_0::Name>({}, {}, trailing);
    const auto posted = gauge.post<gauge_1_0::Read>({});
    good = good && again && called && called->reply.value == i && named && named->trailing == 8 && posted;
  }
  EXPECT_EQ(allocations, before);
  EXPECT_TRUE(good);
  EXPECT_EQ(must(gauge.call<gauge_1_0::Read>({})).reply.reserved, worker_before) << "in the worker's thread";
}

}  // namespace
}  // namespace isthmus::test
