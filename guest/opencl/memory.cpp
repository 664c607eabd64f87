// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <ranges>
#include <tuple>
#include <utility>

#include "guest/opencl/entry.hpp"
#include "guest/opencl/info.hpp"
#include "guest/opencl/memory_flags.hpp"
#include "guest/opencl/types.hpp"
#include "src/gpu/opencl/bounds.hpp"

namespace isthmus::opencl {

Memory::~Memory() {
  Connection* connection = Connection::get();
  if (connection == nullptr || id == 0) {
    return;
  }
  if (parent == nullptr) {
    connection->bury(id, std::move(frame), std::move(shared));  // before the host can say that it is done
  }
  std::ignore = connection->post<Release>({.kind = ObjectKind::memory, .id = id});
  for (auto& destructor : std::views::reverse(destructors)) {
    connection->run_callback(std::move(destructor));
  }
}

namespace entry {

cl_mem CL_API_CALL create_buffer(cl_context context_handle, cl_mem_flags flags, std::size_t size, void* host_ptr,
                                 cl_int* errcode_ret) {
  const auto context = find<Context>(context_handle);
  Connection* connection = Connection::get();
  if (context == nullptr || connection == nullptr) {
    return refuse(CL_INVALID_CONTEXT, errcode_ret);
  }
  if (!flags_fit(flags)) {
    return refuse(CL_INVALID_VALUE, errcode_ret);
  }
  if (size == 0 ||
      std::ranges::none_of(context->devices, [size](const auto& device) { return size <= device->largest_buffer(); })) {
    return refuse(CL_INVALID_BUFFER_SIZE, errcode_ret);
  }
  if (!host_pointer_fits(flags, host_ptr)) {
    return refuse(CL_INVALID_HOST_PTR, errcode_ret);
  }
  auto memory = std::make_shared<Memory>();
  if ((flags & CL_MEM_USE_HOST_PTR) != 0) {
    memory->shared = context->shared.find(host_ptr, size);
    memory->application = static_cast<std::byte*>(host_ptr);
  }
  Reference where;
  if (memory->shared != nullptr) {
    memory->bytes = std::exchange(memory->application, nullptr);
    where = memory->shared->reference(memory->bytes, size);
  } else {
    auto frame = frame_with(*connection, size, host_ptr);
    if (!frame) {
      return refuse(frame.error(), errcode_ret);
    }
    memory->bytes = frame->data();
    where = frame->reference();
    memory->frame = std::move(*frame);
  }
  const Id id = connection->new_id();
  const auto made = connection->call<CreateBuffer>(
      {.id = id, .context = context->id, .flags = with_kernel_access(flags) & told_flags, .memory = where});
  if (!made) {
    return refuse(made.error(), errcode_ret);
  }
  memory->id = id;
  memory->context = context;
  memory->flags = with_kernel_access(flags);
  memory->size = size;
  if (!publish(memory)) {
    return refuse(CL_OUT_OF_HOST_MEMORY, errcode_ret);
  }
  return give(CL_SUCCESS, handle_of(memory), errcode_ret);
}

cl_mem CL_API_CALL create_sub_buffer(cl_mem parent_handle, cl_mem_flags flags, cl_buffer_create_type type,
                                     const void* info, cl_int* errcode_ret) {
  const auto parent = find<Memory>(parent_handle);
  Connection* connection = Connection::get();
  if (parent == nullptr || connection == nullptr || parent->parent != nullptr || parent->image) {
    return refuse(CL_INVALID_MEM_OBJECT, errcode_ret);
  }
  const cl_mem_flags of_parent = parent->flags;
  const bool widens =
      ((of_parent & CL_MEM_WRITE_ONLY) != 0 && (flags & (CL_MEM_READ_WRITE | CL_MEM_READ_ONLY)) != 0) ||
      ((of_parent & CL_MEM_READ_ONLY) != 0 && (flags & (CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY)) != 0) ||
      ((of_parent & CL_MEM_HOST_WRITE_ONLY) != 0 && (flags & CL_MEM_HOST_READ_ONLY) != 0) ||
      ((of_parent & CL_MEM_HOST_READ_ONLY) != 0 && (flags & CL_MEM_HOST_WRITE_ONLY) != 0) ||
      ((of_parent & CL_MEM_HOST_NO_ACCESS) != 0 && (flags & (CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_WRITE_ONLY)) != 0);
  if (!flags_fit(flags) || (flags & host_memory) != 0 || widens || type != CL_BUFFER_CREATE_TYPE_REGION ||
      info == nullptr) {
    return refuse(CL_INVALID_VALUE, errcode_ret);
  }
  cl_buffer_region region{};
  std::memcpy(&region, info, sizeof region);
  if (region.size == 0) {
    return refuse(CL_INVALID_BUFFER_SIZE, errcode_ret);
  }
  if (!lies_within(region.origin, region.size, parent->size)) {
    return refuse(CL_INVALID_VALUE, errcode_ret);
  }
  if (std::ranges::none_of(parent->context->devices, [&](const auto& device) {
        const auto bits = device->template value<cl_uint>(CL_DEVICE_MEM_BASE_ADDR_ALIGN, 8);
        return bits < 8 || region.origin % (bits / 8) == 0;
      })) {
    return refuse(CL_MISALIGNED_SUB_BUFFER_OFFSET, errcode_ret);
  }
  auto memory = std::make_shared<Memory>();
  // What is not said is inherited.
  memory->flags = ((flags & kernel_access) != 0 ? flags & kernel_access : of_parent & kernel_access) |
                  ((flags & host_access) != 0 ? flags & host_access : of_parent & host_access) |
                  (of_parent & host_memory);
  const Id id = connection->new_id();
  const auto made = connection->call<CreateSubBuffer>({.id = id,
                                                       .parent = parent->id,
                                                       .flags = memory->flags & told_flags,
                                                       .origin = region.origin,
                                                       .size = region.size});
  if (!made) {
    return refuse(made.error(), errcode_ret);
  }
  memory->id = id;
  memory->context = parent->context;
  memory->parent = parent;
  memory->origin = region.origin;
  memory->size = region.size;
  memory->bytes = parent->bytes + region.origin;
  memory->shared = parent->shared;
  memory->application = parent->application != nullptr ? parent->application + region.origin : nullptr;
  if (!publish(memory)) {
    return refuse(CL_OUT_OF_HOST_MEMORY, errcode_ret);
  }
  return give(CL_SUCCESS, handle_of(memory), errcode_ret);
}

cl_int CL_API_CALL retain_mem_object(cl_mem handle) {
  return Object::retain(handle, Memory::kind) ? CL_SUCCESS : CL_INVALID_MEM_OBJECT;
}

cl_int CL_API_CALL release_mem_object(cl_mem handle) {
  return Object::release(handle, Memory::kind) ? CL_SUCCESS : CL_INVALID_MEM_OBJECT;
}

cl_int CL_API_CALL get_mem_object_info(cl_mem handle, cl_mem_info parameter, std::size_t size, void* value,
                                       std::size_t* size_ret) {
  const auto memory = find<Memory>(handle);
  if (memory == nullptr) {
    return CL_INVALID_MEM_OBJECT;
  }
  const InfoTarget target(size, value, size_ret);
  switch (parameter) {
    case CL_MEM_TYPE:
      return target.value(memory->image ? cl_mem_object_type{memory->image->kind} : CL_MEM_OBJECT_BUFFER);
    case CL_MEM_FLAGS:
      return target.value(memory->flags);
    case CL_MEM_SIZE:
      return target.value(static_cast<std::size_t>(memory->size));
    case CL_MEM_HOST_PTR:
      return target.value(static_cast<void*>(memory->shared != nullptr ? memory->bytes : memory->application));
    case CL_MEM_MAP_COUNT: {
      const std::scoped_lock lock(memory->mutex);
      return target.value(static_cast<cl_uint>(memory->mappings.size()));
    }
    case CL_MEM_REFERENCE_COUNT:
      return target.value(memory->references());
    case CL_MEM_CONTEXT:
      return target.value(handle_of(memory->context));
    case CL_MEM_ASSOCIATED_MEMOBJECT:
      return target.value(handle_of(memory->parent));
    case CL_MEM_PROPERTIES:
      return target.list(memory->properties);
    case CL_MEM_USES_SVM_POINTER:
      return target.value(static_cast<cl_bool>(memory->shared != nullptr ? CL_TRUE : CL_FALSE));
    case CL_MEM_OFFSET:
      return target.value(static_cast<std::size_t>(memory->origin));
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL set_mem_object_destructor_callback(cl_mem handle, void(CL_CALLBACK* notify)(cl_mem, void*),
                                                      void* user_data) {
  const auto memory = find<Memory>(handle);
  if (memory == nullptr) {
    return CL_INVALID_MEM_OBJECT;
  }
  if (notify == nullptr) {
    return CL_INVALID_VALUE;
  }
  const std::scoped_lock lock(memory->mutex);
  memory->destructors.emplace_back([notify, handle, user_data] { notify(handle, user_data); });
  return CL_SUCCESS;
}

}  // namespace entry
}  // namespace isthmus::opencl
