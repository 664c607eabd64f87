// SPDX-License-Identifier: Apache-2.0
#include "isthmus/lane_server.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bitset>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <tuple>
#include <utility>

#include "src/transport/caller.hpp"
#include "src/transport/claim.hpp"
#include "src/transport/lane_order.hpp"
#include "src/transport/region.hpp"
#include "src/transport/text.hpp"
#include "src/transport/twin.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus {
namespace {

using abi::ChannelState;
using abi::ClaimState;
using abi::HostState;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t word(ClaimState state) { return static_cast<std::uint32_t>(state); }
constexpr std::uint32_t word(HostState state) { return static_cast<std::uint32_t>(state); }
constexpr std::uint32_t word(ChannelState state) { return static_cast<std::uint32_t>(state); }

// The heartbeat, and the bound after which destroyed regions and missed kicks are noticed.
constexpr std::chrono::milliseconds heartbeat_interval{700};
// Looking at intervals (ivshmem-plain): often while channels were busy lately, rarely when they were not.
constexpr std::chrono::microseconds shortest_look_interval{50};
constexpr std::chrono::milliseconds longest_interval_serving{5};
constexpr std::chrono::milliseconds longest_interval_waiting{20};

/// The host's end of the upcall pair. Any thread.
class UpcallPort final : public Upcalls, public CallerLane {
 public:
  UpcallPort(abi::ChannelBlock& block, std::uint32_t first_lap, bool shares_kernel,
             std::function<void(const std::string&)> on_violation)
      : on_violation_(std::move(on_violation)),
        caller_(*this, "upcall", RingProducer(block.requests, block.words.request_consumed.word, first_lap),
                RingConsumer(block.replies, block.words.reply_consumed.word, first_lap),
                shares_kernel ? Doorbell(block.words.twin_sleeping.word, block.words.request_doorbell.word)
                              : Doorbell(block.words.twin_sleeping.word),
                {.sleeping = &block.words.client_sleeping.word,
                 .doorbell = shares_kernel ? &block.words.reply_doorbell.word : nullptr}) {}

  Result<Reply> call(const Message& message, std::span<std::byte> reply, Channel::Clock::time_point deadline) override {
    const std::scoped_lock lock(mutex_);
    if (auto room = ready_for(message, deadline); !room) {
      return std::unexpected(std::move(room.error()));
    }
    const auto id = caller_.open_call(reply, deadline);
    if (!id) {
      return std::unexpected(id.error());
    }
    write(message, *id, 0);
    if (auto answered = caller_.wait(*id, deadline); !answered) {
      std::ignore = caller_.abandon(*id);
      return std::unexpected(std::move(answered.error()));
    }
    return caller_.take_reply(*id);
  }

  Result<void> post(const Message& message, Channel::Clock::time_point deadline) override {
    const std::scoped_lock lock(mutex_);
    if (auto room = ready_for(message, deadline); !room) {
      return room;
    }
    write(message, 0, abi::flag_post);
    return {};
  }

  /// Those who wait return within the bound of a wait; the region may be unmapped once this has returned.
  void close() {
    closed_.store(true, std::memory_order_release);
    const std::scoped_lock lock(mutex_);
  }

  Result<void> check() override {
    return closed_.load(std::memory_order_acquire) ? Result<void>(fail(Errc::closed, "the lane is over"))
                                                   : Result<void>();
  }
  bool seems_over() const noexcept override { return closed_.load(std::memory_order_relaxed); }
  void poison(Error reason) noexcept override {
    closed_.store(true, std::memory_order_release);
    on_violation_(reason.message);
  }

 private:
  [[nodiscard]] Result<void> ready_for(const Message& message, Channel::Clock::time_point deadline) {
    if (auto open = check(); !open) {
      return open;
    }
    return caller_.make_room(message.fixed.size() + message.trailing.size(), deadline);
  }
  void write(const Message& message, std::uint32_t call_id, std::uint8_t flags) {
    caller_.write({.opcode = message.opcode,
                   .flags = flags,
                   .header = {.call_id = call_id, .api = message.api},
                   .fixed = message.fixed,
                   .trailing = message.trailing});
  }

  std::function<void(const std::string&)> on_violation_;
  std::atomic<bool> closed_{false};
  std::mutex mutex_;  // guards caller_
  Caller caller_;
};

}  // namespace

struct LaneServer::Impl {
  Impl(Region mapped, const LaneServerOptions& chosen, UniqueFd wake) noexcept
      : region(std::move(mapped)), options(chosen), own_wake(std::move(wake)) {}

  enum class Woken : std::uint8_t { yes, told_to_stop };

  // Blocks until a kick, a twin that gave up, or the interval's end.
  [[nodiscard]] Woken wait(std::chrono::nanoseconds interval) const noexcept;
  void clean_lanes() const;
  void clean_lane(std::uint32_t index) const;
  [[nodiscard]] bool is_claimed(std::uint32_t index) const noexcept;
  [[nodiscard]] std::optional<std::uint32_t> take_claim(const ClaimsWanted& wanted);
  [[nodiscard]] bool take(std::uint32_t index, std::uint64_t epoch);
  [[nodiscard]] std::optional<LaneEnd> verdict();
  [[nodiscard]] std::optional<LaneEnd> follow_directory(Service& service);
  [[nodiscard]] std::optional<LaneEnd> follow_upcalls();
  [[nodiscard]] abi::ChannelBlock* block_of(Untrusted<std::uint64_t> entry) const noexcept;
  void give_up(const std::string& reason);
  [[nodiscard]] bool relay_pending();
  void close(const LaneEnd& end);

  [[nodiscard]] abi::LaneControl& control() const noexcept { return region.lane(lane); }
  [[nodiscard]] bool polls() const noexcept { return options.kick_fd < 0; }

  Region region;
  LaneServerOptions options;
  UniqueFd own_wake;  // eventfd: a twin has something to say
  std::uint32_t lane = 0;
  std::uint32_t first_lap = 0;
  std::vector<std::string> environment;  // of the lane's client
  // Lanes whose claim was told to be for others: the epoch of that life of the lane.
  std::array<std::optional<std::uint64_t>, abi::max_lanes> misfits{};
  bool has_misfit = false;
  std::bitset<abi::max_channels> refused;  // for which there was no thread, until the client takes its entry back
  LaneOrder order;
  std::mutex mutex;  // guards given_up and upcalls
  std::optional<std::string> given_up;
  std::shared_ptr<UpcallPort> upcalls;
  std::array<std::unique_ptr<Twin>, abi::max_channels> twins;  // last: their threads use what stands above
};

LaneServer::LaneServer(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
LaneServer::LaneServer(LaneServer&&) noexcept = default;
LaneServer& LaneServer::operator=(LaneServer&&) noexcept = default;
LaneServer::~LaneServer() = default;

Result<LaneServer> LaneServer::open(int region_fd, const LaneServerOptions& options) {
  auto region = Region::open_as_host(region_fd, options.lane_count, options.base_address, "region");
  if (!region) {
    return std::unexpected(std::move(region.error()));
  }
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) {
    return fail(Errc::system, text("eventfd: ", errno_text(errno)));
  }
  return LaneServer(std::make_unique<Impl>(std::move(*region), options, std::move(wake)));
}

std::span<std::byte> LaneServer::window() const noexcept { return {impl_->region.data(0), impl_->region.size()}; }

std::optional<std::span<std::byte>> LaneServer::resolve(Reference reference) const noexcept {
  return impl_->region.resolve(reference);
}

std::shared_ptr<Upcalls> LaneServer::upcalls() const noexcept {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->upcalls;
}

Result<void> LaneServer::use_huge_pages() { return impl_->region.use_huge_pages("region"); }

LaneServer::Impl::Woken LaneServer::Impl::wait(std::chrono::nanoseconds interval) const noexcept {
  std::array<pollfd, 3> fds{{{.fd = options.control_fd, .events = POLLIN, .revents = 0},
                             {.fd = options.kick_fd, .events = POLLIN, .revents = 0},
                             {.fd = own_wake.get(), .events = POLLIN, .revents = 0}}};
  const timespec timeout{.tv_sec = interval.count() / 1'000'000'000, .tv_nsec = interval.count() % 1'000'000'000};
  if (ppoll(fds.data(), fds.size(), &timeout, nullptr) > 0) {
    if (fds[0].revents != 0) {
      return Woken::told_to_stop;
    }
    for (std::size_t i = 1; i < fds.size(); ++i) {
      if (fds.at(i).revents != 0) {
        // The client holds the kick descriptor, too: it can have emptied it by now, and switched O_NONBLOCK off.
        std::uint64_t count = 0;
        const iovec part{.iov_base = &count, .iov_len = sizeof count};
        if (preadv2(fds.at(i).fd, &part, 1, -1, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP) {  // before Linux 5.8
          static_cast<void>(!read(fds.at(i).fd, &count, sizeof count));
        }
      }
    }
  }
  return Woken::yes;
}

void LaneServer::Impl::clean_lane(std::uint32_t index) const {
  abi::LaneControl& dead = region.lane(index);
  for (auto& owner : region.owners()) {
    if (owner.load_relaxed().bits(0xffff) == index + 1) {
      owner.store_release(0);  // E1
    }
  }
  for (auto& entry : dead.client.directory) {
    entry.store_relaxed(0);
  }
  for (auto& bits : dead.client.pending) {
    bits.store_relaxed(0);
  }
  for (auto& state : dead.host.channels) {
    state.store_relaxed(word(ChannelState::free));
  }
  dead.client.upcalls.word.store_relaxed(0);
  dead.host.upcalls.word.store_relaxed(word(ChannelState::free));
  const std::uint64_t epoch = dead.host.epoch.word.load_relaxed().any();
  dead.host.epoch.word.store_relaxed(epoch + 1);
  dead.host.state.word.store_release(word(HostState::free));
  dead.client.claim.word.store_release(word(ClaimState::free));
}

void LaneServer::Impl::clean_lanes() const {
  for (std::uint32_t index = 0; index < region.geometry().lane_count; ++index) {
    const abi::LaneControl& candidate = region.lane(index);
    const Untrusted<std::uint32_t> claim = candidate.client.claim.word.load_acquire();
    const Untrusted<std::uint32_t> state = candidate.host.state.word.load_acquire();
    const bool abandoned = claim.equals(word(ClaimState::released)) || claim.equals(word(ClaimState::dead));
    const bool unserved = state.equals(word(HostState::closed)) || state.equals(word(HostState::free));
    if (abandoned && unserved) {
      clean_lane(index);
    }
  }
}

bool LaneServer::Impl::is_claimed(std::uint32_t index) const noexcept {
  const abi::LaneControl& candidate = region.lane(index);
  return candidate.client.claim.word.load_acquire().equals(word(ClaimState::claimed)) &&
         candidate.host.state.word.load_relaxed().equals(word(HostState::free));
}

std::optional<std::uint32_t> LaneServer::Impl::take_claim(const ClaimsWanted& wanted) {
  for (std::uint32_t index = 0; index < region.geometry().lane_count; ++index) {
    const std::uint64_t epoch = region.lane(index).host.epoch.word.load_relaxed().any();
    if ((wanted.lane && *wanted.lane != index) || misfits.at(index) == epoch || !is_claimed(index)) {
      continue;
    }
    environment = read_environment(region.lane(index).client.environment);
    if (wanted.fits && !wanted.fits(environment)) {
      misfits.at(index) = epoch;
      has_misfit = true;
      if (wanted.misfit) {
        wanted.misfit(index);
      }
    } else if (take(index, epoch)) {
      return index;
    }
  }
  return std::nullopt;
}

// False: somebody else was quicker, or the client has gone since.
bool LaneServer::Impl::take(std::uint32_t index, std::uint64_t epoch) {
  SharedWord<std::uint32_t>& state = region.lane(index).host.state.word;
  // Before anybody is told: the next process that waits for a claim must not take this lane as well.
  if (!is_claimed(index) || !state.replace(word(HostState::free), word(HostState::serving))) {  // H1
    return false;
  }
  const bool is_another_life = !region.lane(index).host.epoch.word.load_relaxed().equals(epoch);
  if (is_another_life || read_environment(region.lane(index).client.environment) != environment) {
    state.replace(word(HostState::serving), word(HostState::free));
    return false;
  }
  lane = index;
  first_lap = static_cast<std::uint32_t>(epoch);
  return true;
}

const std::vector<std::string>& LaneServer::client_environment() const noexcept { return impl_->environment; }

Result<std::uint32_t> LaneServer::wait_for_claim(const ClaimsWanted& wanted) {
  Impl& self = *impl_;
  std::chrono::nanoseconds interval = shortest_look_interval;
  for (;;) {
    if (!self.region.intact()) {
      return fail(Errc::protocol_violation, text("region ", self.region.name(), ": its header was destroyed"));
    }
    if (!wanted.lane) {
      self.clean_lanes();
    }
    if (const auto claimed = self.take_claim(wanted)) {
      return *claimed;
    }
    if (wanted.lane || (wanted.only_one && self.has_misfit)) {
      return fail(Errc::closed, text("region ", self.region.name(), ": its client has gone, or another has come"));
    }
    if (self.wait(self.polls() ? interval : std::chrono::nanoseconds(heartbeat_interval)) ==
        Impl::Woken::told_to_stop) {
      return fail(Errc::closed, text("region ", self.region.name(), ": told to stop while no client was there"));
    }
    interval = std::min<std::chrono::nanoseconds>(interval * 2, longest_interval_waiting);
  }
}

std::optional<LaneEnd> LaneServer::Impl::verdict() {
  {
    const std::scoped_lock lock(mutex);
    if (given_up) {
      return LaneEnd{.orderly = false, .reason = *given_up};
    }
  }
  if (!region.intact()) {
    return LaneEnd{.orderly = false, .reason = "the region's header was destroyed"};
  }
  const Untrusted<std::uint32_t> claim = control().client.claim.word.load_acquire();
  if (claim.equals(word(ClaimState::claimed))) {
    return std::nullopt;
  }
  if (claim.equals(word(ClaimState::released))) {
    return LaneEnd{.orderly = true, .reason = "the client released it"};
  }
  if (claim.equals(word(ClaimState::dead))) {
    return LaneEnd{.orderly = true, .reason = "the client is dead: its lock is gone, or its VM booted anew"};
  }
  return LaneEnd{.orderly = false, .reason = "protocol violation by the client: an impossible claim state"};
}

std::optional<LaneEnd> LaneServer::Impl::follow_directory(Service& service) {
  for (std::uint32_t number = 0; number < abi::max_channels; ++number) {
    std::unique_ptr<Twin>& twin = twins.at(number);
    SharedWord<std::uint32_t>& state = control().host.channels.at(number);
    const Untrusted<std::uint64_t> entry = control().client.directory.at(number).load_acquire();  // D1
    if ((twin != nullptr && twin->ended()) || (refused.test(number) && entry.equals(0))) {
      twin.reset();
      refused.reset(number);
      state.store_release(word(ChannelState::free));
    } else if (twin != nullptr && entry.equals(0)) {
      twin->stop_when_drained();
    } else if (twin == nullptr && !entry.equals(0) && !refused.test(number)) {
      abi::ChannelBlock* block = block_of(entry);
      if (block == nullptr) {
        return LaneEnd{
            .orderly = false,
            .reason = text("protocol violation by the client: channel ", number, " lies at ", Hex{entry.any()})};
      }
      try {
        static_cast<void>(order.open(number));
        twin = std::make_unique<Twin>(Twin::Setup{
            .region = &region,
            .block = block,
            .first_lap = first_lap,
            .number = number,
            .order = &order,
            .wake_up = polls() ? Twin::WakeUp::relay : Twin::WakeUp::futex,
            .service = &service,
            .upcalls = [this]() -> std::shared_ptr<Upcalls> {
              const std::scoped_lock lock(mutex);
              return upcalls;
            },
            .on_give_up = [this, number](const std::string& reason) { give_up(text(reason, "; channel ", number)); }});
        state.store_release(word(ChannelState::open));
      } catch (const std::system_error&) {
        refused.set(number);  // no thread to be had now
        state.store_release(word(ChannelState::refused));
      }
    }
  }
  return std::nullopt;
}

abi::ChannelBlock* LaneServer::Impl::block_of(Untrusted<std::uint64_t> entry) const noexcept {
  const std::uint64_t value = entry.any();  // checked by channel_block()
  return (value & abi::channel_present) != 0 ? region.channel_block(value & ~abi::channel_present) : nullptr;
}

void LaneServer::Impl::give_up(const std::string& reason) {
  {
    const std::scoped_lock lock(mutex);
    given_up = reason;
  }
  const std::uint64_t one = 1;
  static_cast<void>(!write(own_wake.get(), &one, sizeof one));
}

std::optional<LaneEnd> LaneServer::Impl::follow_upcalls() {
  const Untrusted<std::uint64_t> entry = control().client.upcalls.word.load_acquire();  // D1
  const std::scoped_lock lock(mutex);
  if (upcalls != nullptr || entry.equals(0)) {
    return std::nullopt;
  }
  abi::ChannelBlock* block = block_of(entry);
  if (block == nullptr) {
    return LaneEnd{.orderly = false,
                   .reason = text("protocol violation by the client: the upcall pair lies at ", Hex{entry.any()})};
  }
  upcalls = std::make_shared<UpcallPort>(*block, first_lap, !polls(), [this](const std::string& reason) {
    give_up(text("protocol violation by the client: ", reason));
  });
  control().host.upcalls.word.store_release(word(ChannelState::open));
  return std::nullopt;
}

bool LaneServer::Impl::relay_pending() {
  bool any = false;
  auto& pending = control().client.pending;
  for (std::size_t i = 0; i < pending.size(); ++i) {
    if (pending.at(i).load_relaxed().equals(0)) {
      continue;
    }
    std::uint64_t bits = pending.at(i).exchange(0).any();
    any = true;
    while (bits != 0) {
      const auto bit = static_cast<std::size_t>(__builtin_ctzll(bits));
      bits &= bits - 1;
      if (Twin* twin = twins.at(i * 64 + bit).get()) {
        twin->wake();
      }
    }
  }
  return any;
}

void LaneServer::Impl::close(const LaneEnd& end) {
  std::array<char, abi::text_size> line{};
  std::copy_n(end.reason.begin(), std::min(end.reason.size(), line.size() - 1), line.begin());
  std::memcpy(control().host.reason.data(), line.data(), line.size());
  control().host.state.word.store_release(word(HostState::closing));
  for (const auto& twin : twins) {
    if (twin != nullptr) {
      twin->stop_now();
      twin->wake_caller();
    }
  }
  if (const std::shared_ptr<UpcallPort> port = (std::scoped_lock(mutex), upcalls)) {
    port->close();
  }
  for (auto& twin : twins) {
    twin.reset();
  }
}

LaneEnd LaneServer::serve(Service& service) {
  Impl& self = *impl_;
  abi::LaneHostPage& page = self.control().host;
  std::uint64_t heartbeat = 0;
  std::uint32_t changes_seen = ~0U;
  Clock::time_point next_heartbeat = Clock::now();
  std::chrono::nanoseconds interval = shortest_look_interval;
  for (;;) {
    std::optional<LaneEnd> end = self.verdict();
    const Clock::time_point now = Clock::now();
    const std::uint32_t changes = self.control().client.changed.word.load_acquire().any();
    // The directory is followed when the client says that it changed, and at every heartbeat: channels that drain end
    // without a change.
    if (!end && (changes != changes_seen || now >= next_heartbeat)) {
      changes_seen = changes;
      end = self.follow_directory(service);
      if (!end) {
        end = self.follow_upcalls();
      }
      interval = shortest_look_interval;
    }
    if (now >= next_heartbeat) {
      page.heartbeat.word.store_relaxed(++heartbeat);
      next_heartbeat = now + heartbeat_interval;
    }
    if (!end && self.polls()) {
      interval = self.relay_pending() ? shortest_look_interval
                                      : std::min<std::chrono::nanoseconds>(interval * 9 / 8, longest_interval_serving);
    }
    if (!end && self.wait(self.polls() ? interval : std::chrono::nanoseconds(heartbeat_interval)) ==
                    Impl::Woken::told_to_stop) {
      end = LaneEnd{.orderly = false, .reason = "isthmusd ended the worker"};
    }
    if (end) {
      self.close(*end);
      return *end;
    }
  }
}

}  // namespace isthmus
