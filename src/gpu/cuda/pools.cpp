// SPDX-License-Identifier: Apache-2.0

// Pools of memory in the order of streams: each device's own, and those that the program makes.

#include <cstdint>
#include <memory>
#include <mutex>
#include <tuple>
#include <utility>

#include "src/gpu/cuda/backend.hpp"

namespace isthmus::cuda {

LaneBackend::UsedPool LaneBackend::use_pool(Id id, std::uint64_t device_number) {
  UsedPool used{.stays = std::shared_lock(pool_use_)};
  if (id != 0) {
    if (const auto pool = pools_.find(id); pool != nullptr) {
      used.handle = pool->handle;
    }
    return used;
  }
  const auto on = device(device_number);
  used.code = on ? driver_->cuDeviceGetDefaultMemPool(&used.handle, *on) : CUDA_ERROR_INVALID_DEVICE;
  used.handle = used.code == CUDA_SUCCESS ? used.handle : nullptr;
  return used;
}

Answer<Nothing> LaneBackend::handle(const CreatePool::Request& request, marshal::Call& /*call*/) {
  const auto on = device(request.device);
  if (!on) {
    return refuse(CUDA_ERROR_INVALID_DEVICE);
  }
  if (!is_shareable_by(request.handles)) {
    return refuse(CUDA_ERROR_NOT_SUPPORTED);
  }
  CUmemPoolProps properties{};
  properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.handleTypes = static_cast<CUmemAllocationHandleType>(request.handles);
  properties.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = *on};
  properties.maxSize = request.largest;
  properties.usage = request.usage;
  auto made = std::make_shared<PoolObject>(PoolObject{.device = *on});
  if (const CUresult code = driver_->cuMemPoolCreate(&made->handle, &properties); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  if (!pools_.add(request.id, made)) {
    std::ignore = driver_->cuMemPoolDestroy(made->handle);
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  return Nothing{};
}

CUresult LaneBackend::destroy_pool(Id id) {
  const std::scoped_lock alone(pool_use_);
  const auto gone = pools_.take(id);
  if (gone == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (!account_.has_limit()) {
    return driver_->cuMemPoolDestroy(gone->handle);
  }
  // What it holds counts, until it holds nothing.
  std::uint64_t keep = 0;
  std::ignore = driver_->cuMemPoolSetAttribute(gone->handle, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep);
  std::ignore = driver_->cuMemPoolTrimTo(gone->handle, 0);
  account_.retire(gone->handle,
                  [driver = driver_, handle = gone->handle] { std::ignore = driver->cuMemPoolDestroy(handle); });
  return CUDA_SUCCESS;
}

CUresult LaneBackend::ask_pool(const Question& asked, std::uint64_t& value) {
  const UsedPool pool = use_pool(asked.object, asked.detail[0]);
  if (pool.handle == nullptr) {
    return pool.code;
  }
  if (asked.subject == Subject::pool_attribute) {
    // Of 32 or 64 bits, by attribute: both fit.
    return driver_->cuMemPoolGetAttribute(pool.handle, static_cast<CUmemPool_attribute>(asked.parameter), &value);
  }
  const auto peer = device(asked.detail[1]);
  if (!peer) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  CUmemLocation location{.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = *peer};
  CUmemAccess_flags flags{};
  const CUresult code = driver_->cuMemPoolGetAccess(&flags, pool.handle, &location);
  value = flags;
  return code;
}

CUresult LaneBackend::set_pool(const Question& asked, std::uint64_t value) {
  const UsedPool pool = use_pool(asked.object, asked.detail[0]);
  if (pool.handle == nullptr) {
    return pool.code;
  }
  switch (asked.subject) {
    case Subject::pool_trim:
      return driver_->cuMemPoolTrimTo(pool.handle, value);
    case Subject::pool_attribute:
      return driver_->cuMemPoolSetAttribute(pool.handle, static_cast<CUmemPool_attribute>(asked.parameter), &value);
    default:
      break;
  }
  const auto peer = device(asked.detail[1]);
  if (!peer) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const CUmemAccessDesc access{.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = *peer},
                               .flags = static_cast<CUmemAccess_flags>(value)};
  return driver_->cuMemPoolSetAccess(pool.handle, &access, 1);
}

}  // namespace isthmus::cuda
