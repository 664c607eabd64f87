// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <ranges>
#include <tuple>
#include <utility>

#include "guest/opencl/entry.hpp"
#include "guest/opencl/info.hpp"
#include "guest/opencl/types.hpp"

namespace isthmus::opencl {
namespace {

constexpr cl_uint most_devices_of_a_context = 1024;

// The property list up to its end, with the 0; CL_SUCCESS, or what is wrong with it.
cl_int read_properties(const cl_context_properties* list, std::vector<cl_context_properties>& properties,
                       std::shared_ptr<Platform>& platform, CreateContext::Request& request) {
  for (; list != nullptr && *list != 0; list += 2) {
    if (list[0] == CL_CONTEXT_PLATFORM && platform == nullptr) {
      platform = find<Platform>(reinterpret_cast<cl_platform_id>(list[1]));  // NOLINT(performance-no-int-to-ptr)
      if (platform == nullptr) {
        return CL_INVALID_PLATFORM;
      }
    } else if (list[0] == CL_CONTEXT_INTEROP_USER_SYNC && request.has_user_sync == 0) {
      request.has_user_sync = 1;
      request.user_sync = static_cast<std::uint64_t>(list[1]);  // drivers differ in what they take
    } else {
      return CL_INVALID_PROPERTY;
    }
    properties.push_back(list[0]);
    properties.push_back(list[1]);
  }
  if (list != nullptr) {
    properties.push_back(0);
  }
  return CL_SUCCESS;
}

// What the driver says that its context has. Some drivers take a whole device for its parts: so does the application
// then see it.
void keep_devices(Context& context, const std::vector<std::uint32_t>& numbers) {
  std::vector<std::shared_ptr<Device>> held;
  for (const std::uint32_t number : numbers) {
    for (std::shared_ptr<Device> device : context.devices) {
      while (device != nullptr && device->number != number) {
        device = device->parent;
      }
      if (device != nullptr) {
        held.push_back(std::move(device));
        break;
      }
    }
  }
  if (!held.empty()) {
    context.devices = std::move(held);
  }
}

}  // namespace

bool has_device(const std::vector<std::shared_ptr<Device>>& list, const Device& device) {
  return std::ranges::any_of(list, [&device](const auto& one) { return device.is_part_of(*one); });
}

Context::~Context() {
  if (Connection* connection = Connection::get(); connection != nullptr && id != 0) {
    std::ignore = connection->post<Release>({.kind = ObjectKind::context, .id = id});
    for (auto& destructor : std::views::reverse(destructors)) {
      connection->run_callback(std::move(destructor));
    }
  }
}

bool Context::has(const std::shared_ptr<Device>& device) const { return has_device(devices, *device); }

bool Context::has_shared_memory() const {
  return std::ranges::any_of(devices, [](const auto& device) { return device->shared_memory() != 0; });
}

bool Context::has_images() const {
  return std::ranges::any_of(
      devices, [](const auto& device) { return device->template value<cl_bool>(CL_DEVICE_IMAGE_SUPPORT, CL_FALSE); });
}

namespace entry {

cl_context CL_API_CALL create_context(const cl_context_properties* list, cl_uint count, const cl_device_id* handles,
                                      void(CL_CALLBACK* notify)(const char*, const void*, std::size_t, void*),
                                      void* user_data, cl_int* errcode_ret) {
  std::vector<cl_context_properties> properties;
  std::shared_ptr<Platform> platform;
  CreateContext::Request request;
  if (const cl_int code = read_properties(list, properties, platform, request); code != CL_SUCCESS) {
    return refuse(code, errcode_ret);
  }
  if (handles == nullptr || count == 0 || count > most_devices_of_a_context ||
      (notify == nullptr && user_data != nullptr)) {
    return refuse(CL_INVALID_VALUE, errcode_ret);
  }
  auto context = std::make_shared<Context>();
  std::vector<std::uint32_t> numbers;
  for (cl_uint i = 0; i < count; ++i) {
    auto device = find<Device>(handles[i]);
    if (device == nullptr || (platform != nullptr && device->platform.lock() != platform) ||
        device->platform.lock() != (context->devices.empty() ? device : context->devices.front())->platform.lock()) {
      return refuse(CL_INVALID_DEVICE, errcode_ret);
    }
    if (std::ranges::find(context->devices, device) == context->devices.end()) {  // repetitions are ignored
      numbers.push_back(device->number);
      context->devices.push_back(std::move(device));
    }
  }
  Connection* connection = Connection::get();
  if (connection == nullptr) {
    return refuse(CL_OUT_OF_RESOURCES, errcode_ret);
  }
  request.id = connection->new_id();
  request.devices = static_cast<std::uint32_t>(numbers.size());
  std::vector<std::uint32_t> held(numbers.size());
  const auto made = connection->call<CreateContext>(request, std::as_bytes(std::span(numbers)),
                                                    std::as_writable_bytes(std::span(held)));
  if (!made) {
    return refuse(made.error(), errcode_ret);
  }
  held.resize(std::min<std::size_t>(made->trailing / sizeof(std::uint32_t), held.size()));
  keep_devices(*context, held);
  context->id = request.id;
  context->properties = std::move(properties);
  if (!publish(context)) {
    return refuse(CL_OUT_OF_HOST_MEMORY, errcode_ret);
  }
  return give(CL_SUCCESS, handle_of(context), errcode_ret);
}

cl_context CL_API_CALL create_context_from_type(const cl_context_properties* list, cl_device_type type,
                                                void(CL_CALLBACK* notify)(const char*, const void*, std::size_t, void*),
                                                void* user_data, cl_int* errcode_ret) {
  std::vector<cl_context_properties> properties;
  std::shared_ptr<Platform> platform;
  CreateContext::Request ignored;
  if (const cl_int code = read_properties(list, properties, platform, ignored); code != CL_SUCCESS) {
    return refuse(code, errcode_ret);
  }
  cl_uint count = 0;
  if (const cl_int code = get_device_ids(handle_of(platform), type, 0, nullptr, &count); code != CL_SUCCESS) {
    return refuse(code, errcode_ret);
  }
  std::vector<cl_device_id> devices(count);
  std::ignore = get_device_ids(handle_of(platform), type, count, devices.data(), nullptr);
  return create_context(list, count, devices.data(), notify, user_data, errcode_ret);
}

cl_int CL_API_CALL retain_context(cl_context handle) {
  return Object::retain(handle, Context::kind) ? CL_SUCCESS : CL_INVALID_CONTEXT;
}

cl_int CL_API_CALL release_context(cl_context handle) {
  return Object::release(handle, Context::kind) ? CL_SUCCESS : CL_INVALID_CONTEXT;
}

cl_int CL_API_CALL get_context_info(cl_context handle, cl_context_info parameter, std::size_t size, void* value,
                                    std::size_t* size_ret) {
  const auto context = find<Context>(handle);
  if (context == nullptr) {
    return CL_INVALID_CONTEXT;
  }
  const InfoTarget target(size, value, size_ret);
  switch (parameter) {
    case CL_CONTEXT_REFERENCE_COUNT:
      return target.value(context->references());
    case CL_CONTEXT_NUM_DEVICES:
      return target.value(static_cast<cl_uint>(context->devices.size()));
    case CL_CONTEXT_DEVICES: {
      std::vector<cl_device_id> devices;
      for (const auto& device : context->devices) {
        devices.push_back(handle_of(device));
      }
      return target.list(devices);
    }
    case CL_CONTEXT_PROPERTIES:
      return target.list(context->properties);
    default:
      return CL_INVALID_VALUE;
  }
}

}  // namespace entry
}  // namespace isthmus::opencl
