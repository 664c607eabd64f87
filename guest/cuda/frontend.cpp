// SPDX-License-Identifier: Apache-2.0
#include "guest/cuda/frontend.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "src/transport/process_mark.hpp"

namespace isthmus::cuda {
namespace {

std::atomic<Frontend*> the_frontend{nullptr};

// Of the process that called cuInit. Written before the_frontend is.
std::optional<ProcessMark>& owner_mark() {
  static std::optional<ProcessMark> mark;
  return mark;
}

struct Adapted {
  CUdevice_attribute attribute;
  int value;
};
// What this library does not do, whatever the device can (docs/cuda.md lists it, too).
constexpr Adapted adapted_attributes[] = {
    {CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 1},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, 1},
    {CU_DEVICE_ATTRIBUTE_DIRECT_MANAGED_MEM_ACCESS_FROM_HOST, 0},
    {CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS, 0},
    {CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES, 0},
    {CU_DEVICE_ATTRIBUTE_HOST_NATIVE_ATOMIC_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 0},
    {CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_MEM_OPS_V1, 0},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS_V1, 0},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR_V1, 0},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS, 0},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR, 0},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_FABRIC_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_SPARSE_CUDA_ARRAY_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_DEFERRED_MAPPING_CUDA_ARRAY_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_TIMELINE_SEMAPHORE_INTEROP_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_MULTICAST_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_MEMORY_POOLS_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_HOST_MEMORY_POOLS_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_HOST_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_HOST_ALLOC_DMA_BUF_SUPPORTED, 0},
};

// How much device memory each context may keep unused, in bytes: ISTHMUS_CUDA_POOL, in MiB.
std::uint64_t unused_at_most() {
  constexpr std::uint64_t usual = 64;
  constexpr std::uint64_t most = std::uint64_t{1} << 20;
  const char* const text = std::getenv("ISTHMUS_CUDA_POOL");
  std::uint64_t mebibytes = usual;
  if (text != nullptr) {
    const char* const end = text + std::strlen(text);
    const auto [stop, error] = std::from_chars(text, end, mebibytes);
    mebibytes = error == std::errc{} && stop == end ? std::min(mebibytes, most) : usual;
  }
  return mebibytes << 20U;
}

}  // namespace

Frontend::Frontend(std::unique_ptr<Connection> connection) : lane(std::move(connection)), pool(unused_at_most()) {}

std::optional<int> Device::attribute(CUdevice_attribute which) const {
  for (const Adapted& adapted : adapted_attributes) {
    if (adapted.attribute == which) {
      return adapted.value;
    }
  }
  const auto index = static_cast<std::size_t>(which);
  if (index == 0 || index >= about.attributes.size() || about.attributes.at(index) == no_attribute) {
    return std::nullopt;
  }
  if (which == CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES) {
    return about.attributes.at(index) & CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  }
  return about.attributes.at(index);
}

Frontend* Frontend::get() noexcept {
  Frontend* const frontend = the_frontend.load(std::memory_order_acquire);
  return frontend != nullptr && owner_mark()->is_this_process() ? frontend : nullptr;
}

CUresult Frontend::init() {
  static std::mutex mutex;
  if (the_frontend.load(std::memory_order_acquire) != nullptr) {
    return get() != nullptr ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;  // as a driver after fork
  }
  const std::scoped_lock lock(mutex);
  if (the_frontend.load(std::memory_order_acquire) != nullptr) {
    return CUDA_SUCCESS;
  }
  auto connection = Connection::open();
  if (!connection) {
    return connection.error();
  }
  auto* const frontend = new Frontend(std::move(*connection));
  if (!frontend->find_devices()) {
    return CUDA_ERROR_NO_DEVICE;  // the object stays: its upcall thread may be at work in it
  }
  owner_mark() = ProcessMark::current();
  the_frontend.store(frontend, std::memory_order_release);
  return CUDA_SUCCESS;
}

Result<void> Frontend::find_devices() {
  constexpr std::uint32_t most = 64;
  for (std::uint32_t i = 0; i < std::min(lane->host().devices, most); ++i) {
    const auto about = lane->call<DescribeDevice>({.device = i});
    if (!about) {
      return fail(Errc::unsupported, "a device cannot be described");
    }
    devices.push_back(std::make_unique<Device>());
    devices.back()->about = about->reply;
    devices.back()->about.name.back() = '\0';
  }
  return {};
}

Expected<const ContextRecord*> Frontend::context(Id id) const {
  const ContextRecord* const record = contexts.find(id);
  if (record == nullptr) {
    return std::unexpected(CUDA_ERROR_INVALID_CONTEXT);
  }
  if (record->primary && !devices.at(record->device)->active.load(std::memory_order_acquire)) {
    return std::unexpected(CUDA_ERROR_CONTEXT_IS_DESTROYED);
  }
  return record;
}

Knowledge Frontend::knowledge_of(CUdeviceptr at, std::uint64_t bytes) const {
  auto range = memory.find(at);
  if (!range) {
    // The host knows all of a pool's chunk; what of it is free is nobody's.
    return pool.holds(at) || reserved.find(at) ? Knowledge::outside : Knowledge::nothing;
  }
  bool is_asked = false;
  while (!range->holds(at, bytes)) {
    // Mapped memory may go on in the next mapping.
    const std::uint64_t here = range->base + range->size - at;
    const auto next = memory.find(at + here);
    if (range->value.physical == 0 || range->value.access == Access::none || !next || next->base != at + here ||
        next->value.physical == 0) {
      return Knowledge::outside;
    }
    is_asked = is_asked || range->value.access == Access::asked;
    bytes -= here;
    at += here;
    range = next;
  }
  return range->value.access == Access::none                ? Knowledge::outside
         : is_asked || range->value.access == Access::asked ? Knowledge::nothing
                                                            : Knowledge::inside;
}

bool Frontend::is_on_device(CUdeviceptr at) const {
  const auto range = memory.find(at);
  return range ? lies_on_device(range->value.kind) : reserved.find(at).has_value();
}

void Frontend::forget_context(Id id) {
  const auto is_of_it = [id](const auto& record) { return record.context == id; };
  captures.forget_context(id);
  streams.remove_if(is_of_it);
  events.remove_if(is_of_it);
  modules.remove_if(is_of_it);
  links.remove_if(is_of_it);
  lane->managed().forget(0);  // the driver may place them elsewhere
  functions.remove_if(is_of_it);
  arrays.remove_if(is_of_it);
  {
    const std::scoped_lock textures_lock(textures_mutex);
    const auto is_texture_of_it = [id](const auto& entry) { return entry.second.context == id; };
    std::erase_if(textures, is_texture_of_it);
    std::erase_if(surfaces, is_texture_of_it);
  }
  pool.forget(id);
  std::vector<std::uint64_t> gone;
  memory.remove_if([&](const Memory::Range& range) {
    const bool is_its = lies_on_device(range.value.kind) && range.value.context == id;
    if (is_its) {
      gone.push_back(range.base);
    }
    return is_its;
  });
  for (const std::uint64_t address : gone) {
    unshare_memory(address);
  }
  const std::scoped_lock lock(sharing_mutex);
  for (const std::uint64_t address : gone) {
    opened.erase(address);
  }
}

void Frontend::free_slab_of(Id id) {
  std::vector<std::uint64_t> gone;
  memory.remove_if([&](const Memory::Range& range) {
    const bool is_its = (range.value.kind == MemoryKind::pinned || range.value.kind == MemoryKind::managed) &&
                        range.value.context == id;
    if (is_its) {
      gone.push_back(range.base);
    }
    return is_its;
  });
  {
    const std::scoped_lock lock(pinned_mutex);
    for (const std::uint64_t address : gone) {
      pinned.erase(address);
    }
  }
  const std::scoped_lock lock(arenas_mutex_);
  arenas_.clear();
}

CUresult Frontend::use_slab(Id context, const Frame& frame) {
  const std::uint64_t first = frame.reference().offset() / arena_size;
  const std::uint64_t last = (frame.reference().offset() + frame.size() - 1) / arena_size;
  const std::scoped_lock lock(arenas_mutex_);
  if (arenas_.size() <= last) {
    arenas_.resize(last + 1);
  }
  bool all = true;
  for (std::uint64_t i = first; i <= last; ++i) {
    all = all && arenas_[i];
  }
  if (all) {
    return CUDA_SUCCESS;
  }
  const CUresult code = lane->tell<UseSlab>({.context = context, .memory = frame.reference()});
  for (std::uint64_t i = first; code == CUDA_SUCCESS && i <= last; ++i) {
    arenas_[i] = true;
  }
  return code;
}

Expected<Place> place_of(const Here& here, CUstream stream, Id implied) {
  const Id id = stream == nullptr ? implied : reinterpret_cast<std::uintptr_t>(stream);
  if (id == legacy_stream || id == per_thread_stream) {
    return Place{.context = here.context, .stream = id};
  }
  const StreamRecord* const record = here.cuda.streams.find(id);
  if (record == nullptr) {
    return std::unexpected(CUDA_ERROR_INVALID_HANDLE);
  }
  return Place{.context = record->context, .stream = id};
}

}  // namespace isthmus::cuda
