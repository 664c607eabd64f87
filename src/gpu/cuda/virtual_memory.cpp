// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/cuda/virtual_memory.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <vector>

#include "src/gpu/cuda/backend.hpp"
#include "src/gpu/cuda/trailing.hpp"

namespace isthmus::cuda {
namespace {

// Names in the account that are no addresses: device addresses have 57 bits at most.
constexpr std::uint64_t no_address = std::uint64_t{1} << 63;

}  // namespace

VirtualMemory::Mappings::const_iterator VirtualMemory::mapping_at(std::uint64_t address) const {
  const auto after = mappings_.upper_bound(address);
  if (after == mappings_.begin()) {
    return mappings_.end();
  }
  const auto found = std::prev(after);
  return address - found->first < found->second.bytes ? found : mappings_.end();
}

bool VirtualMemory::is_reserved(std::uint64_t address, std::uint64_t bytes) const {
  const auto reservation = reservations_.find(address);
  return reservation && reservation->holds(address, bytes);
}

bool VirtualMemory::is_mapped_whole(std::uint64_t address, std::uint64_t bytes) const {
  auto next = mappings_.find(address);
  std::uint64_t left = bytes;
  while (left != 0 && next != mappings_.end() && next->first == address + (bytes - left) &&
         next->second.bytes <= left) {
    left -= next->second.bytes;
    ++next;
  }
  return bytes != 0 && left == 0;
}

void VirtualMemory::let_go(std::uint64_t physical) {
  const auto found = physicals_.find(physical);
  if (found == physicals_.end() || found->second.named || found->second.mapped != 0) {
    return;
  }
  const Physical& gone = found->second;
  std::ignore = account_->settle(gone.key, [&] { return driver_->cuMemRelease(gone.handle); });
  physicals_.erase(found);
}

CUresult VirtualMemory::reserve(std::uint64_t bytes, std::uint64_t alignment, std::uint64_t wanted,
                                std::uint64_t& address) {
  const std::scoped_lock lock(mutex_);
  CUdeviceptr made = 0;
  const CUresult code = driver_->cuMemAddressReserve(&made, bytes, alignment, wanted, 0);
  if (code == CUDA_SUCCESS) {
    reservations_.add(made, bytes, {});
    address = made;
  }
  return code;
}

CUresult VirtualMemory::free(std::uint64_t address, std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  const auto found = reservations_.find(address);
  if (!found || found->base != address || found->size != bytes) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (const auto mapped = mappings_.lower_bound(address);
      mapped != mappings_.end() && mapped->first - address < bytes) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const CUresult code = driver_->cuMemAddressFree(address, bytes);
  if (code == CUDA_SUCCESS) {
    reservations_.remove(address);
  }
  return code;
}

CUresult VirtualMemory::create(Id id, std::uint64_t bytes, CUmemAllocationProp& properties) {
  return keep(id, bytes, properties, [&](CUmemGenericAllocationHandle& handle) {
    return driver_->cuMemCreate(&handle, bytes, &properties, 0);
  });
}

CUresult VirtualMemory::open(Id id, std::uint64_t bytes, int descriptor, CUmemAllocationProp& properties) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): so the interface takes descriptors
  void* const shared = reinterpret_cast<void*>(static_cast<std::uintptr_t>(descriptor));
  return keep(id, bytes, properties, [&](CUmemGenericAllocationHandle& handle) {
    return driver_->cuMemImportFromShareableHandle(&handle, shared, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  });
}

CUresult VirtualMemory::share(Id id, int& descriptor, std::uint64_t& bytes) const {
  const std::scoped_lock lock(mutex_);
  const auto named = names_.find(id);
  if (named == names_.end()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const Physical& memory = physicals_.at(named->second);
  bytes = memory.bytes;
  return driver_->cuMemExportToShareableHandle(&descriptor, memory.handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
}

CUresult VirtualMemory::keep(Id id, std::uint64_t bytes, CUmemAllocationProp& properties,
                             const std::function<CUresult(CUmemGenericAllocationHandle&)>& make) {
  const std::scoped_lock lock(mutex_);
  if (id == 0 || names_.contains(id)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const std::uint64_t number = ++last_;
  Physical made{.bytes = bytes, .key = no_address | number};
  const CUresult code = account_->spend(bytes, nullptr, [&] { return make(made.handle); }, [&] { return made.key; });
  if (code == CUDA_SUCCESS) {
    std::ignore = driver_->cuMemGetAllocationPropertiesFromHandle(&properties, made.handle);
    physicals_.emplace(number, made);
    names_.emplace(id, number);
  }
  return code;
}

CUresult VirtualMemory::release(Id id) {
  const std::scoped_lock lock(mutex_);
  const auto named = names_.find(id);
  if (named == names_.end()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const std::uint64_t number = named->second;
  names_.erase(named);
  physicals_.at(number).named = false;
  let_go(number);
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::map(std::uint64_t address, std::uint64_t bytes, std::uint64_t offset, Id id) {
  const std::scoped_lock lock(mutex_);
  const auto named = names_.find(id);
  if (named == names_.end() || bytes == 0 || !is_reserved(address, bytes)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  Physical& memory = physicals_.at(named->second);
  const auto next = mappings_.lower_bound(address);
  const bool is_free =
      mapping_at(address) == mappings_.end() && (next == mappings_.end() || next->first - address >= bytes);
  if (!is_free) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (offset > memory.bytes || bytes > memory.bytes - offset) {
    return CUDA_ERROR_NOT_SUPPORTED;  // as the driver says
  }
  const CUresult code = driver_->cuMemMap(address, bytes, offset, memory.handle, 0);
  if (code == CUDA_SUCCESS) {
    mappings_.emplace(address, Mapping{.bytes = bytes, .physical = named->second});
    ++memory.mapped;
  }
  return code;
}

CUresult VirtualMemory::unmap(std::uint64_t address, std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  const auto before = mapping_at(address);
  const auto last = bytes != 0 ? mapping_at(address + (bytes - 1)) : mappings_.end();
  if (bytes == 0 || !is_reserved(address, bytes) || (before != mappings_.end() && before->first != address) ||
      (last != mappings_.end() && last->second.bytes > bytes - (last->first - address))) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  CUresult code = CUDA_SUCCESS;
  for (auto gone = mappings_.lower_bound(address);
       gone != mappings_.end() && gone->first - address < bytes && code == CUDA_SUCCESS;) {
    code = driver_->cuMemUnmap(gone->first, gone->second.bytes);
    if (code == CUDA_SUCCESS) {
      const std::uint64_t physical = gone->second.physical;
      gone = mappings_.erase(gone);
      --physicals_.at(physical).mapped;
      let_go(physical);
    }
  }
  return code;
}

CUresult VirtualMemory::set_access(std::uint64_t address, std::uint64_t bytes,
                                   std::span<const CUmemAccessDesc> access) {
  const std::scoped_lock lock(mutex_);
  if (!is_mapped_whole(address, bytes)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const CUresult code = driver_->cuMemSetAccess(address, bytes, access.data(), access.size());
  if (code != CUDA_SUCCESS) {
    return code;
  }
  const bool gives =
      std::ranges::any_of(access, [](const auto& one) { return one.flags != CU_MEM_ACCESS_FLAGS_PROT_NONE; });
  for (auto mapping = mappings_.find(address); mapping != mappings_.end() && mapping->first - address < bytes;
       ++mapping) {
    mapping->second.usable = mapping->second.usable || gives;  // what is taken away the driver knows
  }
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::access_at(std::uint64_t address, CUdevice device, std::uint64_t& flags) const {
  const std::scoped_lock lock(mutex_);
  if (mapping_at(address) == mappings_.end()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const CUmemLocation location{.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device};
  unsigned long long found = 0;
  const CUresult code = driver_->cuMemGetAccess(&found, &location, address);
  flags = found;
  return code;
}

std::optional<bool> VirtualMemory::is_usable(std::uint64_t address, std::uint64_t bytes) const {
  const std::scoped_lock lock(mutex_);
  if (!is_reserved(address, 1)) {
    return std::nullopt;
  }
  std::uint64_t left = bytes;
  auto mapping = mapping_at(address);
  while (mapping != mappings_.end() && mapping->second.usable) {
    const std::uint64_t here = mapping->second.bytes - (address - mapping->first);
    if (left <= here) {
      return true;
    }
    left -= here;
    address += here;
    mapping = mappings_.find(address);
  }
  return false;
}

// ---- messages ------------------------------------------------------------------------------------------------------

Answer<ReserveAddresses::Reply> LaneBackend::handle(const ReserveAddresses::Request& request, marshal::Call& /*call*/) {
  ReserveAddresses::Reply reply;
  const CUresult code = virtual_.reserve(request.size, request.alignment, request.wanted, reply.address);
  return code == CUDA_SUCCESS ? Answer<ReserveAddresses::Reply>(reply) : refuse(code);
}

Answer<Nothing> LaneBackend::handle(const FreeAddresses::Request& request, marshal::Call& /*call*/) {
  return answer(virtual_.free(request.address, request.size));
}

Answer<CreateMemory::Reply> LaneBackend::handle(const CreateMemory::Request& request, marshal::Call& /*call*/) {
  const auto on = device(request.device);
  if (!on) {
    return refuse(CUDA_ERROR_INVALID_DEVICE);
  }
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = *on};
  properties.requestedHandleTypes = static_cast<CUmemAllocationHandleType>(request.handles);
  properties.allocFlags.compressionType = static_cast<unsigned char>(request.compression);
  if (!is_shareable_by(request.handles)) {
    return refuse(CUDA_ERROR_NOT_SUPPORTED);
  }
  const CUresult code = virtual_.create(request.id, request.size, properties);
  return code == CUDA_SUCCESS ? Answer<CreateMemory::Reply>({.compression = properties.allocFlags.compressionType})
                              : refuse(code);
}

Answer<Nothing> LaneBackend::handle(const MapMemory::Request& request, marshal::Call& /*call*/) {
  return answer(virtual_.map(request.address, request.size, request.offset, request.memory));
}

Answer<Nothing> LaneBackend::handle(const UnmapMemory::Request& request, marshal::Call& /*call*/) {
  return answer(virtual_.unmap(request.address, request.size));
}

Answer<Nothing> LaneBackend::handle(const SetMemoryAccess::Request& request, marshal::Call& call) {
  auto rest = call.trailing();
  if (request.rows == 0 || rest.size() != request.rows * sizeof(AccessRow)) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  std::vector<CUmemAccessDesc> access;
  while (const auto row = take_request<AccessRow>(rest)) {
    const auto on = device(row->device);
    if (!on || !is_access(row->flags)) {
      return refuse(on ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_DEVICE);
    }
    access.push_back({.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = *on},
                      .flags = static_cast<CUmemAccess_flags>(row->flags)});
  }
  return answer(virtual_.set_access(request.address, request.size, access));
}

}  // namespace isthmus::cuda
