// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include "src/gpu/opencl/backend.hpp"

namespace isthmus::opencl {
namespace {

std::string type_of(const Driver& cl, cl_kernel kernel, cl_uint index) {
  std::array<char, 64> type{};
  const bool known = cl.clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_TYPE_NAME, type.size() - 1, type.data(),
                                           nullptr) == CL_SUCCESS;
  return known ? type.data() : "";
}

// The size of a value of a built-in type, or 0. Some drivers take values that are too short, and read what lies behind.
std::size_t size_of(std::string_view type) {
  constexpr std::array<std::pair<std::string_view, std::size_t>, 11> scalars{{{"char", 1},
                                                                              {"uchar", 1},
                                                                              {"short", 2},
                                                                              {"ushort", 2},
                                                                              {"half", 2},
                                                                              {"int", 4},
                                                                              {"uint", 4},
                                                                              {"float", 4},
                                                                              {"long", 8},
                                                                              {"ulong", 8},
                                                                              {"double", 8}}};
  const std::size_t digits = std::min(type.find_first_of("0123456789"), type.size());
  std::size_t count = 1;
  if (const std::string_view number = type.substr(digits); !number.empty()) {
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), count);
    if (error != std::errc{} || end != number.data() + number.size()) {
      return 0;
    }
  }
  const auto* scalar =
      std::ranges::find(scalars, type.substr(0, digits), [](const auto& entry) { return entry.first; });
  return scalar == scalars.end() ? 0 : scalar->second * (count == 3 ? 4 : count);
}

ArgumentKind kind_of(const Driver& cl, cl_kernel kernel, cl_uint index) {
  cl_kernel_arg_address_qualifier qualifier = 0;
  if (cl.clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_ADDRESS_QUALIFIER, sizeof qualifier, &qualifier, nullptr) !=
      CL_SUCCESS) {
    return ArgumentKind::unknown;
  }
  // The driver would take their values for addresses.
  const std::string name = type_of(cl, kernel, index);
  if (name.starts_with("pipe") || name == "queue_t") {
    return ArgumentKind::unsupported;
  }
  if (name == "sampler_t" || name.starts_with("image")) {
    return name == "sampler_t" ? ArgumentKind::sampler : ArgumentKind::image;
  }
  switch (qualifier) {
    case CL_KERNEL_ARG_ADDRESS_GLOBAL:
    case CL_KERNEL_ARG_ADDRESS_CONSTANT:
      return ArgumentKind::memory;
    case CL_KERNEL_ARG_ADDRESS_LOCAL:
      return ArgumentKind::local;
    default:
      return ArgumentKind::value;
  }
}

bool names_object(ArgumentKind kind) {
  return kind == ArgumentKind::memory || kind == ArgumentKind::image || kind == ArgumentKind::sampler;
}

// No value is longer than a message; so a padded size never overflows.
constexpr std::uint64_t largest_message = 1 << 16;

bool fits(ArgumentKind said, ArgumentKind is) {
  return said == is || is == ArgumentKind::unknown || (said == ArgumentKind::shared && is == ArgumentKind::memory);
}

}  // namespace

std::vector<ArgumentKind> LaneBackend::arguments_of(cl_kernel kernel) const {
  const Driver& cl = *driver();
  cl_uint count = 0;
  std::vector<ArgumentKind> kinds;
  if (cl.clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof count, &count, nullptr) == CL_SUCCESS) {
    for (cl_uint index = 0; index < count; ++index) {
      kinds.push_back(kind_of(cl, kernel, index));
    }
  }
  return kinds;
}

cl_int LaneBackend::set_object(KernelObject& kernel, const ArgumentRow& row, Id name,
                               std::vector<std::shared_ptr<void>>& used) const {
  const Driver& cl = *driver();
  if (row.kind == ArgumentKind::sampler) {
    const auto sampler = samplers_.find(name);
    if (sampler == nullptr) {
      return CL_INVALID_KERNEL_ARGS;
    }
    cl_sampler handle = sampler->handle.get();
    used.push_back(sampler);
    return cl.clSetKernelArg(kernel.handle.get(), row.index, sizeof(cl_sampler), static_cast<const void*>(&handle));
  }
  const auto memory = name != 0 ? memory_.find(name) : nullptr;
  // Drivers believe that an argument which they take for an image is one.
  const bool is_image = memory != nullptr && memory->image.has_value();
  if ((memory == nullptr && (name != 0 || row.kind == ArgumentKind::image)) ||
      is_image != (row.kind == ArgumentKind::image)) {
    return CL_INVALID_KERNEL_ARGS;
  }
  cl_mem handle = memory != nullptr ? memory->handle.get() : nullptr;
  used.push_back(memory);
  return cl.clSetKernelArg(kernel.handle.get(), row.index, sizeof(cl_mem), static_cast<const void*>(&handle));
}

cl_int LaneBackend::set_shared(KernelObject& kernel, std::uint32_t index, std::uint64_t address) const {
  const Driver& cl = *driver();
  // Kernels of a CPU device reach all of the process anyway; this is against honest mistakes.
  const auto begin = reinterpret_cast<std::uintptr_t>(window_.data());
  if (cl.clSetKernelArgSVMPointer == nullptr || (address != 0 && address - begin >= window_.size())) {
    return CL_INVALID_KERNEL_ARGS;
  }
  // NOLINTNEXTLINE(performance-no-int-to-ptr): what a shared pointer is
  return cl.clSetKernelArgSVMPointer(kernel.handle.get(), index, reinterpret_cast<const void*>(address));
}

cl_int LaneBackend::set_arguments(KernelObject& kernel, std::uint32_t count, marshal::TrailingReader& trailing,
                                  cl_ulong local_memory, std::vector<std::shared_ptr<void>>& used) {
  const Driver& cl = *driver();
  cl_ulong local_left = local_memory;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto row = trailing.value<ArgumentRow>();
    if (!row || row->index >= kernel.arguments.size() || !fits(row->kind, kernel.arguments[row->index])) {
      return CL_INVALID_KERNEL_ARGS;
    }
    cl_int code = CL_INVALID_KERNEL_ARGS;
    if (row->kind == ArgumentKind::local) {
      if (row->size > local_left) {
        return CL_OUT_OF_RESOURCES;
      }
      local_left -= row->size;
      code = cl.clSetKernelArg(kernel.handle.get(), row->index, row->size, nullptr);
    } else if (names_object(row->kind)) {
      const auto name = trailing.value<Id>();
      code = name ? set_object(kernel, *row, *name, used) : CL_INVALID_KERNEL_ARGS;
    } else if (row->kind == ArgumentKind::shared) {
      const auto address = trailing.value<std::uint64_t>();
      code = address ? set_shared(kernel, row->index, *address) : CL_INVALID_KERNEL_ARGS;
    } else if (row->kind == ArgumentKind::value) {
      const auto padded = trailing.raw(row->size <= largest_message ? (row->size + 7) / 8 * 8 : row->size);
      if (!padded) {
        return CL_INVALID_KERNEL_ARGS;
      }
      code = cl.clSetKernelArg(kernel.handle.get(), row->index, row->size, padded->data());
    }
    if (code != CL_SUCCESS) {
      return code;
    }
  }
  return CL_SUCCESS;
}

cl_int LaneBackend::enqueue_kernel(const EnqueueKernel::Request& request, marshal::TrailingReader& trailing,
                                   const Place& place) {
  const auto kernel = kernels_.find(request.kernel);
  if (kernel == nullptr) {
    return CL_INVALID_KERNEL;
  }
  if (request.dimensions < 1 || request.dimensions > request.global.size()) {
    return CL_INVALID_WORK_DIMENSION;
  }
  const Driver& cl = *driver();
  std::array<std::size_t, 3> offset{};
  std::array<std::size_t, 3> global{};
  std::array<std::size_t, 3> local{};
  for (std::size_t i = 0; i < request.dimensions; ++i) {
    offset.at(i) = request.offset.at(i);
    global.at(i) = request.global.at(i);
    local.at(i) = request.local.at(i);
    if (global.at(i) == 0 || (request.has_local != 0 && local.at(i) == 0)) {
      return CL_INVALID_WORK_GROUP_SIZE;
    }
  }
  std::vector<std::shared_ptr<void>> used;  // until the driver has taken its own share of them
  const std::scoped_lock lock(kernel->mutex);
  if (const cl_int code = set_arguments(*kernel, request.arguments, trailing, place.queue.local_memory, used);
      code != CL_SUCCESS) {
    return code;
  }
  return cl.clEnqueueNDRangeKernel(place.queue.handle.get(), kernel->handle.get(), request.dimensions, offset.data(),
                                   global.data(), request.has_local != 0 ? local.data() : nullptr, place.waits,
                                   place.events, place.made);
}

void LaneBackend::add_kernels(marshal::Dispatcher& dispatcher) {
  const auto self = shared_from_this();
  dispatcher.on<CreateKernel>(
      [self](const CreateKernel::Request& request, marshal::Call& call) -> Answer<CreateKernel::Reply> {
        auto program = self->programs_.find(request.program);
        if (program == nullptr) {
          return refuse(CL_INVALID_PROGRAM);
        }
        std::string name;
        for (const std::byte byte : call.trailing()) {
          name += static_cast<char>(byte);
        }
        const Driver& cl = *self->driver();
        cl_int code = CL_SUCCESS;
        auto kernel = std::make_shared<KernelObject>();
        kernel->handle = Owned(cl.clCreateKernel(program->handle.get(), name.c_str(), &code), cl.clReleaseKernel);
        if (code != CL_SUCCESS) {
          return refuse(code);
        }
        kernel->program = std::move(program);
        static thread_local std::vector<ArgumentKind> kinds;  // until the reply is sent
        kinds = self->arguments_of(kernel->handle.get());
        kernel->arguments = kinds;
        if (!self->kernels_.add(request.id, std::move(kernel))) {
          return refuse(CL_INVALID_KERNEL);
        }
        call.reply_trailing(std::as_bytes(std::span(kinds)));
        return CreateKernel::Reply{.arguments = static_cast<std::uint32_t>(kinds.size())};
      });
  dispatcher.on<CheckArgument>([self](const CheckArgument::Request& request, marshal::Call& call) -> Answer<Nothing> {
    const auto kernel = self->kernels_.find(request.kernel);
    if (kernel == nullptr) {
      return refuse(CL_INVALID_KERNEL);
    }
    if (request.index >= kernel->arguments.size()) {
      return refuse(CL_INVALID_ARG_INDEX);
    }
    if (!fits(ArgumentKind::value, kernel->arguments[request.index])) {
      return refuse(CL_INVALID_ARG_VALUE);
    }
    const Driver& cl = *self->driver();
    const std::size_t size = size_of(type_of(cl, kernel->handle.get(), request.index));
    if (size != 0 && size != call.trailing().size()) {
      return refuse(CL_INVALID_ARG_SIZE);
    }
    const std::scoped_lock lock(kernel->mutex);
    return answer(
        cl.clSetKernelArg(kernel->handle.get(), request.index, call.trailing().size(), call.trailing().data()));
  });
  on_enqueue<EnqueueKernel>(
      dispatcher, [](LaneBackend& backend, const EnqueueKernel::Request& request, marshal::TrailingReader& trailing,
                     const Place& place) { return backend.enqueue_kernel(request, trailing, place); });
}

}  // namespace isthmus::opencl
