// SPDX-License-Identifier: Apache-2.0
#include <tuple>
#include <utility>

#include "guest/opencl/entry.hpp"
#include "guest/opencl/info.hpp"
#include "guest/opencl/types.hpp"

namespace isthmus::opencl {

Queue::~Queue() {
  if (Connection* connection = Connection::get(); connection != nullptr && id != 0) {
    std::ignore = connection->post<Release>({.kind = ObjectKind::queue, .id = id});
  }
}

namespace entry {

cl_command_queue CL_API_CALL create_command_queue(cl_context context_handle, cl_device_id device_handle,
                                                  cl_command_queue_properties properties, cl_int* errcode_ret) {
  const auto context = find<Context>(context_handle);
  if (context == nullptr) {
    return refuse(CL_INVALID_CONTEXT, errcode_ret);
  }
  const auto device = find<Device>(device_handle);
  if (device == nullptr || !context->has(device)) {
    return refuse(CL_INVALID_DEVICE, errcode_ret);
  }
  constexpr cl_command_queue_properties known = CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE | CL_QUEUE_PROFILING_ENABLE;
  if ((properties & ~known) != 0) {
    return refuse(CL_INVALID_VALUE, errcode_ret);
  }
  if ((properties & ~device->value<cl_command_queue_properties>(CL_DEVICE_QUEUE_PROPERTIES, 0)) != 0) {
    return refuse(CL_INVALID_QUEUE_PROPERTIES, errcode_ret);
  }
  Connection* connection = Connection::get();
  if (connection == nullptr) {
    return refuse(CL_OUT_OF_RESOURCES, errcode_ret);
  }
  const Id id = connection->new_id();
  const auto made = connection->call<CreateQueue>(
      {.id = id, .context = context->id, .properties = properties, .device = device->number});
  if (!made) {
    return refuse(made.error(), errcode_ret);
  }
  auto queue = std::make_shared<Queue>();
  queue->id = id;
  queue->context = context;
  queue->device = device;
  queue->properties = properties;
  if (!publish(queue)) {
    return refuse(CL_OUT_OF_HOST_MEMORY, errcode_ret);
  }
  return give(CL_SUCCESS, handle_of(queue), errcode_ret);
}

cl_command_queue CL_API_CALL create_command_queue_with_properties(cl_context context, cl_device_id device,
                                                                  const cl_queue_properties* list,
                                                                  cl_int* errcode_ret) {
  cl_command_queue_properties properties = 0;
  std::vector<cl_queue_properties> given;
  for (; list != nullptr && *list != 0; list += 2) {
    if (*list != CL_QUEUE_PROPERTIES) {  // among them the size of a queue on the device
      return refuse(CL_INVALID_VALUE, errcode_ret);
    }
    properties = list[1];
    given.insert(given.end(), {list[0], list[1]});
  }
  if (list != nullptr) {
    given.push_back(0);
  }
  constexpr cl_command_queue_properties on_device = CL_QUEUE_ON_DEVICE | CL_QUEUE_ON_DEVICE_DEFAULT;
  if ((properties & on_device) != 0) {
    return refuse(CL_INVALID_QUEUE_PROPERTIES, errcode_ret);
  }
  cl_command_queue made = create_command_queue(context, device, properties, errcode_ret);
  if (const auto queue = find<Queue>(made); queue != nullptr) {
    queue->list = std::move(given);
  }
  return made;
}

cl_int CL_API_CALL retain_command_queue(cl_command_queue handle) {
  return Object::retain(handle, Queue::kind) ? CL_SUCCESS : CL_INVALID_COMMAND_QUEUE;
}

cl_int CL_API_CALL release_command_queue(cl_command_queue handle) {
  return Object::release(handle, Queue::kind) ? CL_SUCCESS : CL_INVALID_COMMAND_QUEUE;
}

cl_int CL_API_CALL get_command_queue_info(cl_command_queue handle, cl_command_queue_info parameter, std::size_t size,
                                          void* value, std::size_t* size_ret) {
  const auto queue = find<Queue>(handle);
  if (queue == nullptr) {
    return CL_INVALID_COMMAND_QUEUE;
  }
  const InfoTarget target(size, value, size_ret);
  switch (parameter) {
    case CL_QUEUE_CONTEXT:
      return target.value(handle_of(queue->context));
    case CL_QUEUE_DEVICE:
      return target.value(handle_of(queue->device));
    case CL_QUEUE_REFERENCE_COUNT:
      return target.value(queue->references());
    case CL_QUEUE_PROPERTIES:
      return target.value(queue->properties);
    case CL_QUEUE_PROPERTIES_ARRAY:
      return target.list(queue->list);
    case CL_QUEUE_DEVICE_DEFAULT:
      return target.value(cl_command_queue{nullptr});
    case CL_QUEUE_SIZE:
      return CL_INVALID_COMMAND_QUEUE;  // only a queue on the device has one
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL flush(cl_command_queue handle) {
  const auto queue = find<Queue>(handle);
  Connection* connection = Connection::get();
  return queue == nullptr || connection == nullptr ? CL_INVALID_COMMAND_QUEUE
                                                   : connection->post<Flush>({.queue = queue->id});
}

cl_int CL_API_CALL finish(cl_command_queue handle) {
  const auto queue = find<Queue>(handle);
  Connection* connection = Connection::get();
  if (queue == nullptr || connection == nullptr) {
    return CL_INVALID_COMMAND_QUEUE;
  }
  const std::uint64_t before = queue->sent();
  const auto done = connection->call<Finish>({.queue = queue->id});
  if (!done) {
    return done.error();
  }
  queue->complete(before);
  return CL_SUCCESS;
}

}  // namespace entry
}  // namespace isthmus::opencl
