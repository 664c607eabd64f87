// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/warm_lanes.hpp"

#include <algorithm>
#include <utility>

#include "host/daemon/log.hpp"

namespace isthmus::host {

WarmLanes::WarmLanes(EventLoop& loop, std::string label, std::size_t count, uid_t user, Make make)
    : loop_(&loop), label_(std::move(label)), count_(count), user_(user), make_(std::move(make)) {}

WarmLanes::~WarmLanes() {
  if (refill_token_) {
    loop_->remove(*refill_token_);
  }
}

std::size_t WarmLanes::staying() const noexcept {
  return static_cast<std::size_t>(
      std::ranges::count_if(entries_, [](const auto& entry) { return !entry.second.leaving; }));
}

void WarmLanes::refill() {
  while (!done_ && staying() < count_) {
    const std::uint64_t id = next_id_++;
    auto lane = make_(user_, {.taken = [](std::uint32_t) {},
                              .gone = [this, id](bool /*orderly*/, const std::string& why) { on_gone(id, why); }});
    if (!lane) {
      log::warn("{}: no warm worker: {}", label_, lane.error().message);
      retry_later();
      return;
    }
    entries_.emplace(id, Entry{.user = user_, .lane = std::move(*lane)});
  }
}

void WarmLanes::refill_after(std::chrono::milliseconds delay) {
  if (done_ || refill_token_) {
    return;
  }
  refill_token_ = loop_->call_after(delay, [this] {
    refill_token_.reset();
    refill();
  });
}

void WarmLanes::retry_later() { refill_after(retries_.failed()); }

std::optional<ShmLane> WarmLanes::take(uid_t user, WorkerProcess::Events events) {
  if (count_ == 0 || done_) {
    return std::nullopt;
  }
  user_ = user;
  refill_after(refill_delay);
  const auto found = std::ranges::find_if(
      entries_, [user](const auto& entry) { return entry.second.user == user && !entry.second.leaving; });
  if (found == entries_.end()) {
    make_room();
    return std::nullopt;
  }
  retries_.succeeded();
  ShmLane lane = std::move(found->second.lane);
  entries_.erase(found);
  lane.worker->report_to(std::move(events));
  return lane;
}

// One at a time, so that two users who take turns do not have everything made anew each time.
void WarmLanes::make_room() {
  if (staying() < count_) {
    return;
  }
  const auto oldest = std::ranges::find_if(entries_, [](const auto& entry) { return !entry.second.leaving; });
  oldest->second.leaving = true;
  oldest->second.lane.worker->stop();
}

void WarmLanes::on_gone(std::uint64_t id, const std::string& why) {
  const auto found = entries_.find(id);
  const bool expected = found->second.leaving || done_;
  const pid_t pid = found->second.lane.worker->pid();
  entries_.erase(found);
  if (!expected) {
    log::warn("{}: warm worker {} ended: {}", label_, pid, why);
    retry_later();
  }
  if (done_ && entries_.empty()) {
    std::exchange(done_, [] {})();
  }
}

void WarmLanes::shut_down(std::function<void()> done) {
  done_ = std::move(done);
  for (auto& [id, entry] : entries_) {
    entry.lane.worker->stop();
  }
  if (entries_.empty()) {
    std::exchange(done_, [] {})();
  }
}

}  // namespace isthmus::host
