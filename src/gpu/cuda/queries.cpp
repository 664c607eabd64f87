// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include "src/gpu/cuda/backend.hpp"

namespace isthmus::cuda {
namespace {

CUfunction launchable(const FunctionObject& object) {
  // The driver takes a kernel where a function is wanted: cuLaunchKernel in cuda.h.
  return object.kernel != nullptr ? reinterpret_cast<CUfunction>(object.kernel) : object.function;
}

// Those whose values are numbers.
bool is_pool_attribute(std::uint32_t attribute) noexcept { return attribute <= CU_MEMPOOL_ATTR_USED_MEM_HIGH; }

// CUDA_SUCCESS, or the driver's code for a parameter that is none of the interface's: it is not even handed on.
CUresult check_parameter(const Question& asked) noexcept {
  switch (asked.subject) {
    case Subject::limit:
      return asked.parameter < CU_LIMIT_MAX ? CUDA_SUCCESS : CUDA_ERROR_UNSUPPORTED_LIMIT;
    case Subject::function_attribute:
    case Subject::kernel_attribute:
      return asked.parameter < CU_FUNC_ATTRIBUTE_MAX ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case Subject::peer_attribute:
      return asked.parameter <= CU_DEVICE_P2P_ATTRIBUTE_CUDA_ARRAY_ACCESS_SUPPORTED ? CUDA_SUCCESS
                                                                                    : CUDA_ERROR_INVALID_VALUE;
    case Subject::graph_memory:
      return asked.parameter <= CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case Subject::pool_attribute:
      return is_pool_attribute(asked.parameter) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case Subject::memory_granularity:
      return asked.parameter <= CU_MEM_ALLOC_GRANULARITY_RECOMMENDED ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    default:
      return CUDA_SUCCESS;
  }
}

// The same for a value to be set.
CUresult check_value(const Question& asked, std::uint64_t value) noexcept {
  switch (asked.subject) {
    case Subject::cache_config:
    case Subject::function_cache:
    case Subject::kernel_cache:
      return value <= CU_FUNC_CACHE_PREFER_EQUAL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case Subject::capture_mode:
      return value <= CU_STREAM_CAPTURE_MODE_RELAXED ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case Subject::pool_access:
      return is_access(value) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    default:
      return check_parameter(asked);
  }
}

}  // namespace

CUresult LaneBackend::set_limit(const Question& asked, std::uint64_t value) {
  const auto limit = static_cast<CUlimit>(asked.parameter);
  const auto set = [&] { return driver_->cuCtxSetLimit(limit, value); };
  const auto context = contexts_.find(asked.context);
  // These take device memory; what a context has without being asked is not counted.
  if (context == nullptr || (limit != CU_LIMIT_MALLOC_HEAP_SIZE && limit != CU_LIMIT_PRINTF_FIFO_SIZE)) {
    return set();
  }
  // Nothing else is called so: handles are aligned.
  const std::uint64_t name = reinterpret_cast<std::uintptr_t>(context->handle) + 1 + asked.parameter;
  return account_.spend(value, context->handle, set, [name] { return name; });
}

Answer<Query::Reply> LaneBackend::handle(const Query::Request& request, marshal::Call& /*call*/) {
  const Question& asked = request.question;
  Query::Reply reply;
  CUresult code = check_parameter(asked);
  if (code != CUDA_SUCCESS) {
    return refuse(code);
  }
  if (asked.context != 0) {
    if (code = enter(asked.context); code != CUDA_SUCCESS) {
      return refuse(code);
    }
  }
  const auto function = find_function(asked.object);
  const auto need_function = [&] { return function == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS; };
  std::size_t first = 0;
  std::size_t second = 0;
  int number = 0;
  switch (asked.subject) {
    case Subject::memory_info:
      code = driver_->cuMemGetInfo(&first, &second);
      account_.limit(first, second);
      break;
    case Subject::limit:
      code = driver_->cuCtxGetLimit(&first, static_cast<CUlimit>(asked.parameter));
      break;
    case Subject::cache_config: {
      CUfunc_cache config{};
      code = driver_->cuCtxGetCacheConfig(&config);
      first = config;
      break;
    }
    case Subject::function_attribute:
      if (code = need_function(); code == CUDA_SUCCESS) {
        code = driver_->cuFuncGetAttribute(&number, static_cast<CUfunction_attribute>(asked.parameter),
                                           launchable(*function));
      }
      break;
    case Subject::kernel_attribute: {
      const auto on = device(asked.detail[0]);
      if (code = need_function(); code == CUDA_SUCCESS) {
        code = !on || function->kernel == nullptr
                   ? CUDA_ERROR_INVALID_VALUE
                   : driver_->cuKernelGetAttribute(&number, static_cast<CUfunction_attribute>(asked.parameter),
                                                   function->kernel, *on);
      }
      break;
    }
    case Subject::occupancy:
      if (code = need_function(); code == CUDA_SUCCESS) {
        code = driver_->cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
            &number, launchable(*function), static_cast<int>(asked.detail[0]), asked.detail[1],
            static_cast<unsigned>(asked.detail[2]));
      }
      break;
    case Subject::block_size:
      if (code = need_function(); code == CUDA_SUCCESS) {
        int block = 0;
        code = driver_->cuOccupancyMaxPotentialBlockSizeWithFlags(&number, &block, launchable(*function), nullptr,
                                                                  asked.detail[0], static_cast<int>(asked.detail[1]),
                                                                  static_cast<unsigned>(asked.detail[2]));
        second = static_cast<std::size_t>(block);
      }
      break;
    case Subject::shared_memory:
      if (code = need_function(); code == CUDA_SUCCESS) {
        code = driver_->cuOccupancyAvailableDynamicSMemPerBlock(
            &first, launchable(*function), static_cast<int>(asked.detail[0]), static_cast<int>(asked.detail[1]));
      }
      break;
    case Subject::stream_number: {
      unsigned long long found = 0;
      if (const auto place = enter({.context = asked.context, .stream = asked.object}); !place) {
        return std::unexpected(place.error());
      } else {
        code = driver_->cuStreamGetId(place->stream, &found);
      }
      first = found;
      break;
    }
    case Subject::capture_status: {
      CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
      if (const auto place = enter({.context = asked.context, .stream = asked.object}); !place) {
        return std::unexpected(place.error());
      } else {
        code = driver_->cuStreamIsCapturing(place->stream, &status);
      }
      first = status;
      break;
    }
    case Subject::node_type: {
      const auto node = nodes_.find(asked.object);
      CUgraphNodeType type{};
      code = node == nullptr ? CUDA_ERROR_INVALID_HANDLE : driver_->cuGraphNodeGetType(node->handle, &type);
      first = type;
      break;
    }
    case Subject::node_enabled: {
      const auto node = nodes_.find(asked.detail[0]);
      const auto executable = executables_.find(asked.object);
      unsigned enabled = 0;
      code = node == nullptr || executable == nullptr || !lives(executable->context)
                 ? CUDA_ERROR_INVALID_HANDLE
                 : driver_->cuGraphNodeGetEnabled(executable->handle, node->handle, &enabled);
      first = enabled;
      break;
    }
    case Subject::graph_memory: {
      const auto on = device(asked.detail[0]);
      code = on ? driver_->cuDeviceGetGraphMemAttribute(*on, static_cast<CUgraphMem_attribute>(asked.parameter), &first)
                : CUDA_ERROR_INVALID_DEVICE;
      break;
    }
    case Subject::pool_attribute:
    case Subject::pool_access:
      code = ask_pool(asked, first);
      break;
    case Subject::memory_granularity: {
      CUmemAllocationProp properties{};
      properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
      const auto on = device(asked.detail[0]);
      if (!on) {
        return refuse(CUDA_ERROR_INVALID_DEVICE);
      }
      properties.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = *on};
      code = driver_->cuMemGetAllocationGranularity(&first, &properties,
                                                    static_cast<CUmemAllocationGranularity_flags>(asked.parameter));
      break;
    }
    case Subject::memory_access: {
      const auto on = device(asked.detail[0]);
      code = on ? virtual_.access_at(asked.detail[1], *on, first) : CUDA_ERROR_INVALID_DEVICE;
      break;
    }
    case Subject::peer_possible:
    case Subject::peer_attribute: {
      const auto from = device(asked.detail[0]);
      const auto to = device(asked.detail[1]);
      if (!from || !to) {
        return refuse(CUDA_ERROR_INVALID_DEVICE);
      }
      code = asked.subject == Subject::peer_possible
                 ? driver_->cuDeviceCanAccessPeer(&number, *from, *to)
                 : driver_->cuDeviceGetP2PAttribute(&number, static_cast<CUdevice_P2PAttribute>(asked.parameter), *from,
                                                    *to);
      break;
    }
    default:
      code = CUDA_ERROR_INVALID_VALUE;
  }
  if (code != CUDA_SUCCESS) {
    return refuse(code);
  }
  reply.values = {first != 0 ? first : static_cast<std::uint64_t>(number), second};
  return reply;
}

Answer<Nothing> LaneBackend::handle(const Configure::Request& request, marshal::Call& /*call*/) {
  const Question& asked = request.question;
  const auto number = static_cast<int>(request.value);
  if (const CUresult code = check_value(asked, request.value); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  if (asked.context != 0) {
    if (const CUresult code = enter(asked.context); code != CUDA_SUCCESS) {
      return refuse(code);
    }
  }
  const auto function = find_function(asked.object);
  switch (asked.subject) {
    case Subject::limit:
      return answer(set_limit(asked, request.value));
    case Subject::cache_config:
      return answer(driver_->cuCtxSetCacheConfig(static_cast<CUfunc_cache>(number)));
    case Subject::capture_mode: {
      auto mode = static_cast<CUstreamCaptureMode>(number);
      return answer(driver_->cuThreadExchangeStreamCaptureMode(&mode));
    }
    case Subject::pool_attribute:
    case Subject::pool_trim:
    case Subject::pool_access:
      return answer(set_pool(asked, request.value));
    case Subject::graph_memory:
    case Subject::graph_memory_trim: {
      const auto on = device(asked.detail[0]);
      std::uint64_t value = request.value;
      if (!on) {
        return refuse(CUDA_ERROR_INVALID_DEVICE);
      }
      return answer(
          asked.subject == Subject::graph_memory_trim
              ? driver_->cuDeviceGraphMemTrim(*on)
              : driver_->cuDeviceSetGraphMemAttribute(*on, static_cast<CUgraphMem_attribute>(asked.parameter), &value));
    }
    case Subject::node_enabled: {
      const auto node = nodes_.find(asked.detail[0]);
      const auto executable = executables_.find(asked.object);
      if (node == nullptr || executable == nullptr || !lives(executable->context)) {
        return refuse(CUDA_ERROR_INVALID_HANDLE);
      }
      const auto chain = chain_of(node->handle);
      if (chain && chain->function != nullptr) {
        return refuse(CUDA_ERROR_NOT_SUPPORTED);  // the function beside the copy would run all the same
      }
      CUresult code = CUDA_SUCCESS;
      for (CUgraphNode part : chain ? chain->all : std::vector{node->handle}) {
        const CUresult set = driver_->cuGraphNodeSetEnabled(executable->handle, part, request.value != 0 ? 1 : 0);
        code = code == CUDA_SUCCESS ? set : code;
      }
      return answer(code);
    }
    case Subject::persisting_l2:
      return answer(driver_->cuCtxResetPersistingL2Cache());
    case Subject::function_attribute:
    case Subject::function_cache:
      if (function == nullptr) {
        return refuse(CUDA_ERROR_INVALID_HANDLE);
      }
      return answer(asked.subject == Subject::function_cache
                        ? driver_->cuFuncSetCacheConfig(launchable(*function), static_cast<CUfunc_cache>(number))
                        : driver_->cuFuncSetAttribute(launchable(*function),
                                                      static_cast<CUfunction_attribute>(asked.parameter), number));
    case Subject::kernel_attribute:
    case Subject::kernel_cache: {
      const auto on = device(asked.detail[0]);
      if (function == nullptr || function->kernel == nullptr) {
        return refuse(CUDA_ERROR_INVALID_HANDLE);
      }
      if (!on) {
        return refuse(CUDA_ERROR_INVALID_DEVICE);
      }
      return answer(asked.subject == Subject::kernel_cache
                        ? driver_->cuKernelSetCacheConfig(function->kernel, static_cast<CUfunc_cache>(number), *on)
                        : driver_->cuKernelSetAttribute(static_cast<CUfunction_attribute>(asked.parameter), number,
                                                        function->kernel, *on));
    }
    case Subject::primary_flags: {
      const auto on = device(asked.detail[0]);
      return on ? answer(driver_->cuDevicePrimaryCtxSetFlags(*on, static_cast<unsigned>(request.value)))
                : Answer<Nothing>(refuse(CUDA_ERROR_INVALID_DEVICE));
    }
    case Subject::peer_access: {
      const auto peer = contexts_.find(asked.object);
      if (peer == nullptr) {
        return refuse(CUDA_ERROR_INVALID_CONTEXT);
      }
      return answer(request.value != 0 ? driver_->cuCtxEnablePeerAccess(peer->handle, 0)
                                       : driver_->cuCtxDisablePeerAccess(peer->handle));
    }
    default:
      return refuse(CUDA_ERROR_INVALID_VALUE);
  }
}

}  // namespace isthmus::cuda
