// SPDX-License-Identifier: Apache-2.0
// Variables that are declared __managed__: the driver's memory, which this process reads and writes for its client.
#include <cstring>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <vector>

#include "src/gpu/cuda/backend.hpp"

namespace isthmus::cuda {
namespace {

constexpr std::uint64_t most_bytes_at_once = 32 * 1024;

// So many bytes of a variable, while `lock` is held; nothing where they do not lie in one.
std::optional<std::span<std::byte>> managed_bytes(const ModuleObject& owner, std::uint64_t address,
                                                  std::uint64_t size) {
  const auto variable = owner.managed.find(address);
  if (!variable || !variable->holds(address, size)) {
    return std::nullopt;
  }
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the driver's address
  return std::span(reinterpret_cast<std::byte*>(address), size);
}

}  // namespace

Answer<FindGlobal::Reply> LaneBackend::find_managed(Id context, ModuleObject& library, const std::string& name) {
  // Else a processor must not touch what a device may be using.
  int is_concurrent = 0;
  if (const auto on = device_of(context);
      !on ||
      driver_->cuDeviceGetAttribute(&is_concurrent, CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, *on) !=
          CUDA_SUCCESS ||
      is_concurrent == 0 || library.library == nullptr) {
    return refuse(library.library == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_NOT_SUPPORTED);
  }
  CUdeviceptr address = 0;
  std::size_t size = 0;
  // What the driver says is read and written here: it must not become untrue before it is noted.
  const std::shared_lock stays(managed_stays_);
  const std::scoped_lock lock(library.managed_mutex);
  if (library.unloading) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  if (const CUresult code = driver_->cuLibraryGetManaged(&address, &size, library.library, name.c_str());
      code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const auto owner = contexts_.find(context);
  memory_.add(address, size, owner != nullptr ? owner->handle : nullptr);
  library.managed.add(address, size, {});
  return FindGlobal::Reply{.address = address, .size = size};
}

Answer<Nothing> LaneBackend::handle(const ReadManaged::Request& request, marshal::Call& call) {
  thread_local std::vector<std::byte> read;  // valid until the reply is written, after this has returned
  const auto owner = find_module(request.owner);
  if (owner == nullptr || request.size > most_bytes_at_once) {
    return refuse(owner == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_INVALID_VALUE);
  }
  const std::scoped_lock lock(owner->managed_mutex);
  const auto bytes = managed_bytes(*owner, request.address, request.size);
  if (!bytes) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  read.assign(bytes->begin(), bytes->end());
  call.reply_trailing(read);
  return Nothing{};
}

Answer<Nothing> LaneBackend::handle(const WriteManaged::Request& request, marshal::Call& call) {
  const auto owner = find_module(request.owner);
  if (owner == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  const auto from = call.trailing();
  const std::scoped_lock lock(owner->managed_mutex);
  const auto bytes = managed_bytes(*owner, request.address, from.size());
  if (!bytes || from.empty()) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  std::memcpy(bytes->data(), from.data(), from.size());
  return Nothing{};
}

}  // namespace isthmus::cuda
