// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <string_view>
#include <tuple>
#include <utility>

#include "guest/opencl/build.hpp"
#include "guest/opencl/entry.hpp"
#include "guest/opencl/info.hpp"
#include "guest/opencl/types.hpp"
#include "isthmus/marshal/trailing.hpp"

namespace isthmus::opencl {
namespace {

// What a message holds beside its fixed part.
using MessageBuffer = std::array<std::byte, 28 * 1024>;

bool find_programs(const Context& context, cl_uint count, const cl_program* handles, std::vector<Id>& names) {
  for (cl_uint i = 0; i < count; ++i) {
    const auto program = find<Program>(handles[i]);
    if (program == nullptr || program->context.get() != &context) {
      return false;
    }
    names.push_back(program->id);
  }
  return true;
}

template <class T>
void append_all(marshal::TrailingWriter& writer, const std::vector<T>& values) {
  for (const T& value : values) {
    writer.value(value);
  }
}

}  // namespace

namespace entry {

cl_int CL_API_CALL compile_program(cl_program handle, cl_uint count, const cl_device_id* devices, const char* options,
                                   cl_uint header_count, const cl_program* headers, const char** header_names,
                                   BuildNotify notify, void* user_data) {
  const auto program = find<Program>(handle);
  Connection* connection = Connection::get();
  if (program == nullptr || connection == nullptr) {
    return CL_INVALID_PROGRAM;
  }
  if ((header_count == 0) != (headers == nullptr) || (header_count == 0) != (header_names == nullptr) ||
      header_count > CompileProgram::most_programs) {
    return CL_INVALID_VALUE;
  }
  std::vector<std::shared_ptr<Device>> chosen;
  if (const cl_int code = devices_of_build(program->devices, count, devices, notify, user_data, chosen);
      code != CL_SUCCESS) {
    return code;
  }
  if (program->kernels.load() != 0) {
    return CL_INVALID_OPERATION;
  }
  std::vector<Id> names;
  if (!find_programs(*program->context, header_count, headers, names)) {
    return CL_INVALID_PROGRAM;
  }
  const std::string text = options != nullptr ? options : "";
  MessageBuffer buffer;
  marshal::TrailingWriter writer(buffer);
  append_all(writer, numbers_of(chosen));
  append_all(writer, names);
  for (cl_uint i = 0; i < header_count; ++i) {
    if (header_names[i] == nullptr) {
      return CL_INVALID_VALUE;
    }
    writer.string(header_names[i]);
  }
  const auto trailing = writer.string(text).finish();
  if (!trailing) {
    return CL_INVALID_COMPILER_OPTIONS;
  }
  keep_options(*program, chosen, text);
  const auto compiled = connection->call<CompileProgram>(
      {.id = program->id, .devices = static_cast<std::uint32_t>(chosen.size()), .headers = header_count}, *trailing);
  if (notify != nullptr) {
    notify(handle, user_data);  // the specification lets it end before the call returns
    return CL_SUCCESS;
  }
  return compiled ? CL_SUCCESS : compiled.error();
}

cl_program CL_API_CALL link_program(cl_context context_handle, cl_uint count, const cl_device_id* devices,
                                    const char* options, cl_uint program_count, const cl_program* programs,
                                    BuildNotify notify, void* user_data, cl_int* errcode_ret) {
  const auto context = find<Context>(context_handle);
  Connection* connection = Connection::get();
  if (context == nullptr || connection == nullptr) {
    return refuse(CL_INVALID_CONTEXT, errcode_ret);
  }
  if (program_count == 0 || programs == nullptr || program_count > CompileProgram::most_programs) {
    return refuse(CL_INVALID_VALUE, errcode_ret);
  }
  auto program = std::make_shared<Program>();
  if (const cl_int code = devices_of_build(context->devices, count, devices, notify, user_data, program->devices);
      code != CL_SUCCESS) {
    return refuse(code, errcode_ret);
  }
  std::vector<Id> names;
  if (!find_programs(*context, program_count, programs, names)) {
    return refuse(CL_INVALID_PROGRAM, errcode_ret);
  }
  const std::string text = options != nullptr ? options : "";
  MessageBuffer buffer;
  marshal::TrailingWriter writer(buffer);
  append_all(writer, numbers_of(program->devices));
  append_all(writer, names);
  const auto trailing = writer.string(text).finish();
  if (!trailing) {
    return refuse(CL_INVALID_LINKER_OPTIONS, errcode_ret);
  }
  program->context = context;
  keep_options(*program, program->devices, text);
  {
    // A linked program knows its kernels' arguments if one of its parts was to know them.
    const std::scoped_lock lock(program->mutex);
    program->has_argument_info = std::any_of(programs, programs + program_count, [](cl_program part) {
      const auto found = find<Program>(part);
      return found != nullptr && asks_for_argument_info(*found);
    });
  }
  const Id id = connection->new_id();
  const auto linked = connection->call<LinkProgram>({.id = id,
                                                     .context = context->id,
                                                     .devices = static_cast<std::uint32_t>(program->devices.size()),
                                                     .programs = program_count},
                                                    *trailing);
  if (!linked || linked->reply.made == 0) {
    return refuse(linked ? linked->reply.status : linked.error(), errcode_ret);
  }
  program->id = id;
  if (!publish(program)) {
    return refuse(CL_OUT_OF_HOST_MEMORY, errcode_ret);
  }
  if (notify != nullptr) {
    notify(handle_of(program), user_data);
  }
  return give(notify != nullptr ? CL_SUCCESS : linked->reply.status, handle_of(program), errcode_ret);
}

}  // namespace entry
}  // namespace isthmus::opencl
