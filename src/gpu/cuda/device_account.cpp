// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/cuda/device_account.hpp"

#include <algorithm>

namespace isthmus::cuda {
namespace {

// What a driver divides memory into (cuMemAlloc's alignment).
constexpr std::uint64_t unit = 512;

std::uint64_t bytes_of_element(CUarray_format format) noexcept {
  switch (format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8:
      return 1;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF:
      return 2;
    default:
      return 4;
  }
}

}  // namespace

std::uint64_t DeviceAccount::counted_as(std::uint64_t bytes) noexcept {
  return bytes > UINT64_MAX - unit ? UINT64_MAX : (bytes + unit - 1) / unit * unit;
}

bool DeviceAccount::take(std::uint64_t bytes) {
  if (limit_->take(bytes)) {
    return true;
  }
  reclaim();
  return limit_->take(bytes);
}

void DeviceAccount::note(std::uint64_t key, const Entry& entry) {
  const auto before = take_out(key);
  {
    const std::scoped_lock lock(mutex_);
    entries_.insert_or_assign(key, entry);
    if (entry.pool) {
      pools_[*entry.pool].live += entry.bytes;
    }
  }
  if (before) {
    let_go(*before);
  }
}

// Nothing else has that address: contexts are the driver's objects, and allocations lie elsewhere.
void DeviceAccount::note_context(CUcontext context, std::uint64_t bytes) {
  note(reinterpret_cast<std::uintptr_t>(context), {.context = context, .bytes = bytes, .pool = std::nullopt});
}

void DeviceAccount::adopt_context(CUcontext context, std::uint64_t bytes) {
  if (limit_ != nullptr) {
    note_context(context, bytes);
  }
}

std::optional<DeviceAccount::Entry> DeviceAccount::take_out(std::uint64_t key) {
  if (limit_ == nullptr) {
    return std::nullopt;
  }
  const std::scoped_lock lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end()) {
    return std::nullopt;
  }
  const Entry entry = found->second;
  entries_.erase(found);
  if (entry.pool) {
    pools_[*entry.pool].live -= entry.bytes;
    pools_[*entry.pool].freed += entry.bytes;
  }
  return entry;
}

void DeviceAccount::put_back(std::uint64_t key, const Entry& entry) {
  const std::scoped_lock lock(mutex_);
  entries_.insert_or_assign(key, entry);
  if (entry.pool) {
    // The pool has it still, so that reclaim() has not given it back meanwhile.
    Pool& pool = pools_[*entry.pool];
    pool.freed -= std::min(pool.freed, entry.bytes);
    pool.live += entry.bytes;
  }
}

void DeviceAccount::let_go(const Entry& entry) {
  if (!entry.pool) {
    limit_->give(entry.bytes);
  }
}

void DeviceAccount::reclaim() {
  if (limit_ == nullptr) {
    return;
  }
  std::uint64_t bytes = 0;
  {
    const std::scoped_lock lock(mutex_);
    for (auto& [handle, pool] : pools_) {
      if (pool.freed != 0) {
        const std::uint64_t held = std::clamp(reserved_(handle), pool.live, pool.live + pool.freed);
        bytes += pool.live + pool.freed - held;
        pool.freed = held - pool.live;
      }
    }
    std::erase_if(pools_, [](const auto& entry) {
      const Pool& pool = entry.second;
      const bool is_over = pool.destroy != nullptr && pool.live == 0 && pool.freed == 0;
      if (is_over) {
        pool.destroy();
      }
      return is_over;
    });
  }
  if (bytes != 0) {
    limit_->give(bytes);
  }
}

void DeviceAccount::retire(CUmemoryPool pool, std::function<void()> destroy) {
  if (limit_ == nullptr) {
    destroy();
    return;
  }
  {
    const std::scoped_lock lock(mutex_);
    pools_[pool].destroy = std::move(destroy);
  }
  reclaim();
}

std::uint64_t DeviceAccount::take_out_all_of(CUcontext context) {
  if (limit_ == nullptr) {
    return 0;
  }
  std::uint64_t bytes = 0;
  const std::scoped_lock lock(mutex_);
  std::erase_if(entries_, [&](const auto& entry) {
    const bool is_its = entry.second.context == context && !entry.second.pool;  // pools are the devices'
    bytes += is_its ? entry.second.bytes : 0;
    return is_its;
  });
  return bytes;
}

void DeviceAccount::limit(std::uint64_t& free, std::uint64_t& total) {
  if (limit_ == nullptr) {
    return;
  }
  reclaim();
  const plugin::DeviceMemory::State state = limit_->state();
  total = std::min(total, state.total);
  free = std::min(free, state.total - std::min(state.used, state.total));
}

std::uint64_t DeviceAccount::limited(std::uint64_t total) {
  std::uint64_t free = 0;
  limit(free, total);
  return total;
}

std::uint64_t bytes_of_array(const CUDA_ARRAY3D_DESCRIPTOR& array, std::uint64_t levels) noexcept {
  std::uint64_t sum = 0;
  std::uint64_t width = array.Width;
  std::uint64_t height = std::max<std::uint64_t>(array.Height, 1);
  std::uint64_t depth = std::max<std::uint64_t>(array.Depth, 1);
  const bool is_layered = (array.Flags & CUDA_ARRAY3D_LAYERED) != 0;
  // A level is half as large; one of a single element is the last.
  for (std::uint64_t level = 0; level < std::max<std::uint64_t>(levels, 1); ++level) {
    std::uint64_t bytes = bytes_of_element(array.Format) * array.NumChannels;
    if (__builtin_mul_overflow(bytes, width, &bytes) || __builtin_mul_overflow(bytes, height, &bytes) ||
        __builtin_mul_overflow(bytes, depth, &bytes) || __builtin_add_overflow(sum, bytes, &sum)) {
      return UINT64_MAX;
    }
    if (width <= 1 && height <= 1 && (is_layered || depth <= 1)) {
      break;
    }
    width = std::max<std::uint64_t>(width / 2, 1);
    height = std::max<std::uint64_t>(height / 2, 1);
    depth = is_layered ? depth : std::max<std::uint64_t>(depth / 2, 1);
  }
  return sum;
}

}  // namespace isthmus::cuda
