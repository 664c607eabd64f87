// SPDX-License-Identifier: Apache-2.0

// Programs from an intermediate language, as SPIR-V. The host's driver parses it; nobody else does.

#include <algorithm>
#include <span>
#include <utility>

#include "guest/opencl/build.hpp"
#include "guest/opencl/entry.hpp"
#include "guest/opencl/info.hpp"
#include "guest/opencl/types.hpp"

namespace isthmus::opencl {
namespace {

bool takes_il_anywhere(const std::vector<std::shared_ptr<Device>>& devices) {
  return std::ranges::any_of(devices, [](const auto& device) { return device->takes_il(); });
}

}  // namespace

bool Device::takes_il() {
  // Text and its end: without a language there is the end alone. A device that knows no such question fails.
  const auto languages = ask(CL_DEVICE_IL_VERSION);
  return languages && languages->size() > 1 && languages->front() != std::byte{0};
}

namespace entry {

cl_program CL_API_CALL create_program_with_il(cl_context handle, const void* il, std::size_t length,
                                              cl_int* errcode_ret) {
  const auto context = find<Context>(handle);
  if (context == nullptr) {
    return refuse(CL_INVALID_CONTEXT, errcode_ret);
  }
  if (!takes_il_anywhere(context->devices)) {
    return refuse(CL_INVALID_OPERATION, errcode_ret);
  }
  if (il == nullptr || length == 0) {
    return refuse(CL_INVALID_VALUE, errcode_ret);
  }
  const std::span bytes(static_cast<const std::byte*>(il), length);
  auto program = std::make_shared<Program>();
  program->il.assign(bytes.begin(), bytes.end());
  return create_from_text(std::move(program), context, ProgramForm::intermediate, bytes, errcode_ret);
}

cl_int CL_API_CALL set_program_specialization_constant(cl_program handle, cl_uint constant, std::size_t size,
                                                       const void* value) {
  const auto program = find<Program>(handle);
  Connection* connection = Connection::get();
  if (program == nullptr || connection == nullptr) {
    return CL_INVALID_PROGRAM;
  }
  if (!takes_il_anywhere(program->devices)) {
    return CL_INVALID_OPERATION;
  }
  if (program->il.empty()) {
    return CL_INVALID_PROGRAM;
  }
  if (value == nullptr || size > SetSpecializationConstant::largest) {
    return CL_INVALID_VALUE;
  }
  const auto set = connection->call<SetSpecializationConstant>({.program = program->id, .constant = constant},
                                                               std::span(static_cast<const std::byte*>(value), size));
  return set ? CL_SUCCESS : set.error();
}

}  // namespace entry
}  // namespace isthmus::opencl
