// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>

#include "guest/opencl/command.hpp"
#include "guest/opencl/entry.hpp"
#include "guest/opencl/types.hpp"

namespace isthmus::opencl {
namespace {

// How a kernel may be launched on a device, asked once. The kernel's mutex is held.
Expected<Kernel::WorkGroup> work_group_of(Kernel& kernel, const std::shared_ptr<Device>& device) {
  if (const auto known = kernel.work_groups.find(device.get()); known != kernel.work_groups.end()) {
    return known->second;
  }
  Connection* connection = Connection::get();
  if (connection == nullptr) {
    return std::unexpected(CL_OUT_OF_RESOURCES);
  }
  Kernel::WorkGroup group;
  const auto largest = connection->query(Subject::work_group, CL_KERNEL_WORK_GROUP_SIZE, kernel.id, device->number);
  const auto required =
      connection->query(Subject::work_group, CL_KERNEL_COMPILE_WORK_GROUP_SIZE, kernel.id, device->number);
  if (!largest || largest->size() != sizeof group.largest) {
    return std::unexpected(largest ? CL_INVALID_PROGRAM_EXECUTABLE : largest.error());
  }
  std::memcpy(&group.largest, largest->data(), sizeof group.largest);
  if (required && required->size() == sizeof group.required) {
    std::memcpy(group.required.data(), required->data(), sizeof group.required);
  }
  kernel.work_groups.insert_or_assign(device.get(), group);
  return group;
}

cl_int check_local(const Kernel::WorkGroup& group, Device& device, const EnqueueKernel::Request& request) {
  const bool is_required = std::ranges::any_of(group.required, [](std::size_t size) { return size != 0; });
  if (request.has_local == 0) {
    return is_required ? CL_INVALID_WORK_GROUP_SIZE : CL_SUCCESS;
  }
  std::array<std::size_t, 3> most{};
  const auto sizes = device.ask(CL_DEVICE_MAX_WORK_ITEM_SIZES);
  if (sizes) {
    std::memcpy(most.data(), sizes->data(), std::min(sizes->size(), sizeof most));
  }
  std::uint64_t all = 1;
  for (std::size_t i = 0; i < request.dimensions; ++i) {
    const std::uint64_t local = request.local.at(i);
    if (local == 0) {
      return CL_INVALID_WORK_GROUP_SIZE;
    }
    if (local > most.at(i)) {
      return CL_INVALID_WORK_ITEM_SIZE;
    }
    if (request.global.at(i) % local != 0 || (is_required && local != group.required.at(i)) ||
        __builtin_mul_overflow(all, local, &all)) {
      return CL_INVALID_WORK_GROUP_SIZE;
    }
  }
  return all > group.largest ? CL_INVALID_WORK_GROUP_SIZE : CL_SUCCESS;
}

// The name of the object that an argument is; one that is gone by now is no argument any more.
Expected<Id> name_of(const Kernel::Argument& argument, const Context& context) {
  const auto name = [&context](const auto& object) -> Expected<Id> {
    if (object == nullptr) {
      return std::unexpected(CL_INVALID_KERNEL_ARGS);
    }
    return object->context.get() == &context ? Expected<Id>(object->id) : std::unexpected(CL_INVALID_CONTEXT);
  };
  if (argument.is == ArgumentKind::sampler) {
    return name(argument.sampler.lock());
  }
  return argument.is_null ? Expected<Id>(0) : name(argument.memory.lock());
}

// Adds the arguments to the message. The kernel's mutex is held.
cl_int add_arguments(Enqueue& enqueue, const Kernel& kernel) {
  constexpr std::array<std::byte, 8> zeros{};
  auto local_left = enqueue.queue()->device->value<cl_ulong>(CL_DEVICE_LOCAL_MEM_SIZE, 0);
  for (std::uint32_t index = 0; index < kernel.arguments.size(); ++index) {
    const Kernel::Argument& argument = kernel.arguments[index];
    if (!argument.is_set) {
      return CL_INVALID_KERNEL_ARGS;
    }
    if (argument.is == ArgumentKind::local && argument.local_size > local_left) {
      return CL_OUT_OF_RESOURCES;
    }
    local_left -= argument.is == ArgumentKind::local ? argument.local_size : 0;
    ArgumentRow row{.index = index, .kind = argument.is, .size = argument.local_size};
    Id name = 0;
    std::span<const std::byte> value;
    if (argument.is == ArgumentKind::value) {
      value = argument.value;
      row.size = value.size();
    } else if (argument.is == ArgumentKind::shared) {
      value = std::as_bytes(std::span(&argument.address, 1));
      row.size = value.size();
    } else if (argument.is != ArgumentKind::local) {
      const auto named = name_of(argument, *enqueue.queue()->context);
      if (!named) {
        return named.error();
      }
      name = *named;
      value = std::as_bytes(std::span(&name, 1));
      row.size = value.size();
    }
    enqueue.add(std::as_bytes(std::span(&row, 1)));
    enqueue.add(value);
    enqueue.add(std::span(zeros).first((8 - value.size() % 8) % 8));
  }
  return CL_SUCCESS;
}

}  // namespace

namespace entry {

cl_int CL_API_CALL enqueue_nd_range_kernel(cl_command_queue queue, cl_kernel kernel_handle, cl_uint dimensions,
                                           const std::size_t* offset, const std::size_t* global,
                                           const std::size_t* local, cl_uint waits, const cl_event* events,
                                           cl_event* event) {
  auto enqueue = Enqueue::begin(
      {.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_NDRANGE_KERNEL});
  if (!enqueue) {
    return enqueue.error();
  }
  const auto kernel = find<Kernel>(kernel_handle);
  if (kernel == nullptr) {
    return CL_INVALID_KERNEL;
  }
  if (kernel->program->context != enqueue->queue()->context) {
    return CL_INVALID_CONTEXT;
  }
  if (dimensions < 1 || dimensions > 3) {
    return CL_INVALID_WORK_DIMENSION;
  }
  EnqueueKernel::Request request{.command = enqueue->command(),
                                 .kernel = kernel->id,
                                 .dimensions = dimensions,
                                 .has_local = local != nullptr ? 1U : 0U};
  bool is_empty = global == nullptr;
  for (cl_uint i = 0; !is_empty && i < dimensions; ++i) {
    request.global.at(i) = global[i];
    request.local.at(i) = local != nullptr ? local[i] : 0;
    request.offset.at(i) = offset != nullptr ? offset[i] : 0;
    std::uint64_t end = 0;
    is_empty = global[i] == 0;
    if (__builtin_add_overflow(request.global.at(i), request.offset.at(i), &end)) {
      return CL_INVALID_GLOBAL_OFFSET;
    }
  }
  const std::shared_ptr<Device>& device = enqueue->queue()->device;
  if (is_empty) {
    // Since OpenCL 2.1 a launch of nothing is one: what remains is the command's place in the queue.
    return device->version() < CL_MAKE_VERSION(3, 0, 0) ? CL_INVALID_GLOBAL_WORK_SIZE
                                                        : enqueue->post<EnqueueMarker>({.command = enqueue->command()});
  }
  const std::scoped_lock lock(kernel->mutex);
  const auto group = work_group_of(*kernel, device);
  if (!group) {
    return group.error();
  }
  if (const cl_int code = check_local(*group, *device, request); code != CL_SUCCESS) {
    return code;
  }
  if (const cl_int code = add_arguments(*enqueue, *kernel); code != CL_SUCCESS) {
    return code;
  }
  request.arguments = static_cast<std::uint32_t>(kernel->arguments.size());
  return enqueue->post<EnqueueKernel>(request);
}

cl_int CL_API_CALL enqueue_task(cl_command_queue queue, cl_kernel kernel, cl_uint waits, const cl_event* events,
                                cl_event* event) {
  constexpr std::size_t one = 1;
  return enqueue_nd_range_kernel(queue, kernel, 1, nullptr, &one, &one, waits, events, event);
}

}  // namespace entry
}  // namespace isthmus::opencl
