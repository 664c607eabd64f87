// SPDX-License-Identifier: Apache-2.0

// Shared virtual memory: slab memory, which lies at the same address in the worker. So a pointer in it means the same
// to a kernel of a CPU device, nothing is ever copied for one, and mapping is a command's place in the queue.

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "guest/opencl/command.hpp"
#include "guest/opencl/entry.hpp"
#include "guest/opencl/types.hpp"
#include "src/gpu/opencl/bounds.hpp"

namespace isthmus::opencl {
namespace {

constexpr std::size_t largest_type = 128;  // bytes: long16 and double16, what clSVMAlloc aligns to
constexpr cl_uint most_pointers = 65536;

using SvmFreeCallback = void(CL_CALLBACK*)(cl_command_queue, cl_uint, void**, void*);

bool svm_flags_fit(cl_svm_mem_flags flags) {
  constexpr cl_svm_mem_flags access = CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY;
  constexpr cl_svm_mem_flags known = access | CL_MEM_SVM_FINE_GRAIN_BUFFER | CL_MEM_SVM_ATOMICS;
  return (flags & ~known) == 0 && std::popcount(flags & access) <= 1 &&
         ((flags & CL_MEM_SVM_ATOMICS) == 0 || (flags & CL_MEM_SVM_FINE_GRAIN_BUFFER) != 0);
}

// Whether one of the devices can do what the flags ask for.
bool has_device_for(const Context& context, cl_svm_mem_flags flags) {
  return std::ranges::any_of(context.devices, [flags](const auto& device) {
    const cl_device_svm_capabilities can = device->shared_memory();
    return can != 0 && ((flags & CL_MEM_SVM_FINE_GRAIN_BUFFER) == 0 || (can & CL_DEVICE_SVM_FINE_GRAIN_BUFFER) != 0) &&
           ((flags & CL_MEM_SVM_ATOMICS) == 0 || (can & CL_DEVICE_SVM_ATOMICS) != 0);
  });
}

std::byte* align(std::byte* address, std::size_t alignment) {
  const std::size_t over = reinterpret_cast<std::uintptr_t>(address) % alignment;
  return over == 0 ? address : address + (alignment - over);
}

std::shared_ptr<SharedBlock> make_block(Connection& connection, std::size_t size, std::size_t alignment) {
  auto frame = connection.allocate(size);
  if (frame && align(frame->data(), alignment) != frame->data()) {
    *frame = Frame();
    frame = connection.allocate(size + alignment);
  }
  if (!frame) {
    return nullptr;
  }
  auto block = std::make_shared<SharedBlock>();
  block->begin = align(frame->data(), alignment);
  block->size = size;
  block->frame = std::move(*frame);
  return block;
}

// As Enqueue::begin(), on a device that has shared virtual memory.
Expected<Enqueue> begin_svm(const Enqueue::Arguments& arguments, bool wants_event = false) {
  auto enqueue = Enqueue::begin(arguments, wants_event);
  if (enqueue && enqueue->queue()->device->shared_memory() == 0) {
    return std::unexpected(CL_INVALID_OPERATION);
  }
  return enqueue;
}

// A command of which only its place in the queue is left to do.
cl_int take_place(Enqueue& enqueue, bool blocking) {
  const bool in_order = (enqueue.queue()->properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) == 0;
  if (!in_order && enqueue.command().waits == 0) {
    // It waits for nothing; a marker would wait for all that was enqueued before.
    return enqueue.own_turn(blocking, [] {});
  }
  const cl_int code = enqueue.post<EnqueueMarker>({.command = enqueue.command()});
  if (code != CL_SUCCESS || !blocking) {
    return code;
  }
  const auto waited = enqueue.connection().call<WaitForEvents>({}, std::as_bytes(std::span(&enqueue.event()->id, 1)));
  return waited ? CL_SUCCESS : waited.error();
}

void fill(std::byte* to, std::size_t size, const std::vector<std::byte>& pattern) {
  for (std::size_t at = 0; at < size; at += pattern.size()) {
    std::ranges::copy(pattern, to + at);
  }
}

}  // namespace

namespace entry {

void* CL_API_CALL svm_alloc(cl_context handle, cl_svm_mem_flags flags, std::size_t size, cl_uint alignment) {
  const auto context = find<Context>(handle);
  Connection* connection = Connection::get();
  const std::size_t wanted = alignment == 0 ? largest_type : alignment;
  if (context == nullptr || connection == nullptr || !svm_flags_fit(flags) || !has_device_for(*context, flags) ||
      size == 0 || !std::has_single_bit(wanted) || wanted > largest_type ||
      std::ranges::none_of(context->devices, [size](const auto& device) { return size <= device->largest_buffer(); })) {
    return nullptr;
  }
  auto block = make_block(*connection, size, wanted);
  if (block == nullptr) {
    return nullptr;
  }
  std::byte* const begin = block->begin;
  context->shared.add(std::move(block));
  return begin;
}

void CL_API_CALL svm_free(cl_context handle, void* pointer) {
  if (const auto context = find<Context>(handle); context != nullptr) {
    context->shared.remove(pointer);
  }
}

cl_int CL_API_CALL enqueue_svm_free(cl_command_queue queue, cl_uint count, void** pointers, SvmFreeCallback free,
                                    void* user_data, cl_uint waits, const cl_event* events, cl_event* event) {
  auto enqueue =
      begin_svm({.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_SVM_FREE});
  if (!enqueue) {
    return enqueue.error();
  }
  if ((count == 0) != (pointers == nullptr) || count > most_pointers) {
    return CL_INVALID_VALUE;
  }
  // The application may use its array again at once.
  std::vector<void*> all(pointers, pointers + count);
  if (free != nullptr) {
    return enqueue->own_turn(
        false,
        [queue, free, user_data, all = std::move(all)]() mutable {
          free(queue, static_cast<cl_uint>(all.size()), all.data(), user_data);
        },
        TurnBy::callback);
  }
  return enqueue->own_turn(false, [context = enqueue->queue()->context, all = std::move(all)] {
    for (const void* one : all) {
      context->shared.remove(one);
    }
  });
}

cl_int CL_API_CALL enqueue_svm_memcpy(cl_command_queue queue, cl_bool blocking, void* to, const void* from,
                                      std::size_t size, cl_uint waits, const cl_event* events, cl_event* event) {
  auto enqueue =
      begin_svm({.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_SVM_MEMCPY},
                blocking != CL_FALSE && size == 0);
  if (!enqueue) {
    return enqueue.error();
  }
  if (to == nullptr || from == nullptr) {
    return CL_INVALID_VALUE;
  }
  const auto distance = reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(from);
  if (size != 0 && (distance < size || -distance < size)) {
    return CL_MEM_COPY_OVERLAP;
  }
  if (size == 0) {
    return take_place(*enqueue, blocking != CL_FALSE);
  }
  // Either may be memory of the program's own, which only this process has.
  return enqueue->own_turn(blocking != CL_FALSE, [to, from, size] { std::memcpy(to, from, size); });
}

cl_int CL_API_CALL enqueue_svm_mem_fill(cl_command_queue queue, void* to, const void* pattern, std::size_t pattern_size,
                                        std::size_t size, cl_uint waits, const cl_event* events, cl_event* event) {
  auto enqueue =
      begin_svm({.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_SVM_MEMFILL});
  if (!enqueue) {
    return enqueue.error();
  }
  if (to == nullptr || pattern == nullptr || !is_pattern_size(pattern_size) ||
      reinterpret_cast<std::uintptr_t>(to) % pattern_size != 0 || size % pattern_size != 0) {
    return CL_INVALID_VALUE;
  }
  const auto* const bytes = static_cast<const std::byte*>(pattern);
  return enqueue->own_turn(
      false, [to = static_cast<std::byte*>(to), size, copy = std::vector<std::byte>(bytes, bytes + pattern_size)] {
        fill(to, size, copy);
      });
}

cl_int CL_API_CALL enqueue_svm_map(cl_command_queue queue, cl_bool blocking, cl_map_flags flags, void* pointer,
                                   std::size_t size, cl_uint waits, const cl_event* events, cl_event* event) {
  auto enqueue =
      begin_svm({.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_SVM_MAP},
                blocking != CL_FALSE);
  if (!enqueue) {
    return enqueue.error();
  }
  constexpr cl_map_flags known = CL_MAP_READ | CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION;
  if (pointer == nullptr || size == 0 || flags == 0 || (flags & ~known) != 0) {
    return CL_INVALID_VALUE;
  }
  return take_place(*enqueue, blocking != CL_FALSE);
}

cl_int CL_API_CALL enqueue_svm_unmap(cl_command_queue queue, void* pointer, cl_uint waits, const cl_event* events,
                                     cl_event* event) {
  auto enqueue =
      begin_svm({.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_SVM_UNMAP});
  if (!enqueue) {
    return enqueue.error();
  }
  return pointer == nullptr ? CL_INVALID_VALUE : take_place(*enqueue, false);
}

cl_int CL_API_CALL enqueue_svm_migrate_mem(cl_command_queue queue, cl_uint count, const void** pointers,
                                           const std::size_t* sizes, cl_mem_migration_flags flags, cl_uint waits,
                                           const cl_event* events, cl_event* event) {
  auto enqueue =
      begin_svm({.queue = queue, .waits = waits, .events = events, .event = event, .type = CL_COMMAND_SVM_MIGRATE_MEM});
  if (!enqueue) {
    return enqueue.error();
  }
  constexpr cl_mem_migration_flags known = CL_MIGRATE_MEM_OBJECT_HOST | CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED;
  if (count == 0 || pointers == nullptr || (flags & ~known) != 0) {
    return CL_INVALID_VALUE;
  }
  const SharedBlocks& shared = enqueue->queue()->context->shared;
  for (cl_uint i = 0; i < count; ++i) {
    const std::size_t size = sizes != nullptr && sizes[i] != 0 ? sizes[i] : 1;
    if (shared.find(pointers[i], size) == nullptr) {
      return CL_INVALID_VALUE;
    }
  }
  return take_place(*enqueue, false);  // it lies where everybody can reach it
}

cl_int CL_API_CALL set_kernel_arg_svm_pointer(cl_kernel handle, cl_uint index, const void* pointer) {
  const auto kernel = find<Kernel>(handle);
  if (kernel == nullptr) {
    return CL_INVALID_KERNEL;
  }
  const Context& context = *kernel->program->context;
  if (!context.has_shared_memory()) {
    return CL_INVALID_OPERATION;
  }
  const std::scoped_lock lock(kernel->mutex);
  if (index >= kernel->arguments.size()) {
    return CL_INVALID_ARG_INDEX;
  }
  Kernel::Argument& argument = kernel->arguments[index];
  const bool takes_pointer = argument.expects == ArgumentKind::memory || argument.expects == ArgumentKind::unknown;
  if (!takes_pointer || (pointer != nullptr && context.shared.find(pointer) == nullptr)) {
    return CL_INVALID_ARG_VALUE;
  }
  argument.address = reinterpret_cast<std::uintptr_t>(pointer);
  argument.is = ArgumentKind::shared;
  argument.is_set = true;
  return CL_SUCCESS;
}

cl_int CL_API_CALL set_kernel_exec_info(cl_kernel handle, cl_kernel_exec_info parameter, std::size_t size,
                                        const void* value) {
  const auto kernel = find<Kernel>(handle);
  if (kernel == nullptr) {
    return CL_INVALID_KERNEL;
  }
  if (!kernel->program->context->has_shared_memory()) {
    return CL_INVALID_OPERATION;
  }
  if (value == nullptr || size == 0) {
    return CL_INVALID_VALUE;
  }
  switch (parameter) {
    case CL_KERNEL_EXEC_INFO_SVM_PTRS:
      // A kernel reaches all of the slab, whatever it was told of.
      return size % sizeof(void*) == 0 ? CL_SUCCESS : CL_INVALID_VALUE;
    case CL_KERNEL_EXEC_INFO_SVM_FINE_GRAIN_SYSTEM: {
      cl_bool wanted = CL_FALSE;
      if (size != sizeof wanted) {
        return CL_INVALID_VALUE;
      }
      std::memcpy(&wanted, value, sizeof wanted);
      return wanted == CL_FALSE ? CL_SUCCESS : CL_INVALID_OPERATION;
    }
    default:
      return CL_INVALID_VALUE;
  }
}

}  // namespace entry
}  // namespace isthmus::opencl
