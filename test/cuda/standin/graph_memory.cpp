// SPDX-License-Identifier: Apache-2.0
// Memory that graphs allocate and free.
#include "test/cuda/standin/graph_memory.hpp"

#include <algorithm>
#include <map>
#include <mutex>

#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"

namespace isthmus::standin {
namespace {

struct GraphMemory {
  std::mutex mutex;
  std::map<CUdeviceptr, std::size_t> sizes;
  std::map<CUdeviceptr, std::size_t> there;  // allocated just now
  cuuint64_t most_used = 0;
  cuuint64_t reserved = 0;
  cuuint64_t most_reserved = 0;

  [[nodiscard]] cuuint64_t used() const {
    cuuint64_t sum = 0;
    for (const auto& [address, size] : there) {
      sum += size;
    }
    return sum;
  }
};

GraphMemory& graph_memory() {
  static GraphMemory& all = *new GraphMemory;
  return all;
}

}  // namespace

Operation graph_allocation(Context& context, std::size_t size, CUdeviceptr& address) {
  address = driver().memory.allocate(Block::Kind::pooled, size, context).start;
  GraphMemory& all = graph_memory();
  const std::scoped_lock lock(all.mutex);
  all.sizes[address] = size;
  return {.type = CU_GRAPH_NODE_TYPE_MEM_ALLOC, .work = [address, size, &all] {
            const std::scoped_lock when_it_runs(all.mutex);
            require(all.there.emplace(address, size).second, CUDA_ERROR_INVALID_VALUE, "allocated, and not freed yet");
            all.most_used = std::max(all.most_used, all.used());
            all.reserved = std::max(all.reserved, all.used());
            all.most_reserved = std::max(all.most_reserved, all.reserved);
          }};
}

Operation graph_free(CUdeviceptr address) {
  GraphMemory& all = graph_memory();
  const std::scoped_lock lock(all.mutex);
  require(all.sizes.contains(address), CUDA_ERROR_INVALID_VALUE, "no memory of a graph");
  return {.type = CU_GRAPH_NODE_TYPE_MEM_FREE, .work = [address, &all] {
            const std::scoped_lock when_it_runs(all.mutex);
            require(all.there.erase(address) != 0, CUDA_ERROR_INVALID_VALUE, "freed, and not allocated");
          }};
}

bool is_graph_memory(CUdeviceptr address) {
  GraphMemory& all = graph_memory();
  const std::scoped_lock lock(all.mutex);
  return all.sizes.contains(address);
}

}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuDeviceGetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute, void* value) {
  return initialised(__func__, [&] {
    require_device(device);
    require(value != nullptr && attribute <= CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH, CUDA_ERROR_INVALID_VALUE);
    GraphMemory& all = graph_memory();
    const std::scoped_lock lock(all.mutex);
    *static_cast<cuuint64_t*>(value) = attribute == CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT       ? all.used()
                                       : attribute == CU_GRAPH_MEM_ATTR_USED_MEM_HIGH        ? all.most_used
                                       : attribute == CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT ? all.reserved
                                                                                             : all.most_reserved;
  });
}

CUresult cuDeviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute, void* value) {
  return initialised(__func__, [&] {
    require_device(device);
    const bool high = attribute == CU_GRAPH_MEM_ATTR_USED_MEM_HIGH || attribute == CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH;
    require(value != nullptr && high && *static_cast<cuuint64_t*>(value) == 0, CUDA_ERROR_INVALID_VALUE);
    GraphMemory& all = graph_memory();
    const std::scoped_lock lock(all.mutex);
    (attribute == CU_GRAPH_MEM_ATTR_USED_MEM_HIGH ? all.most_used : all.most_reserved) = 0;
  });
}

CUresult cuDeviceGraphMemTrim(CUdevice device) {
  return initialised(__func__, [&] {
    require_device(device);
    GraphMemory& all = graph_memory();
    const std::scoped_lock lock(all.mutex);
    all.reserved = all.used();
  });
}
