// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <ranges>
#include <string_view>
#include <tuple>
#include <utility>

#include "guest/opencl/build.hpp"
#include "guest/opencl/entry.hpp"
#include "guest/opencl/info.hpp"
#include "guest/opencl/types.hpp"

namespace isthmus::opencl {
namespace {

constexpr std::size_t most_arguments = 4096;
constexpr std::size_t longest_value = 4096;  // CL_DEVICE_MAX_PARAMETER_SIZE is 1024 on most devices
constexpr std::size_t longest_name = 4096;

Expected<std::shared_ptr<Kernel>> make_kernel(const std::shared_ptr<Program>& program, std::string_view name) {
  Connection* connection = Connection::get();
  if (connection == nullptr) {
    return std::unexpected(CL_OUT_OF_RESOURCES);
  }
  const Id id = connection->new_id();
  std::array<ArgumentKind, most_arguments> kinds;
  const auto made = connection->call<CreateKernel>({.id = id, .program = program->id}, std::as_bytes(std::span(name)),
                                                   std::as_writable_bytes(std::span(kinds)));
  if (!made) {
    return std::unexpected(made.error());
  }
  auto kernel = std::make_shared<Kernel>();
  kernel->id = id;
  kernel->program = program;
  kernel->name = name;
  program->kernels.fetch_add(1);
  const std::size_t count = std::min<std::size_t>(made->trailing / sizeof(ArgumentKind), kinds.size());
  for (const ArgumentKind expected : std::span(kinds).first(count)) {
    Kernel::Argument argument;
    argument.expects = expected;
    kernel->arguments.push_back(std::move(argument));
  }
  if (!publish(kernel)) {
    return std::unexpected(CL_OUT_OF_HOST_MEMORY);
  }
  return kernel;
}

// A handle that an argument's value holds: one for a buffer may be null, or missing.
template <class T>
cl_int find_value(std::size_t size, const void* value, std::shared_ptr<T>& found, bool& is_null) {
  typename T::Handle handle = nullptr;
  if (size != sizeof(typename T::Handle)) {
    return CL_INVALID_ARG_SIZE;
  }
  if (value != nullptr) {
    std::memcpy(static_cast<void*>(&handle), value, size);
  }
  is_null = handle == nullptr;
  found = is_null ? nullptr : find<T>(handle);
  return CL_SUCCESS;
}

cl_int set_memory(Kernel::Argument& argument, std::size_t size, const void* value, ArgumentKind is) {
  std::shared_ptr<Memory> memory;
  bool is_null = false;
  if (const cl_int code = find_value(size, value, memory, is_null); code != CL_SUCCESS) {
    return code;
  }
  const bool may_be_null = is == ArgumentKind::memory;
  if (memory == nullptr ? !(is_null && may_be_null) : memory->image.has_value() != (is == ArgumentKind::image)) {
    return CL_INVALID_MEM_OBJECT;
  }
  argument.memory = memory;
  argument.is_null = is_null;
  argument.is = is;
  return CL_SUCCESS;
}

cl_int set_sampler(Kernel::Argument& argument, std::size_t size, const void* value) {
  bool is_null = false;
  std::shared_ptr<Sampler> sampler;
  if (const cl_int code = find_value(size, value, sampler, is_null); code != CL_SUCCESS) {
    return code;
  }
  if (sampler == nullptr) {
    return CL_INVALID_SAMPLER;
  }
  argument.sampler = sampler;
  argument.is = ArgumentKind::sampler;
  return CL_SUCCESS;
}

cl_int set_local(Kernel::Argument& argument, std::size_t size, const void* value) {
  if (value != nullptr) {
    return CL_INVALID_ARG_VALUE;
  }
  if (size == 0) {
    return CL_INVALID_ARG_SIZE;
  }
  argument.local_size = size;
  argument.is = ArgumentKind::local;
  return CL_SUCCESS;
}

cl_int set_value(const Kernel& kernel, Kernel::Argument& argument, cl_uint index, std::size_t size, const void* value) {
  if (value == nullptr) {
    return CL_INVALID_ARG_VALUE;
  }
  if (size == 0 || size > longest_value) {
    return CL_INVALID_ARG_SIZE;
  }
  const std::span bytes(static_cast<const std::byte*>(value), size);
  if (argument.checked_size != size) {
    // Only the driver knows a structure's size. It is asked once.
    Connection* connection = Connection::get();
    if (connection == nullptr) {
      return CL_OUT_OF_RESOURCES;
    }
    const auto accepted = connection->call<CheckArgument>({.kernel = kernel.id, .index = index}, bytes);
    if (!accepted) {
      return accepted.error();
    }
    argument.checked_size = size;
  }
  argument.value.assign(bytes.begin(), bytes.end());
  argument.is = ArgumentKind::value;
  return CL_SUCCESS;
}

cl_int set_argument(const Kernel& kernel, Kernel::Argument& argument, cl_uint index, std::size_t size,
                    const void* value) {
  switch (argument.expects) {
    case ArgumentKind::memory:
    case ArgumentKind::image:
      return set_memory(argument, size, value, argument.expects);
    case ArgumentKind::sampler:
      return set_sampler(argument, size, value);
    case ArgumentKind::local:
      return set_local(argument, size, value);
    case ArgumentKind::value:
      return set_value(kernel, argument, index, size, value);
    case ArgumentKind::unsupported:
    case ArgumentKind::shared:      // no argument is declared so
      return CL_INVALID_ARG_VALUE;  // what does not exist cannot be passed
    case ArgumentKind::unknown:
      break;
  }
  // A program made from a binary may not say. What looks like one of our objects is one.
  if (value == nullptr) {
    return set_local(argument, size, value);
  }
  if (size == sizeof(void*)) {
    void* handle = nullptr;
    std::memcpy(static_cast<void*>(&handle), value, size);
    if (const auto memory = find<Memory>(static_cast<cl_mem>(handle)); memory != nullptr) {
      return set_memory(argument, size, value, memory->image ? ArgumentKind::image : ArgumentKind::memory);
    }
    if (find<Sampler>(static_cast<cl_sampler>(handle)) != nullptr) {
      return set_sampler(argument, size, value);
    }
  }
  return set_value(kernel, argument, index, size, value);
}

}  // namespace

Kernel::~Kernel() {
  if (program != nullptr) {
    program->kernels.fetch_sub(1);
  }
  if (Connection* connection = Connection::get(); connection != nullptr && id != 0) {
    std::ignore = connection->post<Release>({.kind = ObjectKind::kernel, .id = id});
  }
}

namespace entry {

cl_kernel CL_API_CALL create_kernel(cl_program program_handle, const char* name, cl_int* errcode_ret) {
  const auto program = find<Program>(program_handle);
  if (program == nullptr) {
    return refuse(CL_INVALID_PROGRAM, errcode_ret);
  }
  if (name == nullptr) {
    return refuse(CL_INVALID_VALUE, errcode_ret);
  }
  const std::string_view text(name);
  if (text.size() > longest_name) {
    return refuse(CL_INVALID_KERNEL_NAME, errcode_ret);
  }
  const auto kernel = make_kernel(program, text);
  if (!kernel) {
    return refuse(kernel.error(), errcode_ret);
  }
  return give(CL_SUCCESS, handle_of(*kernel), errcode_ret);
}

cl_int CL_API_CALL create_kernels_in_program(cl_program program_handle, cl_uint room, cl_kernel* kernels,
                                             cl_uint* count_ret) {
  const auto program = find<Program>(program_handle);
  Connection* connection = Connection::get();
  if (program == nullptr || connection == nullptr) {
    return CL_INVALID_PROGRAM;
  }
  const auto names = connection->query(Subject::program, CL_PROGRAM_KERNEL_NAMES, program->id);
  if (!names) {
    return names.error();
  }
  std::string list;
  for (const std::byte byte : *names) {
    if (byte != std::byte{0}) {
      list += static_cast<char>(byte);
    }
  }
  std::vector<std::string> words;
  for (const auto word : std::views::split(list, ';')) {
    if (!word.empty()) {
      words.emplace_back(word.begin(), word.end());
    }
  }
  if (kernels != nullptr && room < words.size()) {
    return CL_INVALID_VALUE;
  }
  std::vector<std::shared_ptr<Kernel>> made;
  for (const std::string& word : words) {
    if (kernels == nullptr) {
      break;
    }
    auto kernel = make_kernel(program, word);
    if (!kernel) {
      for (const auto& earlier : made) {
        std::ignore = Object::release(earlier->cell(), Kernel::kind);
      }
      return kernel.error();
    }
    kernels[made.size()] = handle_of(*kernel);
    made.push_back(std::move(*kernel));
  }
  if (count_ret != nullptr) {
    *count_ret = static_cast<cl_uint>(words.size());
  }
  return CL_SUCCESS;
}

cl_int CL_API_CALL retain_kernel(cl_kernel handle) {
  return Object::retain(handle, Kernel::kind) ? CL_SUCCESS : CL_INVALID_KERNEL;
}

cl_int CL_API_CALL release_kernel(cl_kernel handle) {
  return Object::release(handle, Kernel::kind) ? CL_SUCCESS : CL_INVALID_KERNEL;
}

cl_kernel CL_API_CALL clone_kernel(cl_kernel handle, cl_int* errcode_ret) {
  const auto source = find<Kernel>(handle);
  if (source == nullptr) {
    return refuse(CL_INVALID_KERNEL, errcode_ret);
  }
  const auto made = make_kernel(source->program, source->name);
  if (!made) {
    return refuse(made.error(), errcode_ret);
  }
  const std::scoped_lock lock(source->mutex, (*made)->mutex);
  (*made)->arguments = source->arguments;
  return give(CL_SUCCESS, handle_of(*made), errcode_ret);
}

cl_int CL_API_CALL set_kernel_arg(cl_kernel handle, cl_uint index, std::size_t size, const void* value) {
  const auto kernel = find<Kernel>(handle);
  if (kernel == nullptr) {
    return CL_INVALID_KERNEL;
  }
  const std::scoped_lock lock(kernel->mutex);
  if (index >= kernel->arguments.size()) {
    return CL_INVALID_ARG_INDEX;
  }
  Kernel::Argument& argument = kernel->arguments[index];
  const cl_int code = set_argument(*kernel, argument, index, size, value);
  if (code == CL_SUCCESS) {
    argument.is_set = true;
  }
  return code;
}

cl_int CL_API_CALL get_kernel_info(cl_kernel handle, cl_kernel_info parameter, std::size_t size, void* value,
                                   std::size_t* size_ret) {
  const auto kernel = find<Kernel>(handle);
  Connection* connection = Connection::get();
  if (kernel == nullptr || connection == nullptr) {
    return CL_INVALID_KERNEL;
  }
  const InfoTarget target(size, value, size_ret);
  switch (parameter) {
    case CL_KERNEL_FUNCTION_NAME:
      return target.text(kernel->name);
    case CL_KERNEL_NUM_ARGS: {
      const std::scoped_lock lock(kernel->mutex);
      return target.value(static_cast<cl_uint>(kernel->arguments.size()));
    }
    case CL_KERNEL_REFERENCE_COUNT:
      return target.value(kernel->references());
    case CL_KERNEL_CONTEXT:
      return target.value(handle_of(kernel->program->context));
    case CL_KERNEL_PROGRAM:
      return target.value(handle_of(kernel->program));
    case CL_KERNEL_ATTRIBUTES: {
      const auto answer = connection->query(Subject::kernel, parameter, kernel->id);
      return answer ? target.list(*answer) : answer.error();
    }
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL get_kernel_arg_info(cl_kernel handle, cl_uint index, cl_kernel_arg_info parameter, std::size_t size,
                                       void* value, std::size_t* size_ret) {
  const auto kernel = find<Kernel>(handle);
  Connection* connection = Connection::get();
  if (kernel == nullptr || connection == nullptr) {
    return CL_INVALID_KERNEL;
  }
  {
    const std::scoped_lock lock(kernel->mutex);
    if (index >= kernel->arguments.size()) {
      return CL_INVALID_ARG_INDEX;
    }
  }
  if (!asks_for_argument_info(*kernel->program)) {
    return CL_KERNEL_ARG_INFO_NOT_AVAILABLE;  // as it would be without us
  }
  const auto answer = connection->query(Subject::argument, parameter, kernel->id, index);
  return answer ? InfoTarget(size, value, size_ret).list(*answer) : answer.error();
}

cl_int CL_API_CALL get_kernel_work_group_info(cl_kernel handle, cl_device_id device_handle,
                                              cl_kernel_work_group_info parameter, std::size_t size, void* value,
                                              std::size_t* size_ret) {
  const auto kernel = find<Kernel>(handle);
  Connection* connection = Connection::get();
  if (kernel == nullptr || connection == nullptr) {
    return CL_INVALID_KERNEL;
  }
  const auto& devices = kernel->program->devices;
  const auto device = device_handle == nullptr && devices.size() == 1 ? devices.front() : find<Device>(device_handle);
  if (device == nullptr || !has_device(devices, *device)) {
    return CL_INVALID_DEVICE;
  }
  const auto answer = connection->query(Subject::work_group, parameter, kernel->id, device->number);
  return answer ? InfoTarget(size, value, size_ret).list(*answer) : answer.error();
}

}  // namespace entry
}  // namespace isthmus::opencl
