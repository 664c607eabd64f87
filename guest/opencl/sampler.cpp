// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include "guest/opencl/entry.hpp"
#include "guest/opencl/info.hpp"
#include "guest/opencl/types.hpp"

namespace isthmus::opencl {

Sampler::~Sampler() {
  if (Connection* connection = Connection::get(); connection != nullptr && id != 0) {
    std::ignore = connection->post<Release>({.kind = ObjectKind::sampler, .id = id});
  }
}

namespace entry {

cl_sampler CL_API_CALL create_sampler(cl_context handle, cl_bool normalized, cl_addressing_mode addressing,
                                      cl_filter_mode filter, cl_int* errcode_ret) {
  const auto context = find<Context>(handle);
  Connection* connection = Connection::get();
  if (context == nullptr || connection == nullptr) {
    return refuse(CL_INVALID_CONTEXT, errcode_ret);
  }
  if (normalized > CL_TRUE || addressing < CL_ADDRESS_NONE || addressing > CL_ADDRESS_MIRRORED_REPEAT ||
      (filter != CL_FILTER_NEAREST && filter != CL_FILTER_LINEAR)) {
    return refuse(CL_INVALID_VALUE, errcode_ret);
  }
  if (!context->has_images()) {
    return refuse(CL_INVALID_OPERATION, errcode_ret);
  }
  auto sampler = std::make_shared<Sampler>();
  const Id id = connection->new_id();
  const auto made = connection->call<CreateSampler>(
      {.id = id, .context = context->id, .normalized = normalized, .addressing = addressing, .filter = filter});
  if (!made) {
    return refuse(made.error(), errcode_ret);
  }
  sampler->id = id;
  sampler->context = context;
  sampler->normalized = normalized;
  sampler->addressing = addressing;
  sampler->filter = filter;
  if (!publish(sampler)) {
    return refuse(CL_OUT_OF_HOST_MEMORY, errcode_ret);
  }
  return give(CL_SUCCESS, handle_of(sampler), errcode_ret);
}

cl_int CL_API_CALL retain_sampler(cl_sampler handle) {
  return Object::retain(handle, Sampler::kind) ? CL_SUCCESS : CL_INVALID_SAMPLER;
}

cl_int CL_API_CALL release_sampler(cl_sampler handle) {
  return Object::release(handle, Sampler::kind) ? CL_SUCCESS : CL_INVALID_SAMPLER;
}

cl_int CL_API_CALL get_sampler_info(cl_sampler handle, cl_sampler_info parameter, std::size_t size, void* value,
                                    std::size_t* size_ret) {
  const auto sampler = find<Sampler>(handle);
  if (sampler == nullptr) {
    return CL_INVALID_SAMPLER;
  }
  const InfoTarget target(size, value, size_ret);
  switch (parameter) {
    case CL_SAMPLER_REFERENCE_COUNT:
      return target.value(sampler->references());
    case CL_SAMPLER_CONTEXT:
      return target.value(handle_of(sampler->context));
    case CL_SAMPLER_NORMALIZED_COORDS:
      return target.value(sampler->normalized);
    case CL_SAMPLER_ADDRESSING_MODE:
      return target.value(sampler->addressing);
    case CL_SAMPLER_FILTER_MODE:
      return target.value(sampler->filter);
    case CL_SAMPLER_PROPERTIES:
      return target.list(sampler->properties);
    default:
      return CL_INVALID_VALUE;
  }
}

}  // namespace entry
}  // namespace isthmus::opencl
