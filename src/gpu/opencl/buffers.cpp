// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <tuple>
#include <utility>

#include "src/gpu/opencl/backend.hpp"
#include "src/gpu/opencl/bounds.hpp"
#include "src/gpu/opencl/memory_flags.hpp"
#include "src/gpu/opencl/upcall.hpp"

namespace isthmus::opencl {
namespace {

// Tells the client that a buffer's memory is its own again.
struct ReleaseNotice {
  std::shared_ptr<TaskQueue> queue;
  std::shared_ptr<Upcalls> upcalls;
  Id id = 0;
};

extern "C" void CL_CALLBACK on_memory_released(cl_mem, void* data) {
  std::unique_ptr<ReleaseNotice> notice(static_cast<ReleaseNotice*>(data));
  const std::shared_ptr<TaskQueue> queue = notice->queue;
  queue->push([notice = std::move(notice)] { tell<MemoryReleased>(notice->upcalls, {.id = notice->id}); });
}

}  // namespace

void LaneBackend::tell_of_release(cl_mem handle, Id id, const marshal::Call& call) const {
  auto notice =
      std::make_unique<ReleaseNotice>(ReleaseNotice{.queue = soon_.queue(), .upcalls = call.upcalls(), .id = id});
  if (driver()->clSetMemObjectDestructorCallback(handle, on_memory_released, notice.get()) == CL_SUCCESS) {
    std::ignore = notice.release();  // on_memory_released has it
  }
}

void LaneBackend::add_memory(marshal::Dispatcher& dispatcher) {
  const auto self = shared_from_this();
  dispatcher.on<CreateBuffer>([self](const CreateBuffer::Request& request, marshal::Call& call) -> Answer<Nothing> {
    auto context = self->contexts_.find(request.context);
    if (context == nullptr) {
      return refuse(CL_INVALID_CONTEXT);
    }
    const auto bytes = call.resolve(request.memory);
    if (!bytes || bytes->empty()) {
      return refuse(CL_INVALID_BUFFER_SIZE);
    }
    if ((request.flags & ~access_flags) != 0) {
      return refuse(CL_INVALID_VALUE);
    }
    const Driver& cl = *self->driver();
    cl_int code = CL_SUCCESS;
    auto memory = std::make_shared<MemoryObject>();
    memory->handle =
        Owned(cl.clCreateBuffer(context->handle.get(), (request.flags & device_flags) | CL_MEM_USE_HOST_PTR,
                                bytes->size(), bytes->data(), &code),
              cl.clReleaseMemObject);
    if (code != CL_SUCCESS) {
      return refuse(code);
    }
    memory->context = std::move(context);
    memory->bytes = bytes->data();
    memory->size = bytes->size();
    cl_mem handle = memory->handle.get();
    if (!self->memory_.add(request.id, memory)) {
      return refuse(CL_INVALID_MEM_OBJECT);
    }
    self->tell_of_release(handle, request.id, call);
    return Nothing{};
  });

  dispatcher.on<CreateSubBuffer>([self](const CreateSubBuffer::Request& request, marshal::Call&) -> Answer<Nothing> {
    const auto parent = self->memory_.find(request.parent);
    if (parent == nullptr || parent->image) {
      return refuse(CL_INVALID_MEM_OBJECT);
    }
    if (request.size == 0 || !lies_within(request.origin, request.size, parent->size) ||
        (request.flags & ~access_flags) != 0) {
      return refuse(CL_INVALID_VALUE);
    }
    const Driver& cl = *self->driver();
    const cl_buffer_region region{.origin = request.origin, .size = request.size};
    cl_int code = CL_SUCCESS;
    auto memory = std::make_shared<MemoryObject>();
    memory->handle = Owned(cl.clCreateSubBuffer(parent->handle.get(), request.flags & device_flags,
                                                CL_BUFFER_CREATE_TYPE_REGION, &region, &code),
                           cl.clReleaseMemObject);
    if (code != CL_SUCCESS) {
      return refuse(code);
    }
    memory->context = parent->context;
    memory->bytes = parent->bytes + request.origin;
    memory->size = request.size;
    return self->memory_.add(request.id, std::move(memory)) ? Answer<Nothing>(Nothing{})
                                                            : refuse(CL_INVALID_MEM_OBJECT);
  });
}

}  // namespace isthmus::opencl
