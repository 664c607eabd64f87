// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <string>
#include <tuple>
#include <utility>

#include "src/gpu/opencl/backend.hpp"
#include "src/gpu/opencl/memory_flags.hpp"
#include "src/gpu/opencl/opencl_service.hpp"

namespace isthmus::opencl {
namespace {

// What may be asked of the driver. Everything else answers with addresses in this process, writes to addresses, or is
// the client's own knowledge.
constexpr std::array platform_questions{CL_PLATFORM_PROFILE, CL_PLATFORM_VERSION, CL_PLATFORM_NAME, CL_PLATFORM_VENDOR};
constexpr std::array program_questions{CL_PROGRAM_NUM_KERNELS, CL_PROGRAM_KERNEL_NAMES, CL_PROGRAM_BINARY_SIZES};
constexpr std::array build_questions{CL_PROGRAM_BUILD_STATUS, CL_PROGRAM_BUILD_LOG, CL_PROGRAM_BINARY_TYPE,
                                     CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE};
constexpr std::array kernel_questions{CL_KERNEL_FUNCTION_NAME, CL_KERNEL_NUM_ARGS, CL_KERNEL_ATTRIBUTES};

bool is_device_question(std::uint32_t parameter) {
  // Up to OpenCL 3.0's, without the handles among them.
  return parameter >= CL_DEVICE_TYPE && parameter <= CL_DEVICE_LATEST_CONFORMANCE_VERSION_PASSED &&
         parameter != CL_DEVICE_PLATFORM && parameter != CL_DEVICE_PARENT_DEVICE;
}

bool is_about_languages(std::uint32_t parameter) {
  return parameter == CL_DEVICE_IL_VERSION || parameter == CL_DEVICE_ILS_WITH_VERSION;
}

bool is_among(std::span<const int> questions, std::uint32_t parameter) {
  return std::ranges::any_of(questions,
                             [parameter](int question) { return static_cast<std::uint32_t>(question) == parameter; });
}

bool may_be_asked(Subject subject, std::uint32_t parameter) {
  switch (subject) {
    case Subject::platform:
      return is_among(platform_questions, parameter);
    case Subject::device:
      return is_device_question(parameter);
    case Subject::program:
      return is_among(program_questions, parameter);
    case Subject::build:
      return is_among(build_questions, parameter);
    case Subject::kernel:
      return is_among(kernel_questions, parameter);
    case Subject::argument:
      return parameter >= CL_KERNEL_ARG_ADDRESS_QUALIFIER && parameter <= CL_KERNEL_ARG_NAME;
    case Subject::work_group:
      return parameter >= CL_KERNEL_WORK_GROUP_SIZE && parameter <= CL_KERNEL_GLOBAL_WORK_SIZE;
    case Subject::event:
      return parameter == CL_EVENT_COMMAND_EXECUTION_STATUS;
    case Subject::profile:
      return parameter >= CL_PROFILING_COMMAND_QUEUED && parameter <= CL_PROFILING_COMMAND_COMPLETE;
    case Subject::image_formats:
      return parameter >= CL_MEM_OBJECT_IMAGE2D && parameter <= CL_MEM_OBJECT_IMAGE1D_BUFFER;
  }
  return false;
}

// A reply's trailing bytes, at most: well below what a message can hold.
constexpr std::size_t longest_part = 28 * 1024;
// A driver's answer: logs and lists of kernels are long, but not without end.
constexpr std::size_t longest_answer = std::size_t{64} << 20;

}  // namespace

std::string prepare_driver() {
  const auto& driver = Driver::shared();
  return driver ? "OpenCL devices: " + std::to_string((*driver)->devices().size()) : driver.error().message;
}

cl_int LaneBackend::ask(const Query::Request& request, std::size_t size, void* to, std::size_t* needed) const {
  const Driver* cl = driver();
  if (cl == nullptr || !may_be_asked(request.subject, request.parameter)) {
    return CL_INVALID_VALUE;
  }
  const auto id_of = [this](std::uint64_t number) {
    const auto found = device(number);
    return found ? found->id : nullptr;
  };
  switch (request.subject) {
    case Subject::platform:
      return request.object >= cl->platforms().size()
                 ? CL_INVALID_PLATFORM
                 : cl->clGetPlatformInfo(cl->platforms()[static_cast<std::size_t>(request.object)], request.parameter,
                                         size, to, needed);
    case Subject::device: {
      const auto found = device(request.object);
      if (!found) {
        return CL_INVALID_DEVICE;
      }
      // A language that there is no function for is none.
      const bool is_answered = !is_about_languages(request.parameter) || found->create_with_il != nullptr;
      return is_answered ? cl->clGetDeviceInfo(found->id, request.parameter, size, to, needed) : CL_INVALID_VALUE;
    }
    case Subject::program:
    case Subject::build: {
      const auto program = programs_.find(request.object);
      if (program == nullptr) {
        return CL_INVALID_PROGRAM;
      }
      if (request.subject == Subject::program) {
        return cl->clGetProgramInfo(program->handle.get(), request.parameter, size, to, needed);
      }
      cl_device_id id = id_of(request.detail);
      return id == nullptr ? CL_INVALID_DEVICE
                           : cl->clGetProgramBuildInfo(program->handle.get(), id, request.parameter, size, to, needed);
    }
    case Subject::kernel:
    case Subject::argument:
    case Subject::work_group: {
      const auto kernel = kernels_.find(request.object);
      if (kernel == nullptr) {
        return CL_INVALID_KERNEL;
      }
      if (request.subject == Subject::kernel) {
        return cl->clGetKernelInfo(kernel->handle.get(), request.parameter, size, to, needed);
      }
      if (request.subject == Subject::argument) {
        return request.detail >= kernel->arguments.size()
                   ? CL_INVALID_ARG_INDEX
                   : cl->clGetKernelArgInfo(kernel->handle.get(), static_cast<cl_uint>(request.detail),
                                            request.parameter, size, to, needed);
      }
      cl_device_id id = id_of(request.detail);
      return id == nullptr
                 ? CL_INVALID_DEVICE
                 : cl->clGetKernelWorkGroupInfo(kernel->handle.get(), id, request.parameter, size, to, needed);
    }
    case Subject::event:
    case Subject::profile: {
      const auto event = events_.find(request.object);
      if (event == nullptr) {
        return CL_INVALID_EVENT;
      }
      if (request.subject == Subject::event) {
        return cl->clGetEventInfo(event->handle.get(), request.parameter, size, to, needed);
      }
      const bool at_the_end = request.parameter >= CL_PROFILING_COMMAND_END || event->began.get() == nullptr;
      return cl->clGetEventProfilingInfo(at_the_end ? event->handle.get() : event->began.get(), request.parameter, size,
                                         to, needed);
    }
    case Subject::image_formats: {
      const auto context = contexts_.find(request.object);
      if (context == nullptr) {
        return CL_INVALID_CONTEXT;
      }
      cl_uint count = 0;
      const cl_int code = cl->clGetSupportedImageFormats(
          context->handle.get(), request.detail & (device_flags | CL_MEM_KERNEL_READ_AND_WRITE), request.parameter,
          static_cast<cl_uint>(size / sizeof(cl_image_format)), static_cast<cl_image_format*>(to), &count);
      if (needed != nullptr) {
        *needed = count * sizeof(cl_image_format);
      }
      return code;
    }
  }
  return CL_INVALID_VALUE;
}

Answer<Query::Reply> LaneBackend::query(const Query::Request& request, marshal::Call& call) const {
  std::size_t needed = 0;
  if (const cl_int code = ask(request, 0, nullptr, &needed); code != CL_SUCCESS) {
    return refuse(code);
  }
  if (needed > longest_answer) {
    return refuse(CL_OUT_OF_HOST_MEMORY);
  }
  // Valid until the handler's caller has sent the reply.
  static thread_local std::vector<std::byte> answered;
  answered.assign(needed, std::byte{0});
  if (const cl_int code = needed == 0 ? CL_SUCCESS : ask(request, needed, answered.data(), nullptr);
      code != CL_SUCCESS) {
    return refuse(code);
  }
  const auto from = static_cast<std::size_t>(std::min<std::uint64_t>(request.offset, needed));
  call.reply_trailing(std::span<const std::byte>(answered).subspan(from, std::min(needed - from, longest_part)));
  return Query::Reply{.total = needed};
}

void LaneBackend::add_discovery(marshal::Dispatcher& dispatcher) {
  const auto self = shared_from_this();
  dispatcher.on<Discover>([self](const Discover::Request&, marshal::Call& call) -> Answer<Discover::Reply> {
    if (!call.wants_reply()) {
      return Discover::Reply{};
    }
    // Bringing up a driver takes a while. Tasks hold no share of the backend: it must not end in its own thread.
    LaneBackend* backend = self.get();
    backend->slow_.push([backend, pending = call.defer()]() mutable {
      if (const auto& loaded = Driver::shared()) {
        backend->driver_.store(*loaded, std::memory_order_release);
      }
      std::vector<DeviceRow> rows;
      Discover::Reply reply;
      if (const Driver* cl = backend->driver(); cl != nullptr) {
        reply.platforms = static_cast<std::uint32_t>(cl->platforms().size());
        for (const Driver::Device& device : cl->devices()) {
          rows.push_back({.platform = device.platform, .type = device.type});
        }
      }
      reply.devices = static_cast<std::uint32_t>(rows.size());
      std::ignore = pending.reply(0, marshal::bytes_of(reply), std::as_bytes(std::span(rows)));
    });
    return Discover::Reply{};
  });
  dispatcher.on<Query>(
      [self](const Query::Request& request, marshal::Call& call) { return self->query(request, call); });
}

}  // namespace isthmus::opencl
