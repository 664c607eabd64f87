// SPDX-License-Identifier: Apache-2.0
#include "src/transport/slab.hpp"

#include <algorithm>
#include <bit>

#include "src/transport/text.hpp"

namespace isthmus {

Slab::Slab(const Region& region, std::uint64_t owner)
    : region_(&region), owner_(owner), cut_(region.geometry().extent_count) {
  static_assert(smallest_block << (block_classes - 1) == largest_block);
}

std::size_t Slab::class_of(std::size_t bytes) noexcept {
  return static_cast<std::size_t>(std::bit_width((std::max<std::size_t>(bytes, 1) - 1) / smallest_block));
}

std::uint64_t Slab::block_size(std::size_t size_class) noexcept {
  return size_class == channel_class ? sizeof(abi::ChannelBlock) : smallest_block << size_class;
}

Result<std::uint64_t> Slab::allocate(std::size_t bytes) {
  if (bytes == 0) {
    return fail(Errc::invalid_argument, "slab: an allocation of 0 bytes; ask for 1 at least");
  }
  const std::scoped_lock lock(mutex_);
  Result<std::uint64_t> offset;
  if (bytes <= largest_block) {
    offset = take_block(class_of(bytes));
  } else if (bytes > region_->size()) {
    return exhausted(bytes);
  } else {
    offset = claim_run((bytes + abi::extent_size - 1) / abi::extent_size);
  }
  if (offset) {
    bytes_in_use_ += bytes;
  } else {
    return exhausted(bytes);
  }
  return offset;
}

void Slab::free(std::uint64_t offset, std::size_t bytes) noexcept {
  const std::scoped_lock lock(mutex_);
  bytes_in_use_ -= bytes;
  if (bytes <= largest_block) {
    return_block(class_of(bytes), offset);
  } else {
    release_run((offset - region_->geometry().extents_offset) / abi::extent_size,
                (bytes + abi::extent_size - 1) / abi::extent_size);
  }
}

Result<std::uint64_t> Slab::allocate_channel() {
  const std::scoped_lock lock(mutex_);
  auto offset = take_block(channel_class);
  return offset ? offset : Result<std::uint64_t>(exhausted(sizeof(abi::ChannelBlock)));
}

void Slab::free_channel(std::uint64_t offset) noexcept {
  const std::scoped_lock lock(mutex_);
  return_block(channel_class, offset);
}

SlabStatistics Slab::statistics() const {
  const std::scoped_lock lock(mutex_);
  const auto free =
      std::ranges::count_if(region_->owners(), [](const auto& word) { return word.load_relaxed().equals(0); });
  return {.bytes_in_use = bytes_in_use_,
          .bytes_claimed = extents_claimed_ * abi::extent_size,
          .bytes_claimable = static_cast<std::uint64_t>(free) * abi::extent_size};
}

Result<std::uint64_t> Slab::take_block(std::size_t size_class) {
  std::vector<std::uint64_t>& candidates = with_room_.at(size_class);
  if (candidates.empty()) {
    const auto run = claim_run(1);
    if (!run) {
      return run;
    }
    const std::uint64_t extent = (*run - region_->geometry().extents_offset) / abi::extent_size;
    CutExtent& fresh = cut_.at(extent);
    const auto blocks = static_cast<std::uint16_t>(abi::extent_size / block_size(size_class));
    fresh.size_class = size_class;
    fresh.free_blocks.clear();
    for (std::uint16_t i = blocks; i-- > 0;) {
      fresh.free_blocks.push_back(i);
    }
    fresh.place = 0;
    candidates.push_back(extent);
  }
  const std::uint64_t extent = candidates.back();
  CutExtent& cut = cut_.at(extent);
  const std::uint64_t block = cut.free_blocks.back();
  cut.free_blocks.pop_back();
  if (cut.free_blocks.empty()) {
    candidates.pop_back();
  }
  return region_->extent_offset(extent) + block * block_size(size_class);
}

void Slab::return_block(std::size_t size_class, std::uint64_t offset) noexcept {
  const std::uint64_t extent = (offset - region_->geometry().extents_offset) / abi::extent_size;
  CutExtent& cut = cut_[extent];
  std::vector<std::uint64_t>& candidates = with_room_[size_class];
  if (cut.free_blocks.empty()) {
    cut.place = candidates.size();
    candidates.push_back(extent);
  }
  cut.free_blocks.push_back(
      static_cast<std::uint16_t>((offset - region_->extent_offset(extent)) / block_size(size_class)));
  // A wholly free extent goes back to the region, but the last one of a class stays: a program that allocates and
  // frees one block at a time must not claim an extent each time.
  if (is_wholly_free(size_class, extent) && candidates.size() > 1) {
    release_cut(size_class, extent);
  }
}

bool Slab::is_wholly_free(std::size_t size_class, std::uint64_t extent) const noexcept {
  return cut_[extent].free_blocks.size() == abi::extent_size / block_size(size_class);
}

void Slab::release_cut(std::size_t size_class, std::uint64_t extent) noexcept {
  CutExtent& cut = cut_[extent];
  std::vector<std::uint64_t>& candidates = with_room_[size_class];
  cut_[candidates.back()].place = cut.place;
  std::swap(candidates[cut.place], candidates.back());
  candidates.pop_back();
  cut.free_blocks.clear();
  release_run(extent, 1);
}

bool Slab::release_unused() noexcept {
  const std::uint64_t before = extents_claimed_;
  for (std::size_t size_class = 0; size_class < with_room_.size(); ++size_class) {
    for (std::size_t i = with_room_[size_class].size(); i-- > 0;) {
      if (const std::uint64_t extent = with_room_[size_class][i]; is_wholly_free(size_class, extent)) {
        release_cut(size_class, extent);
      }
    }
  }
  return extents_claimed_ != before;
}

Result<std::uint64_t> Slab::claim_run(std::uint64_t extents) {
  auto run = find_run(extents);
  // What stayed with other classes must not make this one starve.
  return run || !release_unused() ? run : find_run(extents);
}

Result<std::uint64_t> Slab::find_run(std::uint64_t extents) {
  const auto owners = region_->owners();
  std::uint64_t start = 0;
  while (extents <= owners.size() && start <= owners.size() - extents) {
    std::uint64_t got = 0;
    while (got < extents && owners[start + got].replace(0, owner_)) {  // E2: acquires E1
      ++got;
    }
    if (got == extents) {
      extents_claimed_ += extents;
      return region_->extent_offset(start);
    }
    for (std::uint64_t i = 0; i < got; ++i) {
      owners[start + i].store_release(0);  // E1
    }
    start += got + 1;
  }
  return exhausted(extents * abi::extent_size);
}

void Slab::release_run(std::uint64_t first, std::uint64_t extents) noexcept {
  const auto owners = region_->owners();
  for (std::uint64_t i = first; i < first + extents; ++i) {
    owners[i].store_release(0);  // E1: the use of the extent comes before
  }
  extents_claimed_ -= extents;
}

std::unexpected<Error> Slab::exhausted(std::uint64_t bytes) const {
  return fail(Errc::exhausted, text("slab of region ", region_->name(), ": no room for ", Bytes{bytes}, " (",
                                    Bytes{region_->geometry().extent_count * abi::extent_size}, " in all, ",
                                    Bytes{extents_claimed_ * abi::extent_size},
                                    " held by this process); free frames or enlarge region_size"));
}

}  // namespace isthmus
