// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>
#include <utility>

#include "src/gpu/cuda/backend.hpp"
#include "src/gpu/cuda/image.hpp"
#include "src/gpu/cuda/jit_options.hpp"
#include "src/gpu/cuda/trailing.hpp"

namespace isthmus::cuda {
namespace {

constexpr std::size_t most_launch_attributes = 16;

// Attributes whose values name nothing of the driver's.
bool is_plain_attribute(std::uint32_t attribute) noexcept {
  switch (attribute) {
    case CU_LAUNCH_ATTRIBUTE_IGNORE:
    case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
    case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
    case CU_LAUNCH_ATTRIBUTE_PRIORITY:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
    case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
    case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      return true;
    default:
      return false;
  }
}

}  // namespace

Answer<LoadModule::Reply> LaneBackend::handle(const LoadModule::Request& request, marshal::Call& call) {
  thread_local std::vector<std::byte> logs;  // valid until the reply is written, after this has returned
  const auto image = call.resolve(request.image);
  auto trailing = call.trailing();
  const auto rows = take_jit_options(trailing, request.options);
  if (!image || !rows || !trailing.empty() || image->size() > max_image) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  // The driver parses a copy, which the client cannot change, and which says no more of its length than is there.
  std::vector<std::byte> code(image->begin(), image->end());
  code.resize(code.size() + image_padding);
  if (const auto size = image_size(code.data(), image->size()); !size) {
    return refuse(CUDA_ERROR_INVALID_IMAGE);
  }
  auto object = std::make_shared<ModuleObject>();
  LoadModule::Reply reply;
  JitOptions options(*rows, request.info_log, request.error_log);
  CUresult status = CUDA_SUCCESS;
  if (request.library != 0) {
    status = driver_->cuLibraryLoadData(&object->library, code.data(), options.names(), options.values(),
                                        options.count(), nullptr, nullptr, 0);
  } else {
    if (status = enter(request.context); status == CUDA_SUCCESS) {
      object->context = contexts_.find(request.context);
      status =
          driver_->cuModuleLoadDataEx(&object->module, code.data(), options.count(), options.names(), options.values());
    }
  }
  reply.status = status;
  logs = options.logs(reply);
  call.reply_trailing(logs);
  if (status == CUDA_SUCCESS && !modules_.add(request.id, std::move(object))) {
    reply.status = CUDA_ERROR_INVALID_HANDLE;
  }
  return reply;
}

std::shared_ptr<ModuleObject> LaneBackend::find_module(Id id) const {
  auto found = modules_.find(id);
  return found != nullptr && lives(found->context) ? found : nullptr;
}

std::shared_ptr<FunctionObject> LaneBackend::find_function(Id id) const {
  auto found = functions_.find(id);
  return found != nullptr && lives(found->context) ? found : nullptr;
}

Answer<FunctionInfo> LaneBackend::keep_function(Id id, std::shared_ptr<FunctionObject> function, CUdevice device,
                                                marshal::Call& call) {
  thread_local std::vector<ParameterRow> rows;  // valid until the reply is written, after this has returned
  FunctionObject& object = *function;
  std::size_t offset = 0;
  std::size_t size = 0;
  for (std::size_t i = 0; i < max_parameters; ++i) {
    const CUresult code = object.kernel != nullptr ? driver_->cuKernelGetParamInfo(object.kernel, i, &offset, &size)
                                                   : driver_->cuFuncGetParamInfo(object.function, i, &offset, &size);
    if (code == CUDA_ERROR_INVALID_VALUE) {
      break;  // there are no more
    }
    if (code != CUDA_SUCCESS || offset > max_parameter_bytes || size > max_parameter_bytes - offset) {
      return refuse(code != CUDA_SUCCESS ? code : CUDA_ERROR_INVALID_IMAGE);
    }
    object.parameters.push_back(
        {.offset = static_cast<std::uint32_t>(offset), .size = static_cast<std::uint32_t>(size)});
    object.parameter_bytes = std::max(object.parameter_bytes, static_cast<std::uint32_t>(offset + size));
  }
  FunctionInfo info{.parameters = static_cast<std::uint32_t>(object.parameters.size()), .attributes = {}};
  info.attributes.fill(no_attribute);
  for (std::size_t i = 0; i < std::min<std::size_t>(CU_FUNC_ATTRIBUTE_MAX, info.attributes.size()); ++i) {
    const auto attribute = static_cast<CUfunction_attribute>(i);
    int value = 0;
    const CUresult code = object.kernel != nullptr
                              ? driver_->cuKernelGetAttribute(&value, attribute, object.kernel, device)
                              : driver_->cuFuncGetAttribute(&value, attribute, object.function);
    if (code == CUDA_SUCCESS) {
      info.attributes.at(i) = value;
    }
  }
  rows = object.parameters;
  if (!functions_.add(id, std::move(function))) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  call.reply_trailing(std::as_bytes(std::span(rows)));
  return info;
}

Answer<FunctionInfo> LaneBackend::handle(const FindFunction::Request& request, marshal::Call& call) {
  auto owner = find_module(request.owner);
  if (owner == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  if (request.context != 0 || owner->library == nullptr) {
    if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
      return refuse(code);
    }
  }
  const auto on = request.context != 0 ? device_of(request.context) : device(0);
  auto function = std::make_shared<FunctionObject>();
  const std::string name = name_in(call.trailing());
  const CUresult code = owner->library != nullptr
                            ? driver_->cuLibraryGetKernel(&function->kernel, owner->library, name.c_str())
                            : driver_->cuModuleGetFunction(&function->function, owner->module, name.c_str());
  if (code != CUDA_SUCCESS || !on) {
    return refuse(code != CUDA_SUCCESS ? code : CUDA_ERROR_INVALID_CONTEXT);
  }
  function->context = owner->context;
  function->owner = std::move(owner);
  return keep_function(request.id, std::move(function), *on, call);
}

Answer<FunctionInfo> LaneBackend::handle(const KernelFunction::Request& request, marshal::Call& call) {
  const auto kernel = find_function(request.kernel);
  if (kernel == nullptr || kernel->kernel == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  auto function = std::make_shared<FunctionObject>();
  function->owner = kernel->owner;
  function->context = contexts_.find(request.context);
  if (const CUresult code = driver_->cuKernelGetFunction(&function->function, kernel->kernel); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  return keep_function(request.id, std::move(function), device_of(request.context).value_or(0), call);
}

Answer<FindGlobal::Reply> LaneBackend::handle(const FindGlobal::Request& request, marshal::Call& call) {
  const auto owner = find_module(request.owner);
  if (owner == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const std::string name = name_in(call.trailing());
  if (request.managed != 0) {
    return find_managed(request.context, *owner, name);
  }
  CUdeviceptr address = 0;
  std::size_t size = 0;
  const CUresult code = owner->library != nullptr
                            ? driver_->cuLibraryGetGlobal(&address, &size, owner->library, name.c_str())
                            : driver_->cuModuleGetGlobal(&address, &size, owner->module, name.c_str());
  if (code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const auto context = contexts_.find(request.context);
  memory_.add(address, size, context != nullptr ? context->handle : nullptr);
  return FindGlobal::Reply{.address = address, .size = size};
}

Answer<Nothing> LaneBackend::handle(const LibraryModule::Request& request, marshal::Call& /*call*/) {
  const auto library = find_module(request.library);
  if (library == nullptr || library->library == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  auto object = std::make_shared<ModuleObject>();
  object->context = contexts_.find(request.context);
  if (const CUresult code = driver_->cuLibraryGetModule(&object->module, library->library); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  return modules_.add(request.id, std::move(object)) ? Answer<Nothing>(Nothing{}) : refuse(CUDA_ERROR_INVALID_HANDLE);
}

std::optional<std::span<void*>> LaneBackend::parameters_of(const FunctionObject& function,
                                                           std::span<const std::byte> bytes) {
  thread_local std::vector<void*> pointers;
  if (bytes.size() != function.parameter_bytes) {
    return std::nullopt;
  }
  pointers.clear();
  for (const ParameterRow& row : function.parameters) {
    // The driver only reads them.
    pointers.push_back(const_cast<std::byte*>(bytes.data() + row.offset));  // NOLINT(*-const-cast)
  }
  return std::span(pointers);
}

Answer<Nothing> LaneBackend::handle(const Launch::Request& request, marshal::Call& call) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  const auto function = find_function(request.function);
  if (function == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  const auto trailing = call.trailing();
  std::array<CUlaunchAttribute, most_launch_attributes> attributes{};
  const std::size_t attribute_bytes = std::size_t{request.attributes} * sizeof(LaunchAttributeRow);
  if (request.attributes >= most_launch_attributes || attribute_bytes > trailing.size()) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  for (std::size_t i = 0; i < request.attributes; ++i) {
    LaunchAttributeRow row;
    std::memcpy(&row, trailing.data() + i * sizeof row, sizeof row);
    if (!is_plain_attribute(row.attribute)) {
      return refuse(CUDA_ERROR_NOT_SUPPORTED);
    }
    attributes.at(i).id = static_cast<CUlaunchAttributeID>(row.attribute);
    static_assert(sizeof row.value == sizeof attributes[0].value);
    std::memcpy(&attributes.at(i).value, row.value.data(), sizeof row.value);
  }
  unsigned count = request.attributes;
  if (request.cooperative != 0) {
    attributes.at(count).id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
    attributes.at(count).value.cooperative = 1;
    ++count;
  }
  const auto parameters = parameters_of(*function, trailing.subspan(attribute_bytes));
  if (!parameters) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  CUlaunchConfig config{};
  config.gridDimX = request.grid[0];
  config.gridDimY = request.grid[1];
  config.gridDimZ = request.grid[2];
  config.blockDimX = request.block[0];
  config.blockDimY = request.block[1];
  config.blockDimZ = request.block[2];
  config.sharedMemBytes = request.shared;
  config.hStream = place->stream;
  config.attrs = attributes.data();
  config.numAttrs = count;
  // A kernel may stand where a function is wanted: cuLaunchKernel in cuda.h.
  CUfunction what = function->kernel != nullptr ? reinterpret_cast<CUfunction>(function->kernel) : function->function;
  return answer(driver_->cuLaunchKernelEx(&config, what, parameters->data(), nullptr));
}

}  // namespace isthmus::cuda
