// SPDX-License-Identifier: Apache-2.0
#include "src/transport/lane_state.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <utility>

#include "src/transport/channel_impl.hpp"
#include "src/transport/claim.hpp"
#include "src/transport/completion_waiter.hpp"
#include "src/transport/deadline.hpp"
#include "src/transport/text.hpp"
#include "src/transport/thread_object.hpp"

namespace isthmus {
namespace {

using abi::ChannelState;
using abi::ClaimState;
using abi::HostState;

// The worker counts its heartbeat up every 0.7 s. Silence ends the lane for its client (an error instead of an
// endless wait); it never frees memory, so a host that was merely paused can do no harm when it goes on.
constexpr std::chrono::seconds longest_silence{5};

constexpr std::chrono::microseconds first_nap{20};
constexpr std::chrono::microseconds longest_nap{2000};

// Waits for a rare change of state (attach, channel opened), for which nothing rings.
template <class Done>
bool nap_until(const Done& done, std::chrono::steady_clock::time_point deadline) {
  std::chrono::microseconds nap = first_nap;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= deadline) {
      return false;
    }
    std::this_thread::sleep_for(nap);
    nap = std::min(nap * 2, longest_nap);
  }
  return true;
}

// Lanes of this process, for the fork handler: a child must not keep its parent's lanes alive.
class OpenLanes {
 public:
  // Made anew by pthread_once in a child whose parent forked while a thread of it was making it: so no static object,
  // whose guard would be locked for ever there. Never destroyed: threads may still end after the program's static
  // objects are gone.
  static OpenLanes& instance() {
    static constinit pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, [] {
      if (lanes.load(std::memory_order_acquire) != nullptr) {
        return;  // such a child: handlers that are there twice would wait for themselves
      }
      lanes.store(new OpenLanes, std::memory_order_release);
      pthread_atfork([] { known().mutex_.lock(); }, [] { known().mutex_.unlock(); },
                     [] {
                       for (Link* link : known().links_) {
                         link->forget_in_child();
                       }
                       known().links_.clear();
                       known().mutex_.unlock();
                     });
    });
    return known();
  }
  void add(Link& link) {
    const std::scoped_lock lock(mutex_);
    links_.push_back(&link);
  }
  void remove(Link& link) {
    const std::scoped_lock lock(mutex_);
    std::erase(links_, &link);
  }

 private:
  static OpenLanes& known() noexcept { return *lanes.load(std::memory_order_acquire); }

  static std::atomic<OpenLanes*> lanes;

  std::mutex mutex_;
  std::vector<Link*> links_;
};
constinit std::atomic<OpenLanes*> OpenLanes::lanes{nullptr};

// The channels of one thread, which go back when it ends.
class ThreadChannels {
 public:
  struct Entry {
    const LaneState* lane_address;
    std::weak_ptr<LaneState> lane;
    std::uint32_t number;
    Channel* channel;
  };

  ThreadChannels() = default;
  ThreadChannels(const ThreadChannels&) = delete;
  ThreadChannels& operator=(const ThreadChannels&) = delete;
  ThreadChannels(ThreadChannels&&) = delete;
  ThreadChannels& operator=(ThreadChannels&&) = delete;
  ~ThreadChannels() {
    for (Entry& entry : entries_) {
      if (const auto lane = entry.lane.lock()) {
        lane->close_channel(entry.number);
      }
    }
  }

  [[nodiscard]] Channel* find(const LaneState& lane) {
    for (const Entry& entry : entries_) {
      // An address may have been used before by a lane that is gone by now.
      if (entry.lane_address == &lane && !entry.lane.expired()) {
        return entry.channel;
      }
    }
    return nullptr;
  }
  void add(Entry entry) {
    std::erase_if(entries_, [](const Entry& old) { return old.lane.expired(); });
    entries_.push_back(std::move(entry));
  }

 private:
  std::vector<Entry> entries_;
};

ThreadChannels& thread_channels() { return ThreadObject<ThreadChannels>::get(); }

}  // namespace

LaneState::LaneState(Region region, std::uint32_t index, std::unique_ptr<Link> link)
    : region_(std::move(region)),
      index_(index),
      link_(std::move(link)),
      mark_(ProcessMark::current()),
      last_heartbeat_seen_(Clock::now()) {
  OpenLanes::instance().add(*link_);
}

LaneState::~LaneState() {
  if (!mark_.is_this_process()) {
    return;  // a child after fork: the lane is its parent's
  }
  upcall_twin_.reset();
  channels_ = {};
  completion_waiter_.reset();
  OpenLanes::instance().remove(*link_);
  control().client.claim.word.store_release(static_cast<std::uint32_t>(ClaimState::released));
  announce_change();
}

Result<std::shared_ptr<LaneState>> LaneState::begin(Region region, std::uint32_t index, std::unique_ptr<Link> link,
                                                    std::chrono::milliseconds timeout) {
  std::shared_ptr<LaneState> lane(new LaneState(std::move(region), index, std::move(link)));
  if (auto served = lane->await_worker(timeout); !served) {
    return std::unexpected(served.error());
  }
  return lane;
}

void LaneState::announce_change() noexcept {
  static_cast<void>(control().client.changed.word.fetch_add(1));
  link_->kick();
}

Result<void> LaneState::await_worker(std::chrono::milliseconds timeout) {
  announce_change();
  std::optional<Error> verdict;
  Clock::time_point next_look = Clock::now();
  const auto served = [&] {
    const Untrusted<std::uint32_t> state = control().host.state.word.load_acquire();
    if (state.equals(static_cast<std::uint32_t>(HostState::serving))) {
      return true;
    }
    if (state.equals(static_cast<std::uint32_t>(HostState::closed))) {  // no worker could be had
      verdict = host_verdict();
      return verdict.has_value();
    }
    if (Clock::now() >= next_look) {
      next_look = Clock::now() + std::chrono::milliseconds(20);
      if (auto host = link_->check_host(); !host) {
        verdict = host.error();
      }
    }
    return verdict.has_value();
  };
  if (!nap_until(served, deadline_after(timeout))) {
    return fail(Errc::timed_out, text("region ", region_.name(), ": no worker took lane ", index_, " within ",
                                      timeout.count(), " ms; is isthmusd running on the host?"));
  }
  if (verdict) {
    return std::unexpected(*verdict);
  }
  epoch_ = control().host.epoch.word.load_relaxed().any();
  slab_.emplace(region_, abi::owner_tag(index_, epoch_));
  return {};
}

std::optional<Error> LaneState::host_verdict() const {
  if (!region_.intact()) {
    return Error{Errc::peer_died, text("region ", region_.name(),
                                       ": the daemon made it anew, or its content was destroyed; attach again")};
  }
  const auto state = control().host.state.word.load_acquire().at_most(static_cast<std::uint32_t>(HostState::closed));
  if (state != static_cast<std::uint32_t>(HostState::serving)) {
    return Error{Errc::closed, text("region ", region_.name(), ": the host closed lane ", index_, ": ",
                                    copy_text(control().host.reason))};
  }
  return std::nullopt;
}

Result<void> LaneState::check() {
  if (!mark_.is_this_process()) {
    return fail(Errc::wrong_thread, text("lane ", index_, " of region ", region_.name(),
                                         ": used in a child after fork, which owns nothing of its parent's; attach "
                                         "anew there"));
  }
  const std::scoped_lock lock(end_mutex_);
  if (!why_) {
    if (auto host = link_->check_host(); !host) {
      why_ = host.error();
    } else {
      why_ = host_verdict();
    }
    const std::uint64_t heartbeat = control().host.heartbeat.word.load_relaxed().any();
    const Clock::time_point now = Clock::now();
    if (heartbeat != last_heartbeat_) {
      last_heartbeat_ = heartbeat;
      last_heartbeat_seen_ = now;
    } else if (!why_ && !link_->shares_kernel() && now - last_heartbeat_seen_ > longest_silence) {
      why_ = Error{Errc::peer_died, text("region ", region_.name(), ": the worker of lane ", index_,
                                         " gave no sign of life for ", longest_silence.count(), " s")};
    }
    if (why_) {
      over_.store(true, std::memory_order_release);
    }
  }
  return why_ ? Result<void>(std::unexpected(*why_)) : Result<void>();
}

void LaneState::poison(Error reason) noexcept {
  const std::scoped_lock lock(end_mutex_);
  if (!why_) {
    why_ = std::move(reason);
  }
  over_.store(true, std::memory_order_release);
}

Result<Channel*> LaneState::channel() {
  if (!usable()) {
    return std::unexpected(check().error());
  }
  if (Channel* known = thread_channels().find(*this)) {
    return known;
  }
  return open_channel();
}

std::optional<std::uint32_t> LaneState::reserve_channel_number() {
  for (std::uint32_t number = 0; number < abi::max_channels; ++number) {
    if (channels_.at(number) != nullptr || lost_numbers_.test(number)) {
      continue;
    }
    if (!control().host.channels.at(number).load_acquire().equals(static_cast<std::uint32_t>(ChannelState::free))) {
      continue;  // the host still drains it
    }
    if (const auto list = std::exchange(left_behind_.at(number), nullptr)) {
      list->release_all();
    }
    return number;
  }
  return std::nullopt;
}

Result<Channel*> LaneState::open_channel() {
  const std::unique_lock lock(mutex_);
  const auto number = reserve_channel_number();
  if (!number) {
    return fail(Errc::exhausted, text("lane ", index_, " of region ", region_.name(), ": all ", abi::max_channels,
                                      " channels are in use; end threads that called"));
  }
  std::uint64_t& offset = blocks_.at(*number);
  if (offset == 0) {
    const auto allocated = slab_->allocate_channel();
    if (!allocated) {
      return std::unexpected(allocated.error());
    }
    offset = *allocated;
  }
  abi::ChannelBlock* block = region_.channel_block(offset);
  const auto first_lap = static_cast<std::uint32_t>(epoch_);
  const std::uint64_t start = starts_.at(*number);
  Channel::Impl::prepare(*block, first_lap, start);
  std::unique_ptr<Channel> channel(
      new Channel(std::make_unique<Channel::Impl>(*this, *number, *block, first_lap, start)));
  control().client.directory.at(*number).store_release(offset | abi::channel_present);  // D1: the block is prepared
  announce_change();
  const std::string what = text("channel ", *number);
  if (auto opened = await_open(control().host.channels.at(*number), what); !opened) {
    control().client.directory.at(*number).store_release(0);
    announce_change();
    if (opened.error().code == Errc::timed_out) {
      lost_numbers_.set(*number);  // a worker that was stopped may open it yet: its block must stay as it is
    }
    return std::unexpected(opened.error());
  }
  Channel* const result = channel.get();
  channels_.at(*number) = std::move(channel);
  thread_channels().add({this, weak_from_this(), *number, result});
  return result;
}

Result<void> LaneState::await_open(const SharedWord<std::uint32_t>& state, const std::string& what) {
  constexpr std::chrono::seconds patience{5};
  std::optional<Error> verdict;
  const auto opened = [&] {
    const Untrusted<std::uint32_t> now = state.load_acquire();
    if (now.equals(static_cast<std::uint32_t>(ChannelState::open))) {
      return true;
    }
    if (now.equals(static_cast<std::uint32_t>(ChannelState::refused))) {
      verdict = Error{Errc::exhausted, text("lane ", index_, " of region ", region_.name(),
                                            ": the worker has no thread for one more channel; end threads that called, "
                                            "or raise the worker's limits")};
      return true;
    }
    verdict = host_verdict();
    if (auto host = link_->check_host(); !verdict && !host) {
      verdict = host.error();
    }
    return verdict.has_value();
  };
  if (!nap_until(opened, Clock::now() + patience)) {
    return fail(Errc::timed_out, text("lane ", index_, " of region ", region_.name(), ": the worker did not open ",
                                      what, " within ", patience.count(), " s"));
  }
  return verdict ? Result<void>(std::unexpected(*verdict)) : Result<void>();
}

void LaneState::close_channel(std::uint32_t number) noexcept {
  if (!mark_.is_this_process()) {
    return;
  }
  const std::scoped_lock lock(mutex_);
  starts_[number] = channels_[number]->impl_->caller.position();
  // The host may still execute what was posted: the frames are free once it has drained the ring.
  left_behind_[number] = channels_[number]->impl_->take_frames();
  channels_[number].reset();
  control().client.directory[number].store_release(0);
  announce_change();
}

std::uint64_t LaneState::order_behind(std::uint32_t channel, std::uint64_t position, bool is_post) noexcept {
  // O2: whoever reads a post here comes after it; the host keeps that order by the fence.
  const std::uint64_t mine =
      abi::Fence{.channel = static_cast<std::uint16_t>(channel), .position = position + 1}.encode();
  const std::uint64_t last =
      is_post ? last_post_.exchange(mine, std::memory_order_acq_rel) : last_post_.load(std::memory_order_acquire);
  return last == 0 || abi::Fence::decode(last).channel == channel ? 0 : last;
}

Result<std::shared_ptr<CompletionWaiter>> LaneState::completion_waiter() {
  const std::scoped_lock lock(mutex_);
  if (completion_waiter_ == nullptr) {
    try {
      completion_waiter_ = std::make_shared<CompletionWaiter>([this] { return check(); });
    } catch (const std::system_error& error) {
      return fail(Errc::exhausted, text("lane ", index_, ": no thread for completion descriptors: ", error.what()));
    }
  }
  return completion_waiter_;
}

Result<void> LaneState::serve_upcalls(Service& service, std::unique_ptr<Service> owned) {
  if (!usable()) {
    return check();
  }
  std::uint64_t offset = 0;
  {
    const std::scoped_lock lock(mutex_);
    if (upcall_twin_ != nullptr) {
      return fail(Errc::invalid_argument, text("lane ", index_, ": upcalls are served already"));
    }
    const auto allocated = slab_->allocate_channel();
    if (!allocated) {
      return std::unexpected(allocated.error());
    }
    offset = *allocated;
    abi::ChannelBlock* block = region_.channel_block(offset);
    const auto first_lap = static_cast<std::uint32_t>(epoch_);
    Channel::Impl::prepare(*block, first_lap, 0);
    try {
      upcall_twin_ = std::make_unique<Twin>(
          Twin::Setup{.region = &region_,
                      .block = block,
                      .first_lap = first_lap,
                      .number = 0,
                      .order = nullptr,
                      .wake_up = link_->shares_kernel() ? Twin::WakeUp::futex : Twin::WakeUp::interval,
                      .service = &service,
                      .upcalls = {},
                      .on_give_up = [this](const std::string& reason) { poison({Errc::protocol_violation, reason}); }});
    } catch (const std::system_error& error) {
      slab_->free_channel(offset);
      return fail(Errc::exhausted, text("lane ", index_, ": no thread for upcalls: ", error.what()));
    }
    upcall_service_ = std::move(owned);
  }
  control().client.upcalls.word.store_release(offset | abi::channel_present);  // D1
  announce_change();
  return await_open(control().host.upcalls.word, "the upcall pair");
}

}  // namespace isthmus
