// SPDX-License-Identifier: Apache-2.0
#include "guest/cuda/device_pool.hpp"

#include <algorithm>
#include <ranges>
#include <utility>

namespace isthmus::cuda {
namespace {

constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;
// What a GPU's driver maps at a time: smaller chunks would take as much.
constexpr std::uint64_t chunk_granule = 2 * mebibyte;
// A context's chunks double what it has, between these.
constexpr std::uint64_t first_chunk = 4 * mebibyte;
constexpr std::uint64_t largest_chunk = 32 * mebibyte;

}  // namespace

std::optional<std::uint64_t> DevicePool::take(Id context, std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  const auto found = heaps_.find(context);
  return found == heaps_.end() ? std::nullopt : found->second.heap.take(bytes);
}

std::uint64_t DevicePool::chunk_for(Id context, std::uint64_t bytes) const {
  const std::scoped_lock lock(mutex_);
  const auto found = heaps_.find(context);
  const std::uint64_t total = found == heaps_.end() ? 0 : found->second.heap.total();
  const std::uint64_t usual = std::clamp(total / chunk_granule * chunk_granule, first_chunk, largest_chunk);
  return std::max(usual, (bytes + chunk_granule - 1) / chunk_granule * chunk_granule);
}

void DevicePool::add_chunk(Id context, std::uint32_t device, std::uint64_t base, std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  Heap& heap = heaps_[context];
  heap.device = device;
  heap.heap.add_chunk(base, bytes);
}

void DevicePool::give(Id context, std::uint64_t address) {
  const std::scoped_lock lock(mutex_);
  if (const auto found = heaps_.find(context); found != heaps_.end()) {  // else another thread has destroyed it
    found->second.heap.give(address);
  }
}

std::vector<DevicePool::Piece> DevicePool::surplus(Id context) {
  const std::scoped_lock lock(mutex_);
  std::vector<Piece> gone;
  if (const auto found = heaps_.find(context); found != heaps_.end()) {
    for (const std::uint64_t chunk : found->second.heap.trim(keep_)) {
      gone.push_back({.context = context, .address = chunk});
    }
  }
  return gone;
}

std::vector<DevicePool::Piece> DevicePool::all_unused() {
  const std::scoped_lock lock(mutex_);
  std::vector<Piece> gone;
  for (auto& [context, heap] : heaps_) {
    for (const std::uint64_t chunk : heap.heap.trim(0)) {
      gone.push_back({.context = context, .address = chunk});
    }
  }
  return gone;
}

void DevicePool::put_aside(const Piece& piece) {
  const std::scoped_lock lock(mutex_);
  aside_.push_back(piece);
}

std::vector<DevicePool::Piece> DevicePool::take_aside() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(aside_, {});
}

bool DevicePool::has_aside() const {
  const std::scoped_lock lock(mutex_);
  return !aside_.empty();
}

void DevicePool::forget(Id context) {
  const std::scoped_lock lock(mutex_);
  heaps_.erase(context);
  std::erase_if(aside_, [context](const Piece& piece) { return piece.context == context; });
}

bool DevicePool::holds(std::uint64_t address) const {
  const std::scoped_lock lock(mutex_);
  return std::ranges::any_of(heaps_ | std::views::values,
                             [address](const Heap& heap) { return heap.heap.holds(address); });
}

std::uint64_t DevicePool::unused(std::uint32_t device) const {
  const std::scoped_lock lock(mutex_);
  std::uint64_t sum = 0;
  for (const Heap& heap : heaps_ | std::views::values) {
    sum += heap.device == device ? heap.heap.unused() : 0;
  }
  return sum;
}

}  // namespace isthmus::cuda
