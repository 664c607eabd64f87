// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "src/gpu/opencl/backend.hpp"

namespace isthmus::opencl {
namespace {

std::vector<cl_program> handles_of(const std::vector<std::shared_ptr<ProgramObject>>& programs) {
  std::vector<cl_program> handles;
  for (const auto& program : programs) {
    handles.push_back(program->handle.get());
  }
  return handles;
}

template <class T>
const T* data_or_null(const std::vector<T>& values) {
  return values.empty() ? nullptr : values.data();
}

}  // namespace

Answer<std::vector<std::shared_ptr<ProgramObject>>> LaneBackend::programs_of(const std::vector<Id>& names) const {
  std::vector<std::shared_ptr<ProgramObject>> programs;
  for (const Id name : names) {
    programs.push_back(programs_.find(name));
    if (programs.back() == nullptr) {
      return refuse(CL_INVALID_PROGRAM);
    }
  }
  return programs;
}

Answer<Nothing> LaneBackend::compile(const CompileProgram::Request& request, marshal::Call& call) {
  auto program = programs_.find(request.id);
  marshal::TrailingReader trailing(call.trailing());
  const auto numbers = trailing.elements<std::uint32_t>(request.devices);
  const auto names = trailing.elements<Id>(request.headers);
  if (program == nullptr || !numbers || !names) {
    return refuse(CL_INVALID_PROGRAM);
  }
  auto ids = device_ids(*numbers);
  auto headers = programs_of(*names);
  if (!ids || !headers) {
    return refuse(ids ? CL_INVALID_PROGRAM : CL_INVALID_DEVICE);
  }
  std::vector<std::string> include_names;
  for (std::uint32_t i = 0; i < request.headers; ++i) {
    const auto name = trailing.string(CompileProgram::longest_string);
    if (!name) {
      return refuse(CL_INVALID_VALUE);
    }
    include_names.emplace_back(*name);
  }
  const auto options = trailing.string(CompileProgram::longest_string);
  if (!options || !call.wants_reply()) {
    return refuse(options ? CL_INVALID_OPERATION : CL_INVALID_COMPILER_OPTIONS);
  }
  slow_.push([cl = driver(), program = std::move(program), ids = std::move(*ids), headers = std::move(*headers),
              include_names = std::move(include_names), options = std::string(*options) + argument_info_option,
              pending = call.defer()]() mutable {
    const std::vector<cl_program> handles = handles_of(headers);
    std::vector<const char*> texts;
    for (const std::string& name : include_names) {
      texts.push_back(name.c_str());
    }
    const cl_int code =
        cl->clCompileProgram(program->handle.get(), static_cast<cl_uint>(ids.size()), data_or_null(ids),
                             options.c_str(), static_cast<cl_uint>(handles.size()), data_or_null(handles),
                             texts.empty() ? nullptr : texts.data(), nullptr, nullptr);
    std::ignore = pending.reply(code);
  });
  return Nothing{};
}

Answer<LinkProgram::Reply> LaneBackend::link(const LinkProgram::Request& request, marshal::Call& call) {
  auto context = contexts_.find(request.context);
  marshal::TrailingReader trailing(call.trailing());
  const auto numbers = trailing.elements<std::uint32_t>(request.devices);
  const auto names = trailing.elements<Id>(request.programs);
  const auto options = trailing.string(CompileProgram::longest_string);
  if (context == nullptr || !numbers || !names || !options || !call.wants_reply()) {
    return refuse(context == nullptr ? CL_INVALID_CONTEXT : CL_INVALID_VALUE);
  }
  auto ids = device_ids(*numbers);
  auto programs = programs_of(*names);
  if (!ids || !programs) {
    return refuse(ids ? CL_INVALID_PROGRAM : CL_INVALID_DEVICE);
  }
  // Tasks hold no share of the backend: it must not end in its own thread.
  slow_.push([this, id = request.id, context = std::move(context), ids = std::move(*ids),
              programs = std::move(*programs), options = std::string(*options), pending = call.defer()]() mutable {
    const Driver& cl = *driver();
    const std::vector<cl_program> handles = handles_of(programs);
    LinkProgram::Reply reply;
    auto made = std::make_shared<ProgramObject>();
    made->handle = Owned(
        cl.clLinkProgram(context->handle.get(), static_cast<cl_uint>(ids.size()), data_or_null(ids), options.c_str(),
                         static_cast<cl_uint>(handles.size()), data_or_null(handles), nullptr, nullptr, &reply.status),
        cl.clReleaseProgram);
    made->context = std::move(context);
    reply.made = made->handle.get() != nullptr && programs_.add(id, made) ? 1 : 0;
    std::ignore = pending.reply(0, marshal::bytes_of(reply));
  });
  return LinkProgram::Reply{};
}

void LaneBackend::add_linking(marshal::Dispatcher& dispatcher) {
  const auto self = shared_from_this();
  dispatcher.on<CompileProgram>(
      [self](const CompileProgram::Request& request, marshal::Call& call) { return self->compile(request, call); });
  dispatcher.on<LinkProgram>(
      [self](const LinkProgram::Request& request, marshal::Call& call) { return self->link(request, call); });
}

}  // namespace isthmus::opencl
