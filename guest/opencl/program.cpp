// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>

#include "guest/opencl/build.hpp"
#include "guest/opencl/entry.hpp"
#include "guest/opencl/info.hpp"
#include "guest/opencl/types.hpp"

namespace isthmus::opencl {
namespace {

constexpr cl_uint most_devices_of_a_build = 1024;
constexpr cl_uint most_strings = 1 << 20;
constexpr cl_uint most_binaries = 1024;
constexpr std::size_t longest_options = 16 * 1024;

cl_int get_binaries(const Program& program, const InfoTarget& target) {
  target.set_size(program.devices.size() * sizeof(unsigned char*));
  if (target.target() == nullptr) {
    return CL_SUCCESS;
  }
  if (target.size() < program.devices.size() * sizeof(unsigned char*)) {
    return CL_INVALID_VALUE;
  }
  Connection* connection = Connection::get();
  if (connection == nullptr) {
    return CL_OUT_OF_RESOURCES;
  }
  const auto sizes = connection->query(Subject::program, CL_PROGRAM_BINARY_SIZES, program.id);
  if (!sizes) {
    return sizes.error();
  }
  for (std::size_t i = 0; i < program.devices.size(); ++i) {
    unsigned char* into = nullptr;
    std::memcpy(static_cast<void*>(&into), static_cast<std::byte*>(target.target()) + i * sizeof into, sizeof into);
    std::size_t size = 0;
    if ((i + 1) * sizeof size <= sizes->size()) {
      std::memcpy(&size, sizes->data() + i * sizeof size, sizeof size);
    }
    if (into == nullptr || size == 0) {
      continue;
    }
    auto frame = connection->allocate(size);
    if (!frame) {
      return CL_OUT_OF_HOST_MEMORY;
    }
    const auto got = connection->call<GetBinary>(
        {.program = program.id, .device = program.devices[i]->number, .into = frame->reference()});
    if (!got) {
      return got.error();
    }
    std::memcpy(into, frame->data(), std::min<std::size_t>(size, got->reply.size));
  }
  return CL_SUCCESS;
}

}  // namespace

cl_int devices_of_build(const std::vector<std::shared_ptr<Device>>& all, cl_uint count, const cl_device_id* handles,
                        BuildNotify notify, const void* user_data, std::vector<std::shared_ptr<Device>>& devices) {
  if ((handles == nullptr) != (count == 0) || count > most_devices_of_a_build ||
      (notify == nullptr && user_data != nullptr)) {
    return CL_INVALID_VALUE;
  }
  if (count == 0) {
    devices = all;
    return CL_SUCCESS;
  }
  for (cl_uint i = 0; i < count; ++i) {
    auto device = find<Device>(handles[i]);
    if (device == nullptr || !has_device(all, *device)) {
      return CL_INVALID_DEVICE;
    }
    devices.push_back(std::move(device));
  }
  return CL_SUCCESS;
}

std::vector<std::uint32_t> numbers_of(const std::vector<std::shared_ptr<Device>>& devices) {
  std::vector<std::uint32_t> numbers;
  for (const auto& device : devices) {
    numbers.push_back(device->number);
  }
  return numbers;
}

void keep_options(Program& program, const std::vector<std::shared_ptr<Device>>& devices, const std::string& options) {
  const std::scoped_lock lock(program.mutex);
  for (const auto& device : devices) {
    program.options.insert_or_assign(device.get(), options);
  }
}

bool asks_for_argument_info(Program& program) {
  const std::scoped_lock lock(program.mutex);
  return program.has_argument_info || std::ranges::any_of(program.options, [](const auto& built) {
           return built.second.find("-cl-kernel-arg-info") != std::string::npos;
         });
}

cl_program create_from_text(std::shared_ptr<Program> program, const std::shared_ptr<Context>& context, ProgramForm form,
                            std::span<const std::byte> text, cl_int* errcode_ret) {
  Connection* connection = Connection::get();
  if (connection == nullptr) {
    return refuse(CL_OUT_OF_RESOURCES, errcode_ret);
  }
  auto frame = connection->allocate(text.size());
  if (!frame) {
    return refuse(CL_OUT_OF_HOST_MEMORY, errcode_ret);
  }
  std::ranges::copy(text, frame->data());
  const Id id = connection->new_id();
  const auto made =
      connection->call<CreateProgram>({.id = id, .context = context->id, .source = frame->reference(), .form = form});
  if (!made) {
    return refuse(made.error(), errcode_ret);
  }
  program->id = id;
  program->context = context;
  program->devices = context->devices;
  if (!publish(program)) {
    return refuse(CL_OUT_OF_HOST_MEMORY, errcode_ret);
  }
  return give(CL_SUCCESS, handle_of(program), errcode_ret);
}

Program::~Program() {
  if (Connection* connection = Connection::get(); connection != nullptr && id != 0) {
    std::ignore = connection->post<Release>({.kind = ObjectKind::program, .id = id});
  }
}

namespace entry {

cl_program CL_API_CALL create_program_with_source(cl_context context_handle, cl_uint count, const char** strings,
                                                  const std::size_t* lengths, cl_int* errcode_ret) {
  const auto context = find<Context>(context_handle);
  if (context == nullptr) {
    return refuse(CL_INVALID_CONTEXT, errcode_ret);
  }
  if (count == 0 || count > most_strings || strings == nullptr) {
    return refuse(CL_INVALID_VALUE, errcode_ret);
  }
  std::string source;
  for (cl_uint i = 0; i < count; ++i) {
    if (strings[i] == nullptr) {
      return refuse(CL_INVALID_VALUE, errcode_ret);
    }
    source +=
        lengths != nullptr && lengths[i] != 0 ? std::string_view(strings[i], lengths[i]) : std::string_view(strings[i]);
  }
  auto program = std::make_shared<Program>();
  program->source = source;
  // An empty program is a program; an empty frame is none.
  source += source.empty() ? "\n" : "";
  return create_from_text(std::move(program), context, ProgramForm::source, std::as_bytes(std::span(source)),
                          errcode_ret);
}

cl_program CL_API_CALL create_program_with_binary(cl_context context_handle, cl_uint count, const cl_device_id* handles,
                                                  const std::size_t* lengths, const unsigned char** binaries,
                                                  cl_int* binary_status, cl_int* errcode_ret) {
  const auto context = find<Context>(context_handle);
  Connection* connection = Connection::get();
  if (context == nullptr || connection == nullptr) {
    return refuse(CL_INVALID_CONTEXT, errcode_ret);
  }
  if (handles == nullptr || lengths == nullptr || binaries == nullptr || count == 0 || count > most_binaries) {
    return refuse(CL_INVALID_VALUE, errcode_ret);
  }
  auto program = std::make_shared<Program>();
  std::vector<BinaryRow> rows;
  std::size_t total = 0;
  for (cl_uint i = 0; i < count; ++i) {
    auto device = find<Device>(handles[i]);
    if (device == nullptr || !context->has(device)) {
      return refuse(CL_INVALID_DEVICE, errcode_ret);
    }
    if (binaries[i] == nullptr || lengths[i] == 0 || __builtin_add_overflow(total, lengths[i], &total)) {
      if (binary_status != nullptr) {
        binary_status[i] = CL_INVALID_VALUE;
      }
      return refuse(CL_INVALID_VALUE, errcode_ret);
    }
    rows.push_back({.device = device->number, .size = lengths[i]});
    program->devices.push_back(std::move(device));
  }
  auto frame = connection->allocate(total);
  if (!frame) {
    return refuse(CL_OUT_OF_HOST_MEMORY, errcode_ret);
  }
  std::size_t at = 0;
  for (cl_uint i = 0; i < count; ++i) {
    std::memcpy(frame->data() + at, binaries[i], lengths[i]);
    at += lengths[i];
  }
  const Id id = connection->new_id();
  std::vector<cl_int> statuses(count, CL_INVALID_BINARY);
  const auto made = connection->call<CreateProgramFromBinaries>(
      {.id = id, .context = context->id, .binaries = frame->reference(), .devices = count},
      std::as_bytes(std::span(rows)), std::as_writable_bytes(std::span(statuses)));
  if (!made) {
    return refuse(made.error(), errcode_ret);
  }
  if (binary_status != nullptr) {
    std::ranges::copy(statuses, binary_status);
  }
  if (made->reply.status != CL_SUCCESS) {
    return refuse(made->reply.status, errcode_ret);
  }
  program->id = id;
  program->context = context;
  if (!publish(program)) {
    return refuse(CL_OUT_OF_HOST_MEMORY, errcode_ret);
  }
  return give(CL_SUCCESS, handle_of(program), errcode_ret);
}

cl_program CL_API_CALL create_program_with_built_in_kernels(cl_context context, cl_uint, const cl_device_id*,
                                                            const char*, cl_int* errcode_ret) {
  return refuse(find<Context>(context) == nullptr ? CL_INVALID_CONTEXT : CL_INVALID_VALUE, errcode_ret);
}

cl_int CL_API_CALL retain_program(cl_program handle) {
  return Object::retain(handle, Program::kind) ? CL_SUCCESS : CL_INVALID_PROGRAM;
}

cl_int CL_API_CALL release_program(cl_program handle) {
  return Object::release(handle, Program::kind) ? CL_SUCCESS : CL_INVALID_PROGRAM;
}

cl_int CL_API_CALL build_program(cl_program handle, cl_uint count, const cl_device_id* devices, const char* options,
                                 BuildNotify notify, void* user_data) {
  const auto program = find<Program>(handle);
  Connection* connection = Connection::get();
  if (program == nullptr || connection == nullptr) {
    return CL_INVALID_PROGRAM;
  }
  std::vector<std::shared_ptr<Device>> chosen;
  if (const cl_int code = devices_of_build(program->devices, count, devices, notify, user_data, chosen);
      code != CL_SUCCESS) {
    return code;
  }
  if (program->kernels.load() != 0) {
    return CL_INVALID_OPERATION;
  }
  const std::string text = options != nullptr ? options : "";
  if (text.size() > longest_options) {
    return CL_INVALID_BUILD_OPTIONS;
  }
  keep_options(*program, chosen, text);
  const std::vector<std::uint32_t> numbers = numbers_of(chosen);
  const auto head = std::as_bytes(std::span(numbers));
  const auto tail = std::as_bytes(std::span(text));
  std::vector<std::byte> trailing(head.begin(), head.end());
  trailing.insert(trailing.end(), tail.begin(), tail.end());
  const auto built = connection->call<BuildProgram>(
      {.id = program->id, .devices = static_cast<std::uint32_t>(chosen.size())}, trailing);
  if (notify != nullptr) {
    notify(handle, user_data);  // the specification lets a build end before the call returns
    return CL_SUCCESS;
  }
  return built ? CL_SUCCESS : built.error();
}

cl_int CL_API_CALL get_program_info(cl_program handle, cl_program_info parameter, std::size_t size, void* value,
                                    std::size_t* size_ret) {
  const auto program = find<Program>(handle);
  Connection* connection = Connection::get();
  if (program == nullptr || connection == nullptr) {
    return CL_INVALID_PROGRAM;
  }
  const InfoTarget target(size, value, size_ret);
  switch (parameter) {
    case CL_PROGRAM_REFERENCE_COUNT:
      return target.value(program->references());
    case CL_PROGRAM_CONTEXT:
      return target.value(handle_of(program->context));
    case CL_PROGRAM_NUM_DEVICES:
      return target.value(static_cast<cl_uint>(program->devices.size()));
    case CL_PROGRAM_DEVICES: {
      std::vector<cl_device_id> devices;
      for (const auto& device : program->devices) {
        devices.push_back(handle_of(device));
      }
      return target.list(devices);
    }
    case CL_PROGRAM_SOURCE:
      return target.text(program->source);
    case CL_PROGRAM_IL:
      return target.list(program->il);
    case CL_PROGRAM_SCOPE_GLOBAL_CTORS_PRESENT:
    case CL_PROGRAM_SCOPE_GLOBAL_DTORS_PRESENT:
      return target.value(cl_bool{CL_FALSE});
    case CL_PROGRAM_BINARIES:
      return get_binaries(*program, target);
    case CL_PROGRAM_BINARY_SIZES:
    case CL_PROGRAM_NUM_KERNELS:
    case CL_PROGRAM_KERNEL_NAMES: {
      const auto answer = connection->query(Subject::program, parameter, program->id);
      return answer ? target.list(*answer) : answer.error();
    }
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL get_program_build_info(cl_program handle, cl_device_id device_handle,
                                          cl_program_build_info parameter, std::size_t size, void* value,
                                          std::size_t* size_ret) {
  const auto program = find<Program>(handle);
  Connection* connection = Connection::get();
  if (program == nullptr || connection == nullptr) {
    return CL_INVALID_PROGRAM;
  }
  const auto device = find<Device>(device_handle);
  if (device == nullptr || !has_device(program->devices, *device)) {
    return CL_INVALID_DEVICE;
  }
  const InfoTarget target(size, value, size_ret);
  switch (parameter) {
    case CL_PROGRAM_BUILD_OPTIONS: {
      const std::scoped_lock lock(program->mutex);
      const auto options = program->options.find(device.get());
      return target.text(options == program->options.end() ? "" : options->second);
    }
    case CL_PROGRAM_BUILD_STATUS:
    case CL_PROGRAM_BUILD_LOG:
    case CL_PROGRAM_BINARY_TYPE:
    case CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE: {
      const auto answer = connection->query(Subject::build, parameter, program->id, device->number);
      return answer ? target.list(*answer) : answer.error();
    }
    default:
      return CL_INVALID_VALUE;
  }
}

}  // namespace entry
}  // namespace isthmus::opencl
