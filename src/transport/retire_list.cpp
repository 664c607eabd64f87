// SPDX-License-Identifier: Apache-2.0
#include "src/transport/retire_list.hpp"

#include <limits>

namespace isthmus {

RetireList::RetireList(Slab& slab, const SharedWord<std::uint64_t>& retired) : slab_(&slab), retired_(&retired) {
  slab_->add(*this);
}

RetireList::~RetireList() { slab_->forget(*this); }

Freed RetireList::hold(std::uint64_t position, std::uint64_t offset, std::size_t bytes) {
  // Held before it is in the list, so that drain() never frees what is still in use.
  const Freed held = slab_->hold(offset, bytes);
  if (held == Freed::yes) {
    const std::scoped_lock lock(mutex_);
    entries_.push_back({.position = position, .offset = offset, .bytes = bytes});
  }
  return held;
}

void RetireList::drain() noexcept {
  // A post has been passed if `retired` lies up to half the number range ahead of it, so that positions may wrap.
  constexpr std::uint64_t half = std::numeric_limits<std::uint64_t>::max() / 2;
  const std::scoped_lock lock(mutex_);
  if (entries_.empty()) {
    return;
  }
  const Untrusted<std::uint64_t> retired = retired_->load_acquire();  // R1
  // "retired - position <= half" with the word as the unknown: it is not behind the position, unless it equals it.
  const auto passed = [&](std::uint64_t position) {
    return retired.equals(position) || !retired.behind(position, half);
  };
  while (!entries_.empty() && passed(entries_.front().position)) {
    release_front();
  }
}

void RetireList::drain_up_to(std::uint64_t position) noexcept {
  const std::scoped_lock lock(mutex_);
  while (!entries_.empty() && entries_.front().position <= position) {
    release_front();
  }
}

void RetireList::release_all() noexcept {
  const std::scoped_lock lock(mutex_);
  while (!entries_.empty()) {
    release_front();
  }
}

std::size_t RetireList::size() const noexcept {
  const std::scoped_lock lock(mutex_);
  return entries_.size();
}

void RetireList::release_front() noexcept {
  const Entry& first = entries_.front();
  slab_->free_held(first.offset, first.bytes);
  entries_.pop_front();
}

}  // namespace isthmus
