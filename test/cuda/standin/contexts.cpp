// SPDX-License-Identifier: Apache-2.0
// Entry points of contexts.
#include <cuda.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/graph.hpp"
#include "test/cuda/standin/settings.hpp"

namespace isthmus::standin {
namespace {

std::vector<CUcontext>& stack() {
  thread_local std::vector<CUcontext> mine;
  return mine;
}

constexpr unsigned known_flags = CU_CTX_FLAGS_MASK;

// For flags of contexts: one way of waiting at most.
void check_context_flags(unsigned flags) {
  const unsigned waiting = flags & CU_CTX_SCHED_MASK;
  require((flags & ~known_flags) == 0 && (waiting & (waiting - 1)) == 0, CUDA_ERROR_INVALID_VALUE, "flags");
}

std::shared_ptr<Context> create(CUdevice device, unsigned flags, bool primary) {
  auto context = std::make_shared<Context>(device, flags, primary);
  context->handle = driver().contexts.add(context);
  return context;
}

// The values of a fresh context on an H100.
std::size_t default_limit(CUlimit limit) {
  switch (limit) {
    case CU_LIMIT_STACK_SIZE:
      return 1024;
    case CU_LIMIT_PRINTF_FIFO_SIZE:
      return std::size_t{7} << 20U;
    case CU_LIMIT_MALLOC_HEAP_SIZE:
      return std::size_t{8} << 20U;
    case CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH:
      return 2;
    case CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT:
      return 2048;
    case CU_LIMIT_MAX_L2_FETCH_GRANULARITY:
      return 64;
    case CU_LIMIT_PERSISTING_L2_CACHE_SIZE:
      return 0;
    default:
      fail(CUDA_ERROR_UNSUPPORTED_LIMIT);
  }
}

PrimaryContext& primary_of(CUdevice device) {
  require_device(device);
  return driver().primaries.at(static_cast<std::size_t>(device));
}

}  // namespace

std::shared_ptr<Context> current_context() {
  if (stack().empty()) {
    return nullptr;
  }
  auto found = driver().contexts.find(stack().back());
  require(found != nullptr || stack().back() == nullptr, CUDA_ERROR_CONTEXT_IS_DESTROYED, "the current context");
  return found;
}

void destroy(const std::shared_ptr<Context>& context) {
  leave_captures(*context);
  context->close();
  const auto mine = [&](const auto& object) { return &*context == &*object.context; };
  const auto ours = [&](const auto& object) { return &object.context == &*context; };
  driver().graph_execs.drop([&](const GraphExec& exec) { return exec.context == &*context; });
  drop_arrays(*context);
  driver().streams.drop(ours);
  driver().events.drop(ours);
  driver().functions.drop(mine);
  driver().modules.drop(mine);
  driver().libraries.drop([&](const Library& library) {
    auto& in = const_cast<Library&>(library);  // NOLINT(cppcoreguidelines-pro-type-const-cast): only forgets
    const std::scoped_lock lock(in.mutex);
    in.modules.erase(&*context);
    return false;
  });
  driver().memory.drop_context(*context);
  driver().contexts.take(context->handle);
}

}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuCtxCreate(CUcontext* result, CUctxCreateParams* parameters, unsigned flags, CUdevice device) {
  return initialised(__func__, [&] {
    auto& to = out(result);
    require_device(device);
    check_context_flags(flags);
    require(parameters == nullptr || (parameters->numExecAffinityParams == 0 && parameters->cigParams == nullptr),
            CUDA_ERROR_NOT_SUPPORTED);
    to = create(device, flags, false)->handle;
    stack().push_back(to);
  });
}

CUresult cuCtxDestroy(CUcontext handle) {
  return initialised(__func__, [&] {
    const auto context = driver().contexts.get(handle, CUDA_ERROR_INVALID_CONTEXT);
    require(!context->primary, CUDA_ERROR_INVALID_CONTEXT, "a primary context is released, not destroyed");
    destroy(context);
    if (!stack().empty() && stack().back() == handle) {
      stack().pop_back();
    }
  });
}

CUresult cuCtxPushCurrent(CUcontext handle) {
  return initialised(__func__, [&] {
    driver().contexts.get(handle, CUDA_ERROR_INVALID_CONTEXT);
    stack().push_back(handle);
  });
}

CUresult cuCtxPopCurrent(CUcontext* handle) {
  return initialised(__func__, [&] {
    require(!stack().empty(), CUDA_ERROR_INVALID_CONTEXT, "no current context");
    if (handle != nullptr) {
      *handle = stack().back();
    }
    stack().pop_back();
  });
}

CUresult cuCtxSetCurrent(CUcontext handle) {
  return initialised(__func__, [&] {
    if (handle != nullptr) {
      driver().contexts.get(handle, CUDA_ERROR_INVALID_CONTEXT);
    }
    if (!stack().empty()) {
      stack().pop_back();
    }
    if (handle != nullptr) {
      stack().push_back(handle);
    }
  });
}

CUresult cuCtxGetCurrent(CUcontext* handle) {
  return initialised(__func__, [&] { out(handle) = stack().empty() ? nullptr : stack().back(); });
}

CUresult cuCtxGetDevice(CUdevice* device) {
  return initialised(__func__, [&] {
    const auto context = current_context();
    require(context != nullptr, CUDA_ERROR_INVALID_CONTEXT, "no current context");
    out(device) = context->device;
  });
}

CUresult cuCtxGetFlags(unsigned* flags) {
  return in_context(__func__, [&](Context& context) { out(flags) = context.flags; });
}

CUresult cuCtxSetFlags(unsigned flags) {
  return in_context(__func__, [&](Context& context) {
    check_context_flags(flags);
    context.flags = flags;
  });
}

CUresult cuCtxGetId(CUcontext handle, unsigned long long* id) {
  return initialised(__func__, [&] {
    const auto context =
        handle == nullptr ? checked_context() : driver().contexts.get(handle, CUDA_ERROR_INVALID_CONTEXT);
    out(id) = context->id;
  });
}

CUresult cuCtxGetApiVersion(CUcontext handle, unsigned* version) {
  return initialised(__func__, [&] {
    require(handle == nullptr || driver().contexts.find(handle) != nullptr, CUDA_ERROR_INVALID_CONTEXT);
    out(version) = 3020;  // as every driver since CUDA 3.2 says
  });
}

CUresult cuCtxSynchronize() {
  return in_context(__func__, [&](Context& context) {
    refuse_in_capture(context);
    context.synchronize();
  });
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value) {
  return in_context(__func__, [&](Context& context) {
    default_limit(limit);
    const std::scoped_lock lock(context.limits_mutex);
    context.limits[limit] = value;
  });
}

CUresult cuCtxGetLimit(size_t* value, CUlimit limit) {
  return in_context(__func__, [&](Context& context) {
    const std::scoped_lock lock(context.limits_mutex);
    const auto found = context.limits.find(limit);
    out(value) = found == context.limits.end() ? default_limit(limit) : found->second;
  });
}

CUresult cuCtxGetCacheConfig(CUfunc_cache* config) {
  return in_context(__func__, [&](Context& /*context*/) { out(config) = CU_FUNC_CACHE_PREFER_NONE; });
}

CUresult cuCtxSetCacheConfig(CUfunc_cache /*config*/) {
  return in_context(__func__, [&](Context& /*context*/) {});
}

CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return in_context(__func__, [&](Context& /*context*/) {
    if (least != nullptr) {
      *least = 0;
    }
    if (greatest != nullptr) {
      *greatest = -5;
    }
  });
}

CUresult cuCtxResetPersistingL2Cache() {
  return in_context(__func__, [&](Context& /*context*/) {});
}

CUresult cuCtxEnablePeerAccess(CUcontext peer, unsigned flags) {
  return in_context(__func__, [&](Context& context) {
    const auto other = driver().contexts.get(peer, CUDA_ERROR_INVALID_CONTEXT);
    require(flags == 0, CUDA_ERROR_INVALID_VALUE);
    require(other->device != context.device, CUDA_ERROR_INVALID_DEVICE, "a device is no peer of itself");
  });
}

CUresult cuCtxDisablePeerAccess(CUcontext peer) {
  return in_context(__func__, [&](Context& /*context*/) { driver().contexts.get(peer, CUDA_ERROR_INVALID_CONTEXT); });
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* handle, CUdevice device) {
  return initialised(__func__, [&] {
    auto& to = out(handle);
    auto& primary = primary_of(device);
    const std::scoped_lock lock(primary.mutex);
    if (primary.context == nullptr) {
      std::this_thread::sleep_for(std::chrono::milliseconds(settings().start_ms));
      primary.context = create(device, primary.flags, true);
    }
    ++primary.users;
    to = primary.context->handle;
  });
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
  return initialised(__func__, [&] {
    auto& primary = primary_of(device);
    const std::scoped_lock lock(primary.mutex);
    require(primary.users > 0, CUDA_ERROR_INVALID_CONTEXT, "the primary context is not active");
    if (--primary.users == 0) {
      destroy(primary.context);
      primary.context = nullptr;
    }
  });
}

CUresult cuDevicePrimaryCtxReset(CUdevice device) {
  return initialised(__func__, [&] {
    auto& primary = primary_of(device);
    const std::scoped_lock lock(primary.mutex);
    if (primary.context != nullptr) {
      destroy(primary.context);
      primary.context = nullptr;
      primary.users = 0;
    }
  });
}

CUresult cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned flags) {
  return initialised(__func__, [&] {
    auto& primary = primary_of(device);
    check_context_flags(flags);
    require((flags & CU_CTX_MAP_HOST) == 0, CUDA_ERROR_INVALID_VALUE, "CU_CTX_MAP_HOST: not for primary contexts");
    const std::scoped_lock lock(primary.mutex);
    primary.flags = flags;
    if (primary.context != nullptr) {
      primary.context->flags = flags;
    }
  });
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned* flags, int* active) {
  return initialised(__func__, [&] {
    auto& primary = primary_of(device);
    const std::scoped_lock lock(primary.mutex);
    if (flags != nullptr) {
      *flags = primary.flags;
    }
    if (active != nullptr) {
      *active = primary.context != nullptr ? 1 : 0;
    }
  });
}
