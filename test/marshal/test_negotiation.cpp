// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "isthmus/api/probe.hpp"
#include "isthmus/marshal/dispatcher.hpp"
#include "isthmus/marshal/open.hpp"
#include "isthmus/marshal/trailing.hpp"
#include "test/marshal/gauge_1_0.hpp"
#include "test/marshal/gauge_1_1.hpp"
#include "test/support/loopback.hpp"
#include "test/support/random.hpp"

namespace isthmus::test::negotiation_tests {
namespace {

using marshal::ApiVersion;
using marshal::Call;
using marshal::Client;
using marshal::Dispatcher;
using marshal::Negotiate;
using marshal::version_of;

template <class T>
using Answer = std::expected<T, std::int32_t>;

constexpr std::uint32_t gauges = 2;

// The names go out as the APIs of both versions ask: a string of trailing data.
std::span<const std::byte> name_of_gauge(std::uint32_t gauge) {
  static thread_local std::array<std::byte, 64> buffer;
  return must(marshal::TrailingWriter(buffer).string("gauge " + std::to_string(gauge)).finish());
}

struct OldBackend {
  Answer<gauge_1_0::Read::Reply> handle(const gauge_1_0::Read::Request& request, Call& /*call*/) const {
    if (request.gauge >= gauges) {
      return std::unexpected(gauge_1_0::no_such_gauge);
    }
    return gauge_1_0::Read::Reply{.value = 40 + request.gauge};
  }
  Answer<gauge_1_0::Name::Reply> handle(const gauge_1_0::Name::Request& request, Call& call) const {
    call.reply_trailing(name_of_gauge(request.gauge));
    return gauge_1_0::Name::Reply{};
  }
};

struct NewBackend {
  Answer<gauge_1_1::Read::Reply> handle(const gauge_1_1::Read::Request& request, Call& /*call*/) {
    if (request.gauge >= gauges) {
      return std::unexpected(gauge_1_1::no_such_gauge);
    }
    ++reads;
    if (request.in_permille == 0) {
      return gauge_1_1::Read::Reply{.value = 40 + request.gauge};
    }
    return gauge_1_1::Read::Reply{.value = 10 * (40 + request.gauge), .reads = reads};
  }
  Answer<gauge_1_1::Name::Reply> handle(const gauge_1_1::Name::Request& request, Call& call) const {
    call.reply_trailing(name_of_gauge(request.gauge));
    return gauge_1_1::Name::Reply{};
  }
  Answer<gauge_1_1::Reset::Reply> handle(const gauge_1_1::Reset::Request& /*request*/, Call& /*call*/) {
    reads = 0;
    return gauge_1_1::Reset::Reply{};
  }

  std::atomic<std::uint64_t> reads{0};
};

// What Dispatcher::serve asks of each message of an API before it compiles.
static_assert(marshal::Handles<NewBackend, gauge_1_1::Reset>);
static_assert(!marshal::Handles<OldBackend, gauge_1_1::Reset>, "there is no function for it");
static_assert(!marshal::Handles<OldBackend, gauge_1_1::Read>, "a function for another version's struct is none");

/// One end that serves, and a channel to it.
class Served {
 public:
  explicit Served(Service& service) : host_(service), lane_(host_.attach()) {}
  [[nodiscard]] Channel& channel() { return *must(lane_->channel()); }

 private:
  Loopback host_;
  std::shared_ptr<LaneState> lane_;
};

/// A dispatcher that serves one API by one object.
template <class Api, class Backend>
class ServedApi {
 public:
  [[nodiscard]] Channel& channel() { return served_->channel(); }
  [[nodiscard]] Backend& backend() { return backend_; }

  ServedApi() {
    dispatcher_.serve<Api>(backend_);
    served_.emplace(dispatcher_);
  }

 private:
  Backend backend_;
  Dispatcher dispatcher_;
  std::optional<Served> served_;
};

using OldHost = ServedApi<gauge_1_0::GaugeApi, OldBackend>;
using NewHost = ServedApi<gauge_1_1::GaugeApi, NewBackend>;

template <class Api>
std::string refusal(Channel& channel, Errc code) {
  const auto opened = marshal::open<Api>(channel);
  if (opened) {
    ADD_FAILURE() << "it was opened";
    return {};
  }
  EXPECT_EQ(opened.error().code, code) << opened.error().message;
  return opened.error().message;
}

TEST(NegotiationTest, EqualVersionsUnderstandEachOther) {
  NewHost host;
  auto gauge = must(marshal::open<gauge_1_1::GaugeApi>(host.channel()));
  EXPECT_EQ(gauge.minor(), 1);
  EXPECT_EQ(gauge.features(), 3);
  const auto read = must(gauge.call<gauge_1_1::Read>({.gauge = 1, .in_permille = 1}));
  EXPECT_EQ(read.status, 0);
  EXPECT_EQ(read.reply.value, 410);
  EXPECT_EQ(read.reply.reads, 1);
  EXPECT_EQ(must(gauge.call<gauge_1_1::Read>({.gauge = 9})).status, gauge_1_1::no_such_gauge);
  must(gauge.post<gauge_1_1::Reset>({}));
  EXPECT_EQ(must(gauge.call<gauge_1_1::Read>({.gauge = 0, .in_permille = 1})).reply.reads, 1) << "the post came first";
}

TEST(NegotiationTest, AClientOfThePreviousMinorVersionRunsOnTheNewDispatcher) {
  NewHost host;
  auto gauge = must(marshal::open<gauge_1_0::GaugeApi>(host.channel()));
  EXPECT_EQ(gauge.minor(), 0);
  EXPECT_EQ(gauge.features(), 1) << "only what both know";
  EXPECT_TRUE(gauge.has(1));
  EXPECT_FALSE(gauge.has(3));
  for (std::uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(must(gauge.call<gauge_1_0::Read>({.gauge = 1})).reply.value, 41);
  }
  std::array<std::byte, 64> buffer{};
  const auto named = must(gauge.call<gauge_1_0::Name>({.gauge = 1}, {}, buffer));
  EXPECT_EQ(must(marshal::TrailingReader(std::span(buffer).first(named.trailing)).string(32)), "gauge 1");
}

TEST(NegotiationTest, ANewClientRunsOnTheDispatcherOfThePreviousMinorVersion) {
  OldHost host;
  auto gauge = must(marshal::open<gauge_1_1::GaugeApi>(host.channel()));
  EXPECT_EQ(gauge.minor(), 0);
  EXPECT_EQ(gauge.features(), 1);
  const auto read = must(gauge.call<gauge_1_1::Read>({.gauge = 1}));
  EXPECT_EQ(read.reply.value, 41);
  EXPECT_EQ(read.reply.reads, 0);
  EXPECT_EQ(must(gauge.call<gauge_1_1::Read>({.gauge = 1, .in_permille = 1})).status, marshal::status_unknown_fields);
}

TEST(NegotiationTest, ANewMessageOnAnOldDispatcherIsAnErrorBeforeAnythingIsSent) {
  OldHost host;
  auto gauge = must(marshal::open<gauge_1_1::GaugeApi>(host.channel()));
  const auto before = host.channel().statistics();
  const auto called = gauge.call<gauge_1_1::Reset>({});
  const auto posted = gauge.post<gauge_1_1::Reset>({});
  ASSERT_FALSE(called);
  ASSERT_FALSE(posted);
  EXPECT_EQ(called.error().code, Errc::unsupported);
  EXPECT_EQ(called.error().message,
            "API gauge: this message came with minor version 1, the worker speaks 0; update the host, or do without "
            "it");
  EXPECT_EQ(host.channel().statistics().calls, before.calls);
  EXPECT_EQ(host.channel().statistics().posts, before.posts);
}

TEST(NegotiationTest, AClientThatNeverNegotiatesIsServedAllTheSame) {
  NewHost host;
  EXPECT_EQ(must(Client(host.channel()).call<gauge_1_0::Read>({.gauge = 1})).reply.value, 41);
}

struct OpenClApi : gauge_1_0::GaugeApi {
  static constexpr std::uint16_t id = 2;
  static constexpr std::string_view name = "opencl";
  using Messages = marshal::Messages<>;
};

TEST(NegotiationTest, AnApiThatIsNotOfferedIsNamedTogetherWithThoseThatAre) {
  Dispatcher dispatcher;
  OldBackend backend;
  dispatcher.serve<gauge_1_0::GaugeApi>(backend);
  dispatcher.offer<probe::ProbeApi>();
  Served host(dispatcher);
  EXPECT_EQ(refusal<OpenClApi>(host.channel(), Errc::not_found),
            "the worker does not offer API opencl (it offers gauge, probe); ask for plugins = [\"opencl\"] in "
            "isthmusd.toml");
  EXPECT_TRUE(marshal::open<gauge_1_0::GaugeApi>(host.channel())) << "the channel goes on";
}

TEST(NegotiationTest, AWorkerThatOffersNothingSaysSo) {
  Dispatcher nothing;
  Served host(nothing);
  EXPECT_NE(refusal<probe::ProbeApi>(host.channel(), Errc::not_found).find("(it offers none)"), std::string::npos);
}

// What a worker of before negotiation does: nothing, with API 0.
class AncientService final : public Service {
 public:
  void handle(Request& /*request*/) override {}
};

TEST(NegotiationTest, AWorkerThatCannotNegotiateIsToldFromOneThatDoesNotOfferTheApi) {
  AncientService service;
  Served host(service);
  EXPECT_NE(refusal<probe::ProbeApi>(host.channel(), Errc::version_mismatch).find("update the host"),
            std::string::npos);
}

// A host that is not what it seems: it answers negotiation with whatever it was given.
class LyingService final : public Service {
 public:
  explicit LyingService(std::vector<std::byte> fixed, std::vector<std::byte> trailing)
      : fixed_(std::move(fixed)), trailing_(std::move(trailing)) {}
  void handle(Request& request) override { std::ignore = request.reply(0, fixed_, trailing_); }

 private:
  std::vector<std::byte> fixed_;
  std::vector<std::byte> trailing_;
};

TEST(NegotiationTest, NamesFromAHostileWorkerReachNoTerminal) {
  std::array<std::byte, 64> names{};
  const auto sent = must(marshal::TrailingWriter(names).count(2).string("probe").string("\x1b[2J").finish());
  LyingService service({}, {sent.begin(), sent.end()});
  Served host(service);
  EXPECT_NE(refusal<probe::ProbeApi>(host.channel(), Errc::not_found).find("(it offers probe)"), std::string::npos);
}

TEST(NegotiationTest, AnyAnswerAtAllIsAnErrorOrAnAgreement) {
  Random random(7);
  for (int i = 0; i < 60; ++i) {
    LyingService service(random.bytes(random.below(2) * sizeof(Negotiate::Reply) + random.below(8)),
                         random.bytes(random.below(200)));
    Served host(service);
    const auto opened = marshal::open<probe::ProbeApi>(host.channel());
    if (!opened) {
      EXPECT_FALSE(opened.error().message.empty());
      EXPECT_TRUE(std::ranges::all_of(opened.error().message, [](char c) { return c >= ' ' && c <= '~'; }));
    }
  }
}

TEST(NegotiationTest, AnyRequestAtAllIsAnsweredAndTheDispatcherGoesOn) {
  NewHost host;
  Random random(8);
  for (int i = 0; i < 300; ++i) {
    std::vector<std::byte> reply(abi::max_body);
    const auto fixed = random.bytes(random.below(80));
    const auto answer =
        must(host.channel().call({.api = marshal::negotiation_api,
                                  .opcode = static_cast<std::uint16_t>(random.one_in(4) ? random.next() : 1),
                                  .fixed = fixed,
                                  .trailing = {}},
                                 reply));
    EXPECT_TRUE(answer.status == 0 || answer.status == status_unhandled ||
                answer.status == marshal::status_unknown_fields)
        << answer.status;
  }
  EXPECT_TRUE(marshal::open<gauge_1_1::GaugeApi>(host.channel()));
}

TEST(NegotiationTest, AnotherThreadUsesTheAnswerWithoutAsking) {
  NewBackend backend;
  Dispatcher dispatcher;
  dispatcher.serve<gauge_1_1::GaugeApi>(backend);
  Loopback host(dispatcher);
  const auto lane = host.attach();
  const auto gauge = must(marshal::open<gauge_1_1::GaugeApi>(*must(lane->channel())));
  std::thread([&] {
    Channel& own = *must(lane->channel());
    auto mine = gauge.on(own);
    EXPECT_EQ(must(mine.call<gauge_1_1::Read>({.gauge = 0})).reply.value, 40);
    EXPECT_EQ(own.statistics().calls, 1);
  }).join();
}

// ---- what agree() makes of two versions ----------------------------------------------------------------------------

std::string disagreement(const ApiVersion& client, const ApiVersion& worker) {
  const auto agreed = marshal::agree("x", client, worker);
  EXPECT_TRUE(agreed || agreed.error().code == Errc::version_mismatch);
  return agreed ? "" : agreed.error().message;
}

TEST(AgreeTest, EachKindOfMismatchNamesBothVersionsAndTheWayOut) {
  const ApiVersion client{.major = 1, .minor = 5, .oldest_minor = 2, .layout = 11};
  EXPECT_EQ(disagreement(client, {.major = 2, .minor = 5, .layout = 11}),
            "API x: the worker speaks major 2, this library major 1; install the same release in guest and host");
  EXPECT_EQ(disagreement(client, {.major = 1, .minor = 9, .oldest_minor = 6}),
            "API x: the worker serves clients of 1.6 and later, this library is 1.5; update the client's side");
  EXPECT_EQ(disagreement(client, {.major = 1, .minor = 1}),
            "API x: this library needs 1.2 or later, the worker speaks 1.1; update the host");
  EXPECT_NE(disagreement(client, {.major = 1, .minor = 5, .layout = 12}).find("lay their messages out differently"),
            std::string::npos);
  EXPECT_EQ(disagreement(client, {.major = 1, .minor = 5, .layout = 11}), "");
}

TEST(AgreeTest, BetweenDifferentVersionsTheLayoutMayDiffer) {
  const ApiVersion client{.major = 1, .minor = 5, .oldest_minor = 2, .features = 6, .layout = 11};
  for (const std::uint16_t minor : {std::uint16_t{2}, std::uint16_t{4}, std::uint16_t{6}, std::uint16_t{65535}}) {
    const auto agreed = must(marshal::agree("x", client, {.major = 1, .minor = minor, .features = 12, .layout = 1}));
    EXPECT_EQ(agreed.minor, std::min<std::uint16_t>(minor, 5));
    EXPECT_EQ(agreed.features, 4);
  }
}

// ---- layouts -------------------------------------------------------------------------------------------------------

template <class T>
consteval std::uint64_t layout() {
  marshal::LayoutHash hash;
  marshal::add_layout<T>(hash);
  return hash.value();
}

struct Base {
  std::uint32_t a;
  std::uint16_t b;
  std::uint16_t c;
};
struct Renamed {
  std::uint32_t x;
  std::uint16_t y;
  std::uint16_t z;
};
struct Swapped {
  std::uint16_t a;
  std::uint16_t b;
  std::uint32_t c;
};
struct Signed {
  std::int32_t a;
  std::uint16_t b;
  std::uint16_t c;
};
struct Floating {
  float a;
  std::uint16_t b;
  std::uint16_t c;
};
struct Merged {
  std::uint32_t a;
  std::uint32_t b;
};
struct Arrayed {
  std::uint32_t a;
  std::array<std::uint16_t, 2> b;
};
struct Nested {
  struct Inner {
    std::uint16_t b;
    std::uint16_t c;
  };
  std::uint32_t a;
  Inner inner;
};
enum class Kind : std::uint16_t {};
struct Enumerated {
  std::uint32_t a;
  Kind b;
  std::uint16_t c;
};
struct Longer {
  std::uint32_t a;
  std::uint16_t b;
  std::uint16_t c;
  std::uint32_t d;
};
struct WithReference {
  Reference where;
  std::array<Nested, 3> nested;
};

static_assert(layout<Base>() == layout<Renamed>(), "names do not count");
static_assert(layout<Base>() == layout<Enumerated>(), "an enum is its number");

TEST(LayoutTest, EveryChangeOfFieldsChangesTheHash) {
  const std::array all{layout<Base>(),    layout<Swapped>(), layout<Signed>(), layout<Floating>(),     layout<Merged>(),
                       layout<Arrayed>(), layout<Nested>(),  layout<Longer>(), layout<WithReference>()};
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_NE(all.at(i), all.at(j)) << i << " and " << j;
    }
  }
}

TEST(LayoutTest, TheVersionsOfAnApiDiffer) {
  EXPECT_NE(version_of<gauge_1_0::GaugeApi>().layout, version_of<gauge_1_1::GaugeApi>().layout);
}

struct FewFields {
  std::uint32_t a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x;
};
struct ManyFields {
  std::uint32_t a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y;
};
struct ManyOtherFields {
  std::int32_t a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y;
};
static_assert(marshal::detail::field_count<FewFields>() == 24);
static_assert(layout<ManyFields>() == layout<ManyOtherFields>(), "of more than 24 fields only the size counts");
static_assert(layout<ManyFields>() != layout<FewFields>());

// ---- two dispatchers as one ----------------------------------------------------------------------------------------

TEST(MergeTest, TheDispatcherServesWhatBothServed) {
  OldBackend backend;
  Dispatcher dispatcher;
  dispatcher.serve<gauge_1_0::GaugeApi>(backend);
  Dispatcher probes;
  probes.offer<probe::ProbeApi>();
  probes.on<probe::Echo>([](const probe::Echo::Request&, Call& call) -> Answer<probe::Echo::Reply> {
    call.reply_trailing(call.trailing());
    return probe::Echo::Reply{};
  });
  must(dispatcher.merge(std::move(probes)));
  Served host(dispatcher);
  auto gauge = must(marshal::open<gauge_1_0::GaugeApi>(host.channel()));
  auto probe = must(marshal::open<probe::ProbeApi>(host.channel()));
  EXPECT_EQ(must(gauge.call<gauge_1_0::Read>({.gauge = 0})).reply.value, 40);
  EXPECT_EQ(must(probe.call<probe::Echo>({})).status, 0);
}

TEST(MergeTest, NothingIsTakenOverWhereBothServeTheSame) {
  OldBackend backend;
  NewBackend newer;
  Dispatcher dispatcher;
  dispatcher.serve<gauge_1_0::GaugeApi>(backend);
  Dispatcher other;
  other.serve<gauge_1_1::GaugeApi>(newer);
  const auto merged = dispatcher.merge(std::move(other));
  ASSERT_FALSE(merged);
  EXPECT_EQ(merged.error().message, "API gauge (28673) is served already");
  Dispatcher quiet;  // serves a message without offering its API
  quiet.on<gauge_1_1::Read>([](const gauge_1_1::Read::Request&, Call&) -> Answer<gauge_1_1::Read::Reply> {
    return gauge_1_1::Read::Reply{.value = 99};
  });
  EXPECT_FALSE(dispatcher.merge(std::move(quiet)));
  Served host(dispatcher);
  EXPECT_EQ(must(must(marshal::open<gauge_1_1::GaugeApi>(host.channel())).call<gauge_1_1::Read>({})).reply.value, 40);
}

}  // namespace
}  // namespace isthmus::test::negotiation_tests
