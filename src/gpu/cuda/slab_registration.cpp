// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/cuda/slab_registration.hpp"

#include <algorithm>
#include <tuple>

namespace isthmus::cuda {

void SlabRegistration::use(std::span<const std::byte> bytes, CUcontext current) {
  if (bytes.empty() || window_.empty()) {
    return;
  }
  const std::uint64_t first = offset_of(bytes.data()) / arena_size;
  const std::uint64_t last = offset_of(bytes.data() + bytes.size() - 1) / arena_size;
  const std::scoped_lock lock(mutex_);
  for (std::uint64_t arena = first; arena <= last; ++arena) {
    add(arena, current);
  }
}

void SlabRegistration::restore(const std::vector<std::uint64_t>& arenas, CUcontext current) {
  const std::scoped_lock lock(mutex_);
  for (const std::uint64_t arena : arenas) {
    add(arena, current);
  }
}

void SlabRegistration::adopt(const std::vector<std::uint64_t>& arenas, CUcontext context) {
  const std::scoped_lock lock(mutex_);
  for (const std::uint64_t arena : arenas) {
    arenas_.try_emplace(arena, context);
  }
}

void SlabRegistration::add(std::uint64_t arena, CUcontext current) {
  if (!arenas_.try_emplace(arena, current).second) {
    return;
  }
  const auto memory = window_.subspan(arena * arena_size);
  // It is none of what a capture is to guard against.
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
  std::ignore = driver_->cuThreadExchangeStreamCaptureMode(&mode);
  // Refused, it is ordinary memory to the driver: slower, and nothing else.
  std::ignore = driver_->cuMemHostRegister(memory.data(), std::min<std::uint64_t>(memory.size(), arena_size),
                                           CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);
  std::ignore = driver_->cuThreadExchangeStreamCaptureMode(&mode);
}

std::size_t SlabRegistration::piece(const std::byte* at, std::size_t bytes) const noexcept {
  return window_.empty() ? bytes : std::min<std::size_t>(bytes, arena_size - offset_of(at) % arena_size);
}

std::vector<std::uint64_t> SlabRegistration::forget(CUcontext context) {
  const std::scoped_lock lock(mutex_);
  std::vector<std::uint64_t> forgotten;
  std::erase_if(arenas_, [&](const auto& arena) {
    if (arena.second != context) {
      return false;
    }
    std::ignore = driver_->cuMemHostUnregister(window_.data() + arena.first * arena_size);
    forgotten.push_back(arena.first);
    return true;
  });
  return forgotten;
}

}  // namespace isthmus::cuda
