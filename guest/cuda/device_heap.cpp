// SPDX-License-Identifier: Apache-2.0
#include "guest/cuda/device_heap.hpp"

#include <iterator>

namespace isthmus::cuda {

void DeviceHeap::insert(std::uint64_t address, std::uint64_t bytes) {
  free_.emplace(address, bytes);
  by_size_.emplace(bytes, address);
}

void DeviceHeap::erase(Pieces::iterator piece) {
  by_size_.erase({piece->second, piece->first});
  free_.erase(piece);
}

void DeviceHeap::add_chunk(std::uint64_t base, std::uint64_t bytes) {
  chunks_.emplace(base, bytes);
  insert(base, bytes);
  total_ += bytes;
  unused_ += bytes;
}

std::optional<std::uint64_t> DeviceHeap::take(std::uint64_t bytes) {
  const std::uint64_t wanted = rounded(bytes);
  const auto found = by_size_.lower_bound({wanted, 0});
  if (found == by_size_.end()) {
    return std::nullopt;
  }
  const auto [size, address] = *found;
  erase(free_.find(address));
  if (size > wanted) {
    insert(address + wanted, size - wanted);
  }
  used_.emplace(address, wanted);
  unused_ -= wanted;
  return address;
}

void DeviceHeap::give(std::uint64_t address) {
  const auto used = used_.find(address);
  if (used == used_.end()) {
    return;
  }
  std::uint64_t begin = address;
  std::uint64_t end = address + used->second;
  used_.erase(used);
  unused_ += end - begin;
  const auto chunk = std::prev(chunks_.upper_bound(address));
  if (const auto after = free_.lower_bound(end); after != free_.end() && after->first == end) {
    if (end != chunk->first + chunk->second) {
      end += after->second;
      erase(after);
    }
  }
  if (const auto next = free_.lower_bound(begin); next != free_.begin() && begin != chunk->first) {
    if (const auto before = std::prev(next); before->first + before->second == begin) {
      begin = before->first;
      erase(before);
    }
  }
  insert(begin, end - begin);
}

std::vector<std::uint64_t> DeviceHeap::trim(std::uint64_t keep) {
  std::vector<std::uint64_t> gone;
  for (auto piece = by_size_.end(); piece != by_size_.begin() && unused_ > keep;) {
    --piece;
    const auto [bytes, address] = *piece;
    const auto chunk = chunks_.find(address);
    if (chunk == chunks_.end() || chunk->second != bytes) {
      continue;
    }
    piece = std::next(piece);
    erase(free_.find(address));
    chunks_.erase(chunk);
    total_ -= bytes;
    unused_ -= bytes;
    gone.push_back(address);
  }
  return gone;
}

bool DeviceHeap::holds(std::uint64_t address) const noexcept {
  const auto after = chunks_.upper_bound(address);
  return after != chunks_.begin() && address - std::prev(after)->first < std::prev(after)->second;
}

}  // namespace isthmus::cuda
