// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "src/gpu/cuda/backend.hpp"
#include "src/gpu/cuda/warmth.hpp"

namespace isthmus::cuda {

Answer<Hello::Reply> LaneBackend::handle(const Hello::Request& /*request*/, marshal::Call& /*call*/) {
  return Hello::Reply{.driver_version = static_cast<std::uint32_t>(driver_->version()),
                      .devices = static_cast<std::uint32_t>(driver_->devices()),
                      .window = reinterpret_cast<std::uintptr_t>(window_.data())};
}

std::optional<CUdevice> LaneBackend::device(std::uint64_t number) const {
  CUdevice found = 0;
  if (number >= static_cast<std::uint64_t>(driver_->devices()) ||
      driver_->cuDeviceGet(&found, static_cast<int>(number)) != CUDA_SUCCESS) {
    return std::nullopt;
  }
  return found;
}

std::optional<CUdevice> LaneBackend::device_of(Id context) const {
  const auto found = contexts_.find(context);
  return found == nullptr ? std::nullopt : std::optional(found->device);
}

Answer<DescribeDevice::Reply> LaneBackend::handle(const DescribeDevice::Request& request, marshal::Call& /*call*/) {
  const auto found = device(request.device);
  if (!found) {
    return refuse(CUDA_ERROR_INVALID_DEVICE);
  }
  DescribeDevice::Reply reply;
  std::size_t memory = 0;
  CUuuid uuid{};
  if (const CUresult code = driver_->cuDeviceTotalMem(&memory, *found); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  reply.memory = account_.limited(memory);
  if (driver_->cuDeviceGetUuid(&uuid, *found) == CUDA_SUCCESS) {
    std::copy_n(static_cast<const char*>(uuid.bytes), sizeof uuid.bytes, reply.uuid.begin());
  }
  std::ignore = driver_->cuDeviceGetName(reply.name.data(), static_cast<int>(reply.name.size()) - 1, *found);
  reply.attributes.fill(no_attribute);
  for (std::size_t i = 1; i < reply.attributes.size(); ++i) {
    int value = 0;
    if (driver_->cuDeviceGetAttribute(&value, static_cast<CUdevice_attribute>(i), *found) == CUDA_SUCCESS) {
      reply.attributes.at(i) = value;
    }
  }
  return reply;
}

Answer<ContextInfo> LaneBackend::keep_context(Id id, CUcontext handle, CUdevice device, bool primary) {
  auto object = std::make_shared<ContextObject>();
  object->handle = handle;
  object->device = device;
  object->primary = primary;
  if (!contexts_.add(id, std::move(object))) {
    return refuse(CUDA_ERROR_INVALID_CONTEXT);
  }
  if (const CUresult code = enter(id); code != CUDA_SUCCESS) {
    std::ignore = contexts_.take(id);
    return refuse(code);
  }
  ContextInfo info;
  unsigned long long number = 0;
  std::ignore = driver_->cuCtxGetApiVersion(handle, &info.api_version);
  std::ignore = driver_->cuCtxGetFlags(&info.flags);
  std::ignore = driver_->cuCtxGetStreamPriorityRange(&info.least_priority, &info.greatest_priority);
  std::ignore = driver_->cuCtxGetId(handle, &number);
  info.number = number;
  return info;
}

LaneBackend::Buried LaneBackend::bury_context(Id id) {
  if (enter(id) != CUDA_SUCCESS) {
    return {};
  }
  Buried buried{.context = contexts_.take(id), .arenas = {}, .managed_stays = {}};
  if (buried.context == nullptr) {
    return {};
  }
  buried.context->alive.store(false, std::memory_order_release);
  generation_.fetch_add(1, std::memory_order_acq_rel);
  const auto is_in_it = [&](const auto& object) { return object.context == buried.context; };
  captures_.forget_context(id);
  streams_.remove_if(is_in_it);
  events_.remove_if(is_in_it);
  functions_.remove_if(is_in_it);
  modules_.remove_if(is_in_it);
  links_.remove_if(is_in_it);
  // The driver may place them elsewhere now; until the context is gone, nobody asks where.
  buried.managed_stays = std::unique_lock(managed_stays_);
  modules_.each([](ModuleObject& module) { module.forget_managed(false); });
  executables_.remove_if(is_in_it);
  arrays_.remove_if(is_in_it);
  buried.arenas = slab_->forget(buried.context->handle);
  memory_.remove_if([&](const auto& range) { return range.value == buried.context->handle; });
  opened_.remove_if([&](const auto& range) { return range.value.context == buried.context->handle; });
  return buried;
}

void LaneBackend::restore(const std::vector<std::uint64_t>& arenas) {
  CUcontext other = nullptr;
  contexts_.each([&](const ContextObject& context) { other = context.handle; });
  if (arenas.empty() || other == nullptr || driver_->cuCtxSetCurrent(other) != CUDA_SUCCESS) {
    return;  // the next use registers them
  }
  generation_.fetch_add(1, std::memory_order_acq_rel);  // this thread's context is another one now
  slab_->restore(arenas, other);
}

bool LaneBackend::hold_primary(CUdevice device) {
  const std::scoped_lock lock(primaries_mutex_);
  return primaries_.insert(device).second;
}

void LaneBackend::let_go_of_primary(CUdevice device) {
  const std::scoped_lock lock(primaries_mutex_);
  primaries_.erase(device);
}

Answer<ContextInfo> LaneBackend::handle(const RetainPrimary::Request& request, marshal::Call& /*call*/) {
  const auto found = device(request.device);
  if (!found) {
    return refuse(CUDA_ERROR_INVALID_DEVICE);
  }
  if (!hold_primary(*found)) {
    return refuse(CUDA_ERROR_INVALID_CONTEXT);
  }
  CUcontext handle = nullptr;
  if (const auto made = Warmth::of_process().take(*found)) {
    handle = made->context;
    slab_->adopt(made->arenas, handle);
    account_.adopt_context(handle, made->counted);
  } else if (const CUresult code = account_.spend_for_context(
                 [&] { return driver_->cuDevicePrimaryCtxRetain(&handle, *found); }, [&] { return handle; });
             code != CUDA_SUCCESS) {
    let_go_of_primary(*found);
    return refuse(code);
  }
  auto kept = keep_context(request.id, handle, *found, true);
  if (!kept) {
    std::ignore = account_.forget(handle, [&] { return driver_->cuDevicePrimaryCtxRelease(*found); });
    let_go_of_primary(*found);
  }
  return kept;
}

Answer<Nothing> LaneBackend::handle(const ReleasePrimary::Request& request, marshal::Call& /*call*/) {
  const auto found = device(request.device);
  const auto known = contexts_.find(request.id);
  if (!found) {
    return refuse(CUDA_ERROR_INVALID_DEVICE);
  }
  if (known == nullptr || !known->primary || known->device != *found) {
    return refuse(CUDA_ERROR_INVALID_CONTEXT);
  }
  const Buried buried = bury_context(request.id);
  CUresult code = CUDA_ERROR_INVALID_CONTEXT;
  const auto reset = [&] { return driver_->cuDevicePrimaryCtxReset(*found); };
  const auto release = [&] { return driver_->cuDevicePrimaryCtxRelease(*found); };
  if (buried.context == nullptr) {
    code = request.reset != 0 ? reset() : code;
  } else {
    code = account_.forget(buried.context->handle, [&] {
      const CUresult done = request.reset != 0 ? reset() : CUDA_SUCCESS;
      // The retain that this lane holds goes with a reset, too.
      const CUresult released = release();
      return request.reset != 0 ? done : released;
    });
    let_go_of_primary(*found);
  }
  restore(buried.arenas);
  return answer(code);
}

Answer<ContextInfo> LaneBackend::handle(const CreateContext::Request& request, marshal::Call& /*call*/) {
  const auto found = device(request.device);
  if (!found) {
    return refuse(CUDA_ERROR_INVALID_DEVICE);
  }
  CUcontext handle = nullptr;
  if (const CUresult code = account_.spend_for_context(
          [&] { return driver_->cuCtxCreate(&handle, nullptr, request.flags, *found); }, [&] { return handle; });
      code != CUDA_SUCCESS) {
    return refuse(code);
  }
  auto kept = keep_context(request.id, handle, *found, false);
  if (!kept) {
    std::ignore = account_.forget(handle, [&] { return driver_->cuCtxDestroy(handle); });
  }
  return kept;
}

Answer<Nothing> LaneBackend::handle(const DestroyContext::Request& request, marshal::Call& /*call*/) {
  const auto known = contexts_.find(request.id);
  if (known == nullptr || known->primary) {
    return refuse(CUDA_ERROR_INVALID_CONTEXT);
  }
  const Buried buried = bury_context(request.id);
  if (buried.context == nullptr) {
    return refuse(CUDA_ERROR_INVALID_CONTEXT);
  }
  auto* const handle = buried.context->handle;
  const CUresult code = account_.forget(handle, [&] { return driver_->cuCtxDestroy(handle); });
  restore(buried.arenas);
  return answer(code);
}

Answer<Nothing> LaneBackend::handle(const SyncContext::Request& request, marshal::Call& /*call*/) {
  CUresult code = enter(request.context);
  code = code == CUDA_SUCCESS ? driver_->cuCtxSynchronize() : code;
  account_.reclaim();
  return answer(code);
}

}  // namespace isthmus::cuda
