// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <string>
#include <tuple>
#include <utility>

#include "src/gpu/opencl/backend.hpp"

namespace isthmus::opencl {

Answer<Nothing> LaneBackend::create_program(const CreateProgram::Request& request, const marshal::Call& call) {
  auto context = contexts_.find(request.context);
  if (context == nullptr) {
    return refuse(CL_INVALID_CONTEXT);
  }
  const auto shared = call.resolve(request.source);
  if (!shared || shared->empty() || request.form > ProgramForm::intermediate) {
    return refuse(CL_INVALID_VALUE);
  }
  // The driver parses it: the client must not change it meanwhile.
  const std::vector<std::byte> copy(shared->begin(), shared->end());
  const Driver& cl = *driver();
  cl_int code = CL_SUCCESS;
  auto program = std::make_shared<ProgramObject>();
  if (request.form == ProgramForm::source) {
    const char* text = reinterpret_cast<const char*>(copy.data());
    const std::size_t length = copy.size();
    program->handle =
        Owned(cl.clCreateProgramWithSource(context->handle.get(), 1, &text, &length, &code), cl.clReleaseProgram);
  } else {
    const auto taker = std::ranges::find_if(
        context->roots, [&cl](std::uint32_t root) { return cl.devices()[root].create_with_il != nullptr; });
    if (taker == context->roots.end()) {
      return refuse(CL_INVALID_OPERATION);
    }
    program->handle = Owned(cl.devices()[*taker].create_with_il(context->handle.get(), copy.data(), copy.size(), &code),
                            cl.clReleaseProgram);
    program->constants = cl.devices()[*taker].has_constants;
  }
  program->context = std::move(context);
  return code != CL_SUCCESS                              ? answer(code)
         : programs_.add(request.id, std::move(program)) ? Answer<Nothing>(Nothing{})
                                                         : refuse(CL_INVALID_PROGRAM);
}

Answer<Nothing> LaneBackend::set_constant(const SetSpecializationConstant::Request& request,
                                          const marshal::Call& call) const {
  const auto program = programs_.find(request.program);
  if (program == nullptr) {
    return refuse(CL_INVALID_PROGRAM);
  }
  if (!program->constants) {
    return refuse(CL_INVALID_OPERATION);
  }
  const auto given = call.trailing();
  if (given.size() > SetSpecializationConstant::largest) {
    return refuse(CL_INVALID_VALUE);
  }
  // Drivers may read it as the type that the constant has.
  alignas(SetSpecializationConstant::largest) std::array<std::byte, SetSpecializationConstant::largest> value{};
  std::ranges::copy(given, value.begin());
  return answer(driver()->clSetProgramSpecializationConstant(program->handle.get(), request.constant, given.size(),
                                                             value.data()));
}

Answer<CreateProgramFromBinaries::Reply> LaneBackend::create_from_binaries(
    const CreateProgramFromBinaries::Request& request, marshal::Call& call, std::vector<std::int32_t>& statuses) {
  auto context = contexts_.find(request.context);
  if (context == nullptr) {
    return refuse(CL_INVALID_CONTEXT);
  }
  const auto rows = marshal::TrailingReader(call.trailing()).elements<BinaryRow>(request.devices);
  const auto shared = call.resolve(request.binaries);
  if (!rows || rows->empty() || !shared) {
    return refuse(CL_INVALID_VALUE);
  }
  // A binary is parsed by the driver: the client must not change it meanwhile.
  const std::vector<std::byte> copy(shared->begin(), shared->end());
  std::vector<std::uint32_t> numbers;
  std::vector<std::size_t> sizes;
  std::vector<const unsigned char*> binaries;
  marshal::TrailingReader rest(copy);
  for (const BinaryRow& row : *rows) {
    const auto binary = rest.raw(row.size);
    if (!binary || binary->empty()) {
      return refuse(CL_INVALID_VALUE);
    }
    numbers.push_back(row.device);
    sizes.push_back(binary->size());
    binaries.push_back(reinterpret_cast<const unsigned char*>(binary->data()));
  }
  const auto ids = device_ids(numbers);
  if (!ids) {
    return refuse(CL_INVALID_DEVICE);
  }
  const Driver& cl = *driver();
  cl_int code = CL_SUCCESS;
  statuses.assign(rows->size(), CL_SUCCESS);
  auto program = std::make_shared<ProgramObject>();
  program->handle =
      Owned(cl.clCreateProgramWithBinary(context->handle.get(), static_cast<cl_uint>(ids->size()), ids->data(),
                                         sizes.data(), binaries.data(), statuses.data(), &code),
            cl.clReleaseProgram);
  program->context = std::move(context);
  if (code == CL_SUCCESS && !programs_.add(request.id, std::move(program))) {
    return refuse(CL_INVALID_PROGRAM);
  }
  call.reply_trailing(std::as_bytes(std::span(statuses)));
  return CreateProgramFromBinaries::Reply{.status = code};
}

Answer<Nothing> LaneBackend::build(const BuildProgram::Request& request, marshal::Call& call) {
  auto program = programs_.find(request.id);
  if (program == nullptr) {
    return refuse(CL_INVALID_PROGRAM);
  }
  marshal::TrailingReader trailing(call.trailing());
  const auto numbers = trailing.elements<std::uint32_t>(request.devices);
  auto ids = numbers ? device_ids(*numbers) : std::nullopt;
  if (!ids) {
    return refuse(CL_INVALID_DEVICE);
  }
  std::string options;
  for (const std::byte byte : trailing.rest()) {
    options += static_cast<char>(byte);
  }
  options += argument_info_option;
  if (!call.wants_reply()) {
    return refuse(CL_INVALID_OPERATION);
  }
  slow_.push([cl = driver(), program = std::move(program), ids = std::move(*ids), options = std::move(options),
              pending = call.defer()]() mutable {
    const cl_int code = cl->clBuildProgram(program->handle.get(), static_cast<cl_uint>(ids.size()),
                                           ids.empty() ? nullptr : ids.data(), options.c_str(), nullptr, nullptr);
    std::ignore = pending.reply(code);
  });
  return Nothing{};
}

void LaneBackend::add_programs(marshal::Dispatcher& dispatcher) {
  const auto self = shared_from_this();
  dispatcher.on<CreateProgram>([self](const CreateProgram::Request& request, const marshal::Call& call) {
    return self->create_program(request, call);
  });
  dispatcher.on<SetSpecializationConstant>(
      [self](const SetSpecializationConstant::Request& request, const marshal::Call& call) {
        return self->set_constant(request, call);
      });
  dispatcher.on<CreateProgramFromBinaries>(
      [self](const CreateProgramFromBinaries::Request& request, marshal::Call& call) {
        static thread_local std::vector<std::int32_t> statuses;  // until the reply is sent
        return self->create_from_binaries(request, call, statuses);
      });
  dispatcher.on<BuildProgram>(
      [self](const BuildProgram::Request& request, marshal::Call& call) { return self->build(request, call); });
  dispatcher.on<GetBinary>([self](const GetBinary::Request& request, marshal::Call& call) -> Answer<GetBinary::Reply> {
    const auto program = self->programs_.find(request.program);
    if (program == nullptr) {
      return refuse(CL_INVALID_PROGRAM);
    }
    const auto into = call.resolve(request.into);
    const auto device = self->device(request.device);
    const Driver& cl = *self->driver();
    std::size_t bytes = 0;
    if (const cl_int code = cl.clGetProgramInfo(program->handle.get(), CL_PROGRAM_DEVICES, 0, nullptr, &bytes);
        code != CL_SUCCESS || !into || !device) {
      return refuse(code != CL_SUCCESS ? code : CL_INVALID_VALUE);
    }
    std::vector<cl_device_id> devices(bytes / sizeof(cl_device_id));
    std::vector<std::size_t> sizes(devices.size());
    cl.clGetProgramInfo(program->handle.get(), CL_PROGRAM_DEVICES, bytes, static_cast<void*>(devices.data()), nullptr);
    cl.clGetProgramInfo(program->handle.get(), CL_PROGRAM_BINARY_SIZES, sizes.size() * sizeof(std::size_t),
                        sizes.data(), nullptr);
    auto at = std::ranges::find(devices, device->id);
    if (at == devices.end()) {  // some drivers take a whole device for its parts
      at = std::ranges::find(devices, cl.devices()[device->root].id);
    }
    const auto place = static_cast<std::size_t>(at - devices.begin());
    if (place >= devices.size() || sizes[place] > into->size()) {
      return refuse(CL_INVALID_VALUE);
    }
    // The driver writes where these point; a null pointer leaves a device out.
    std::vector<std::byte> binary(sizes[place]);
    std::vector<std::byte*> pointers(devices.size(), nullptr);
    pointers[place] = binary.data();
    const cl_int code =
        cl.clGetProgramInfo(program->handle.get(), CL_PROGRAM_BINARIES, pointers.size() * sizeof(std::byte*),
                            static_cast<void*>(pointers.data()), nullptr);
    if (code != CL_SUCCESS) {
      return refuse(code);
    }
    std::ranges::copy(binary, into->begin());
    return GetBinary::Reply{.size = binary.size()};
  });
}

}  // namespace isthmus::opencl
