// SPDX-License-Identifier: Apache-2.0

// Functions that came after OpenCL 1.2, as OpenCL 3.0 wants them of a device without pipes, queues on the device and
// timers.

#include <tuple>
#include <utility>

#include "guest/opencl/entry.hpp"
#include "guest/opencl/info.hpp"
#include "guest/opencl/types.hpp"

namespace isthmus::opencl {
namespace {

// A list of properties that may hold none but its end; CL_SUCCESS and the list as it was given, otherwise.
cl_int read_no_properties(const cl_mem_properties* list, std::vector<cl_mem_properties>& properties) {
  if (list == nullptr) {
    return CL_SUCCESS;
  }
  properties.push_back(0);
  return *list == 0 ? CL_SUCCESS : CL_INVALID_PROPERTY;
}

cl_mem with_properties(cl_mem made, std::vector<cl_mem_properties> properties) {
  if (const auto memory = find<Memory>(made); memory != nullptr) {
    memory->properties = std::move(properties);
  }
  return made;
}

}  // namespace

namespace entry {

cl_mem CL_API_CALL create_buffer_with_properties(cl_context context, const cl_mem_properties* list, cl_mem_flags flags,
                                                 std::size_t size, void* host, cl_int* errcode_ret) {
  std::vector<cl_mem_properties> properties;
  if (const cl_int code = read_no_properties(list, properties); code != CL_SUCCESS) {
    return refuse(code, errcode_ret);
  }
  return with_properties(create_buffer(context, flags, size, host, errcode_ret), std::move(properties));
}

cl_mem CL_API_CALL create_image_with_properties(cl_context context, const cl_mem_properties* list, cl_mem_flags flags,
                                                const cl_image_format* format, const cl_image_desc* description,
                                                void* host, cl_int* errcode_ret) {
  std::vector<cl_mem_properties> properties;
  if (const cl_int code = read_no_properties(list, properties); code != CL_SUCCESS) {
    return refuse(code, errcode_ret);
  }
  return with_properties(create_image(context, flags, format, description, host, errcode_ret), std::move(properties));
}

cl_sampler CL_API_CALL create_sampler_with_properties(cl_context context, const cl_sampler_properties* list,
                                                      cl_int* errcode_ret) {
  cl_bool normalized = CL_TRUE;
  cl_addressing_mode addressing = CL_ADDRESS_CLAMP;
  cl_filter_mode filter = CL_FILTER_NEAREST;
  std::vector<cl_sampler_properties> properties;
  for (; list != nullptr && *list != 0; list += 2) {
    switch (list[0]) {
      case CL_SAMPLER_NORMALIZED_COORDS:
        normalized = static_cast<cl_bool>(list[1]);
        break;
      case CL_SAMPLER_ADDRESSING_MODE:
        addressing = static_cast<cl_addressing_mode>(list[1]);
        break;
      case CL_SAMPLER_FILTER_MODE:
        filter = static_cast<cl_filter_mode>(list[1]);
        break;
      default:
        return refuse(CL_INVALID_VALUE, errcode_ret);
    }
    properties.insert(properties.end(), {list[0], list[1]});
  }
  if (list != nullptr) {
    properties.push_back(0);
  }
  cl_sampler made = create_sampler(context, normalized, addressing, filter, errcode_ret);
  if (const auto sampler = find<Sampler>(made); sampler != nullptr) {
    sampler->properties = std::move(properties);
  }
  return made;
}

cl_int CL_API_CALL set_context_destructor_callback(cl_context handle, void(CL_CALLBACK* notify)(cl_context, void*),
                                                   void* user_data) {
  const auto context = find<Context>(handle);
  if (context == nullptr || notify == nullptr) {
    return context == nullptr ? CL_INVALID_CONTEXT : CL_INVALID_VALUE;
  }
  const std::scoped_lock lock(context->mutex);
  context->destructors.emplace_back([notify, handle, user_data] { notify(handle, user_data); });
  return CL_SUCCESS;
}

cl_int CL_API_CALL get_device_and_host_timer(cl_device_id handle, cl_ulong*, cl_ulong*) {
  return find<Device>(handle) == nullptr ? CL_INVALID_DEVICE : CL_INVALID_OPERATION;
}

cl_int CL_API_CALL get_host_timer(cl_device_id handle, cl_ulong*) {
  return get_device_and_host_timer(handle, nullptr, nullptr);
}

cl_int CL_API_CALL set_default_device_command_queue(cl_context context_handle, cl_device_id device_handle,
                                                    cl_command_queue) {
  const auto context = find<Context>(context_handle);
  const auto device = find<Device>(device_handle);
  if (context == nullptr) {
    return CL_INVALID_CONTEXT;
  }
  return device == nullptr || !context->has(device) ? CL_INVALID_DEVICE : CL_INVALID_OPERATION;
}

}  // namespace entry
}  // namespace isthmus::opencl
