// SPDX-License-Identifier: Apache-2.0
#include "src/transport/retire_gate.hpp"

#include <algorithm>
#include <utility>

#include "isthmus/frame_hold.hpp"

namespace isthmus {

RetireGate::RetireGate(SharedWord<std::uint64_t>& retired, std::uint64_t start, std::function<void()> on_free)
    : retired_(&retired), on_free_(std::move(on_free)), executed_(start), published_(start) {}

void RetireGate::publish(std::uint64_t executed) noexcept {
  const std::scoped_lock lock(mutex_);
  executed_ = executed;
  store_progress();
}

void RetireGate::hold(std::uint64_t position) {
  const std::scoped_lock lock(mutex_);
  held_.insert(position);
  holds_.fetch_add(1, std::memory_order_relaxed);
}

void RetireGate::release(std::uint64_t position) noexcept {
  const std::scoped_lock lock(mutex_);
  held_.erase(held_.find(position));
  store_progress();
  if (holds_.fetch_sub(1, std::memory_order_seq_cst) == 1 && retired_ != nullptr) {  // R2: the service's use is over
    on_free_();
  }
}

void RetireGate::close() noexcept {
  const std::scoped_lock lock(mutex_);
  retired_ = nullptr;
}

void RetireGate::store_progress() noexcept {
  const std::uint64_t free = held_.empty() ? executed_ : std::min(executed_, *held_.begin());
  if (retired_ != nullptr && free != published_) {
    retired_->store_release(free);  // R1: the service's use of frames comes before
    published_ = free;              // nobody sleeps for that: who waits for frames looks at intervals
  }
}

FrameHold::FrameHold(std::shared_ptr<RetireGate> gate, std::uint64_t position) noexcept
    : gate_(std::move(gate)), position_(position) {
  gate_->hold(position);
}

FrameHold::~FrameHold() {
  if (gate_ != nullptr) {
    gate_->release(position_);
  }
}

}  // namespace isthmus
