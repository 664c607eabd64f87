// SPDX-License-Identifier: Apache-2.0

// Contexts. Which one is current is each thread's own affair, and known in the guest alone.

#include <algorithm>
#include <tuple>

#include "guest/cuda/device_poll.hpp"
#include "guest/cuda/frontend.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

void forbid_polling(unsigned flags) noexcept {
  if ((flags & CU_CTX_SCHED_MASK) == CU_CTX_SCHED_BLOCKING_SYNC) {
    DevicePoll::forbid();
  }
}

Id id_of(CUcontext context) { return reinterpret_cast<std::uintptr_t>(context); }

// The record of a context that was given, or of the current one where none was.
CUresult with_context(CUcontext given, auto function) {
  return entry([&](Frontend& cuda) -> CUresult {
    const Id id = given != nullptr ? id_of(given) : ContextStack::mine().top();
    const auto record = cuda.context(id);
    if (!record) {
      return record.error();
    }
    return function(Here{.cuda = cuda, .context = id, .record = **record});
  });
}

CUresult with_primary(CUdevice number, auto function) {
  return entry([&](Frontend& cuda) -> CUresult {
    Device* const device = cuda.device(number);
    if (device == nullptr) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    const std::scoped_lock lock(device->mutex);
    return function(cuda, *device, static_cast<std::uint32_t>(number));
  });
}

// The device's mutex is held.
CUresult activate_primary(Frontend& cuda, Device& device, std::uint32_t number) {
  if (device.primary == 0) {
    const auto id = cuda.contexts.reserve();
    if (!id) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    device.primary = *id;
  }
  const auto made = cuda.lane->call<RetainPrimary>({.id = device.primary, .device = number});
  if (!made) {
    return made.error();
  }
  cuda.contexts.publish(device.primary, {.device = number, .primary = true, .info = made->reply});
  device.active.store(true, std::memory_order_release);
  return CUDA_SUCCESS;
}

CUresult ask_context(const Here& here, Subject subject, std::uint32_t parameter, std::uint64_t& first,
                     std::uint64_t& second) {
  const auto asked =
      here.lane().call<Query>({.question = {.subject = subject, .parameter = parameter, .context = here.context}});
  if (!asked) {
    return asked.error();
  }
  first = asked->reply.values[0];
  second = asked->reply.values[1];
  return CUDA_SUCCESS;
}

CUresult set_in_context(const Here& here, Subject subject, std::uint32_t parameter, std::uint64_t value,
                        Id object = 0) {
  return here.lane().tell<Configure>(
      {.question = {.subject = subject, .parameter = parameter, .context = here.context, .object = object},
       .value = value});
}

}  // namespace

CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice number) {
  return with_primary(number, [&](Frontend& cuda, Device& device, std::uint32_t index) -> CUresult {
    if (context == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (!device.active.load(std::memory_order_relaxed)) {
      if (const CUresult code = activate_primary(cuda, device, index); code != CUDA_SUCCESS) {
        return code;
      }
    }
    ++device.retained;
    *context = handle_of<CUcontext>(device.primary);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDevicePrimaryCtxRelease(CUdevice number) {
  return with_primary(number, [&](Frontend& cuda, Device& device, std::uint32_t index) -> CUresult {
    if (device.retained == 0) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (--device.retained != 0 || !device.active.load(std::memory_order_relaxed)) {
      return CUDA_SUCCESS;
    }
    device.active.store(false, std::memory_order_release);
    cuda.forget_context(device.primary);
    const auto done = cuda.lane->call_anyway<ReleasePrimary>({.id = device.primary, .device = index});
    cuda.free_slab_of(device.primary);
    cuda.lane->forget_failure(device.primary);
    return done ? CUDA_SUCCESS : done.error();
  });
}

CUresult CUDAAPI cuDevicePrimaryCtxReset(CUdevice number) {
  return with_primary(number, [&](Frontend& cuda, Device& device, std::uint32_t index) -> CUresult {
    if (!device.active.load(std::memory_order_relaxed)) {
      return CUDA_SUCCESS;
    }
    device.active.store(false, std::memory_order_release);
    cuda.forget_context(device.primary);
    const auto done = cuda.lane->call_anyway<ReleasePrimary>({.id = device.primary, .device = index, .reset = 1});
    cuda.free_slab_of(device.primary);
    if (!done) {
      return done.error();
    }
    cuda.lane->forget_failure(device.primary);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuDevicePrimaryCtxSetFlags(CUdevice number, unsigned int flags) {
  return with_primary(number, [&](Frontend& cuda, Device& device, std::uint32_t index) -> CUresult {
    const CUresult code = cuda.lane->tell<Configure>(
        {.question = {.subject = Subject::primary_flags, .detail = {index, 0, 0}}, .value = flags});
    if (code == CUDA_SUCCESS) {
      device.flags = flags;
      forbid_polling(flags);
    }
    return code;
  });
}

CUresult CUDAAPI cuDevicePrimaryCtxGetState(CUdevice number, unsigned int* flags, int* active) {
  return with_primary(number, [&](const Frontend&, const Device& device, std::uint32_t) -> CUresult {
    const CUresult code = give(flags, device.flags);
    return code != CUDA_SUCCESS ? code : give(active, device.active.load(std::memory_order_relaxed) ? 1 : 0);
  });
}

CUresult CUDAAPI cuCtxCreate(CUcontext* context, CUctxCreateParams* parameters, unsigned int flags, CUdevice number) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (context == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (cuda.device(number) == nullptr) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    if (parameters != nullptr && (parameters->numExecAffinityParams != 0 || parameters->cigParams != nullptr)) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    const auto id = cuda.contexts.reserve();
    if (!id) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const auto index = static_cast<std::uint32_t>(number);
    const auto made = cuda.lane->call_anyway<CreateContext>({.id = *id, .device = index, .flags = flags});
    if (!made) {
      cuda.contexts.cancel(*id);
      return made.error();
    }
    forbid_polling(flags);
    cuda.contexts.publish(*id, {.device = index, .primary = false, .info = made->reply});
    *context = handle_of<CUcontext>(*id);
    return ContextStack::mine().push(*id) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
  });
}

CUresult CUDAAPI cuCtxDestroy(CUcontext context) {
  return with_context(context, [&](const Here& here) -> CUresult {
    if (context == nullptr || here.record.primary) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (ContextStack::mine().top() == here.context) {
      std::ignore = ContextStack::mine().pop();
    }
    here.cuda.forget_context(here.context);
    here.cuda.contexts.remove(here.context);
    const auto gone = here.lane().call_anyway<DestroyContext>({.id = here.context});
    here.cuda.free_slab_of(here.context);
    here.lane().forget_failure(here.context);
    return gone ? CUDA_SUCCESS : gone.error();
  });
}

CUresult CUDAAPI cuCtxPushCurrent(CUcontext context) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (const auto record = cuda.context(id_of(context)); !record) {
      return record.error();
    }
    return ContextStack::mine().push(id_of(context)) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
  });
}

CUresult CUDAAPI cuCtxPopCurrent(CUcontext* context) {
  return entry([&](const Frontend&) -> CUresult {
    const Id popped = ContextStack::mine().pop();
    if (context != nullptr) {
      *context = handle_of<CUcontext>(popped);
    }
    return popped == 0 ? CUDA_ERROR_INVALID_CONTEXT : CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxSetCurrent(CUcontext context) {
  return entry([&](Frontend& cuda) -> CUresult {
    ContextStack& stack = ContextStack::mine();
    if (context == nullptr) {
      std::ignore = stack.pop();
      return CUDA_SUCCESS;
    }
    if (stack.top() == id_of(context)) {
      return CUDA_SUCCESS;
    }
    if (const auto record = cuda.context(id_of(context)); !record) {
      return record.error();
    }
    std::ignore = stack.pop();
    return stack.push(id_of(context)) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
  });
}

CUresult CUDAAPI cuCtxGetCurrent(CUcontext* context) {
  return entry([&](const Frontend&) { return give(context, handle_of<CUcontext>(ContextStack::mine().top())); });
}

CUresult CUDAAPI cuCtxGetDevice(CUdevice* device) {
  return with_context(nullptr, [&](const Here& here) { return give(device, here.record.device); });
}

CUresult CUDAAPI cuCtxGetDevice_v2(CUdevice* device, CUcontext context) {
  return with_context(context, [&](const Here& here) { return give(device, here.record.device); });
}

CUresult CUDAAPI cuCtxGetFlags(unsigned int* flags) {
  return with_context(nullptr, [&](const Here& here) { return give(flags, here.record.info.flags); });
}

CUresult CUDAAPI cuCtxGetId(CUcontext context, unsigned long long* number) {
  return with_context(context, [&](const Here& here) { return give(number, here.record.info.number); });
}

CUresult CUDAAPI cuCtxGetApiVersion(CUcontext context, unsigned int* version) {
  return with_context(context, [&](const Here& here) { return give(version, here.record.info.api_version); });
}

CUresult CUDAAPI cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return with_context(nullptr, [&](const Here& here) -> CUresult {
    if (least != nullptr) {
      *least = here.record.info.least_priority;
    }
    if (greatest != nullptr) {
      *greatest = here.record.info.greatest_priority;
    }
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuCtxSynchronize() {
  return with_context(nullptr,
                      [&](const Here& here) { return here.lane().tell<SyncContext>({.context = here.context}); });
}

CUresult CUDAAPI cuCtxSynchronize_v2(CUcontext context) {
  return with_context(context,
                      [&](const Here& here) { return here.lane().tell<SyncContext>({.context = here.context}); });
}

CUresult CUDAAPI cuCtxGetLimit(std::size_t* value, CUlimit limit) {
  return with_context(nullptr, [&](const Here& here) -> CUresult {
    std::uint64_t found = 0;
    std::uint64_t unused = 0;
    const CUresult code = ask_context(here, Subject::limit, limit, found, unused);
    return code != CUDA_SUCCESS ? code : give(value, found);
  });
}

CUresult CUDAAPI cuCtxSetLimit(CUlimit limit, std::size_t value) {
  return with_context(nullptr, [&](const Here& here) { return set_in_context(here, Subject::limit, limit, value); });
}

CUresult CUDAAPI cuCtxGetCacheConfig(CUfunc_cache* config) {
  return with_context(nullptr, [&](const Here& here) -> CUresult {
    std::uint64_t found = 0;
    std::uint64_t unused = 0;
    const CUresult code = ask_context(here, Subject::cache_config, 0, found, unused);
    return code != CUDA_SUCCESS ? code : give(config, found);
  });
}

CUresult CUDAAPI cuCtxSetCacheConfig(CUfunc_cache config) {
  return with_context(nullptr, [&](const Here& here) {
    return set_in_context(here, Subject::cache_config, 0, static_cast<std::uint64_t>(config));
  });
}

CUresult CUDAAPI cuCtxResetPersistingL2Cache() {
  return with_context(nullptr, [&](const Here& here) { return set_in_context(here, Subject::persisting_l2, 0, 0); });
}

CUresult CUDAAPI cuCtxEnablePeerAccess(CUcontext peer, unsigned int flags) {
  return with_context(nullptr, [&](const Here& here) -> CUresult {
    if (flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto other = here.cuda.context(id_of(peer));
    return other ? set_in_context(here, Subject::peer_access, 0, 1, id_of(peer)) : other.error();
  });
}

CUresult CUDAAPI cuCtxDisablePeerAccess(CUcontext peer) {
  return with_context(nullptr, [&](const Here& here) -> CUresult {
    const auto other = here.cuda.context(id_of(peer));
    return other ? set_in_context(here, Subject::peer_access, 0, 0, id_of(peer)) : other.error();
  });
}

CUresult CUDAAPI cuMemGetInfo(std::size_t* free_bytes, std::size_t* total) {
  return with_context(nullptr, [&](const Here& here) -> CUresult {
    std::uint64_t available = 0;
    std::uint64_t all = 0;
    CUresult code = ask_context(here, Subject::memory_info, 0, available, all);
    available += here.cuda.pool.unused(here.record.device);  // an allocation gets that, too
    code = code == CUDA_SUCCESS ? give(free_bytes, available) : code;
    return code == CUDA_SUCCESS ? give(total, all) : code;
  });
}
