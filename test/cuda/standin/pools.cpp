// SPDX-License-Identifier: Apache-2.0
// Entry points of memory pools: memory that comes and goes in a stream's order.
#include <cuda.h>

#include <cstring>

#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/graph_memory.hpp"
#include "test/cuda/standin/pool.hpp"
#include "test/cuda/standin/settings.hpp"

namespace isthmus::standin {
namespace {

CUmemoryPool default_pool(CUdevice device) {
  require_device(device);
  auto& primary = driver().primaries.at(static_cast<std::size_t>(device));
  const std::scoped_lock lock(primary.mutex);
  if (primary.default_pool == nullptr) {
    primary.default_pool = primary.pool = driver().pools.add(std::make_shared<Pool>(device));
  }
  return primary.default_pool;
}

CUmemoryPool pool_in_use(CUdevice device) {
  default_pool(device);
  auto& primary = driver().primaries.at(static_cast<std::size_t>(device));
  const std::scoped_lock lock(primary.mutex);
  return primary.pool;
}

void allocate(Context& context, CUdeviceptr* address, std::size_t size, CUmemoryPool handle, CUstream stream) {
  auto& to = out(address);
  const auto pool = driver().pools.get(handle, CUDA_ERROR_INVALID_VALUE);
  require(!pool->imported, CUDA_ERROR_INVALID_VALUE, "nothing is allocated from another process's pool");
  const auto in = context.stream(stream);
  if (captured(*in)) {
    submit(context, *in, graph_allocation(context, size, to));
    return;
  }
  const Block block = driver().memory.allocate(Block::Kind::pooled, size, context);
  to = block.start;
  const std::scoped_lock lock(pool->mutex);
  pool->used += size;
  pool->reserved += size;
  pool->most_used = std::max(pool->most_used, pool->used);
  pool->of_address[to] = size;
}

// The pool that the address is of; it is no longer.
void count_out(CUdeviceptr address) {
  driver().pools.each([address](Pool& pool) {
    const std::scoped_lock lock(pool.mutex);
    if (const auto found = pool.of_address.find(address); found != pool.of_address.end()) {
      pool.used -= found->second;
      pool.leaving.insert(*found);
      pool.of_address.erase(found);
    }
  });
}
void let_go(CUdeviceptr address) {
  driver().pools.each([address](Pool& pool) {
    const std::scoped_lock lock(pool.mutex);
    if (const auto found = pool.leaving.find(address); found != pool.leaving.end()) {
      pool.reserved -= found->second;
      pool.leaving.erase(found);
    }
  });
}

// An int or a cuuint64_t, by attribute; fails for what cannot be set.
template <class F>
void with_attribute(Pool& pool, CUmemPool_attribute attribute, bool set, F&& use) {
  const std::scoped_lock lock(pool.mutex);
  switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
      use(&pool.reuse[attribute], sizeof(int));
      return;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
      use(&pool.threshold, sizeof pool.threshold);
      return;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
      use(&pool.most_used, sizeof pool.most_used);
      return;
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
      require(!set, CUDA_ERROR_INVALID_VALUE, "an attribute that cannot be set");
      use(attribute == CU_MEMPOOL_ATTR_USED_MEM_CURRENT ? &pool.used : &pool.reserved, sizeof pool.used);
      return;
    default:
      fail(CUDA_ERROR_INVALID_VALUE, "an attribute of pools");
  }
}

}  // namespace
}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device) {
  return initialised(__func__, [&] { out(pool) = default_pool(device); });
}

CUresult cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice device) {
  return initialised(__func__, [&] { out(pool) = pool_in_use(device); });
}

CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool) {
  return initialised(__func__, [&] {
    default_pool(device);
    require(driver().pools.get(pool, CUDA_ERROR_INVALID_VALUE)->device == device, CUDA_ERROR_INVALID_VALUE);
    auto& primary = driver().primaries.at(static_cast<std::size_t>(device));
    const std::scoped_lock lock(primary.mutex);
    primary.pool = pool;
  });
}

CUresult cuMemPoolCreate(CUmemoryPool* pool, const CUmemPoolProps* properties) {
  return initialised(__func__, [&] {
    auto& to = out(pool);
    require(properties != nullptr && properties->allocType == CU_MEM_ALLOCATION_TYPE_PINNED &&
                properties->location.type == CU_MEM_LOCATION_TYPE_DEVICE,
            CUDA_ERROR_INVALID_VALUE);
    require((properties->handleTypes & ~CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) == 0, CUDA_ERROR_NOT_SUPPORTED);
    require(properties->location.id >= 0 && properties->location.id < settings().devices, CUDA_ERROR_INVALID_VALUE);
    auto made = std::make_shared<Pool>(properties->location.id);
    made->shareable = properties->handleTypes != CU_MEM_HANDLE_TYPE_NONE;
    to = driver().pools.add(std::move(made));
  });
}

CUresult cuMemPoolDestroy(CUmemoryPool pool) {
  return initialised(__func__, [&] {
    const auto found = driver().pools.get(pool, CUDA_ERROR_INVALID_VALUE);
    require(default_pool(found->device) != pool, CUDA_ERROR_INVALID_VALUE, "the default pool");
    driver().pools.take(pool);
    auto& primary = driver().primaries.at(static_cast<std::size_t>(found->device));
    const std::scoped_lock lock(primary.mutex);
    primary.pool = primary.pool == pool ? primary.default_pool : primary.pool;
  });
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t /*keep*/) {
  return initialised(__func__, [&] { driver().pools.get(pool, CUDA_ERROR_INVALID_VALUE); });
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  return initialised(__func__, [&] {
    require(value != nullptr, CUDA_ERROR_INVALID_VALUE);
    with_attribute(*driver().pools.get(pool, CUDA_ERROR_INVALID_VALUE), attribute, true,
                   [value](void* mine, std::size_t size) { std::memcpy(mine, value, size); });
  });
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  return initialised(__func__, [&] {
    require(value != nullptr, CUDA_ERROR_INVALID_VALUE);
    with_attribute(*driver().pools.get(pool, CUDA_ERROR_INVALID_VALUE), attribute, false,
                   [value](void* mine, std::size_t size) { std::memcpy(value, mine, size); });
  });
}

CUresult cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc* access, size_t count) {
  return initialised(__func__, [&] {
    const auto found = driver().pools.get(pool, CUDA_ERROR_INVALID_VALUE);
    require(access != nullptr, CUDA_ERROR_INVALID_VALUE);
    const std::scoped_lock lock(found->mutex);
    for (size_t i = 0; i < count; ++i) {
      const CUmemAccessDesc& one = access[i];
      require(one.location.type == CU_MEM_LOCATION_TYPE_DEVICE, CUDA_ERROR_INVALID_VALUE);
      require_device(one.location.id);
      require(one.location.id != found->device || one.flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
              CUDA_ERROR_INVALID_DEVICE, "a pool's own device");
      found->access[one.location.id] = one.flags;
    }
  });
}

CUresult cuMemPoolGetAccess(CUmemAccess_flags* flags, CUmemoryPool pool, CUmemLocation* location) {
  return initialised(__func__, [&] {
    const auto found = driver().pools.get(pool, CUDA_ERROR_INVALID_VALUE);
    require(location != nullptr && location->type == CU_MEM_LOCATION_TYPE_DEVICE, CUDA_ERROR_INVALID_VALUE);
    require(location->id >= 0 && location->id < settings().devices, CUDA_ERROR_INVALID_VALUE);
    const std::scoped_lock lock(found->mutex);
    const auto given = found->access.find(location->id);
    out(flags) = location->id == found->device  ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE
                 : given == found->access.end() ? CU_MEM_ACCESS_FLAGS_PROT_NONE
                                                : given->second;
  });
}

CUresult cuMemAllocAsync(CUdeviceptr* address, size_t size, CUstream stream) {
  return in_context(__func__,
                    [&](Context& context) { allocate(context, address, size, pool_in_use(context.device), stream); });
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr* address, size_t size, CUmemoryPool pool, CUstream stream) {
  return in_context(__func__, [&](Context& context) { allocate(context, address, size, pool, stream); });
}

CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
  return in_context(__func__, [&](Context& context) {
    const auto in = context.stream(stream);
    if (is_graph_memory(address)) {
      submit(context, *in, graph_free(address));
      return;
    }
    driver().memory.free_later(address);
    count_out(address);
    context.enqueue(*in, [address] {
      driver().memory.free(address, {Block::Kind::pooled, Block::Kind::device, Block::Kind::opened},
                           CUDA_ERROR_INVALID_VALUE);
      let_go(address);
    });
  });
}
