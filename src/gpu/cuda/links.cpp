// SPDX-License-Identifier: Apache-2.0
// Linking at run time.
#include <cstdint>
#include <cstring>
#include <mutex>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "src/gpu/cuda/backend.hpp"
#include "src/gpu/cuda/image.hpp"
#include "src/gpu/cuda/jit_options.hpp"
#include "src/gpu/cuda/trailing.hpp"

namespace isthmus::cuda {

template <class F>
std::invoke_result_t<F, LinkObject&> LaneBackend::with_link(Id id, F function) {
  const auto link = links_.find(id);
  if (link == nullptr || !lives(link->context)) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  const std::scoped_lock lock(link->mutex);
  if (link->state == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  if (const CUresult code = enter(link->in); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  return function(*link);
}

Answer<Nothing> LaneBackend::handle(const CreateLink::Request& request, marshal::Call& call) {
  auto trailing = call.trailing();
  const auto rows = take_jit_options(trailing, request.options);
  if (!rows) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  auto link = std::make_shared<LinkObject>();
  link->context = contexts_.find(request.context);
  link->in = request.context;
  link->options = std::make_unique<JitOptions>(*rows, request.info_log, request.error_log);
  JitOptions& options = *link->options;
  if (const CUresult code = driver_->cuLinkCreate(options.count(), options.names(), options.values(), &link->state);
      code != CUDA_SUCCESS) {
    return refuse(code);
  }
  auto* const state = link->state;
  if (!links_.add(request.id, std::move(link))) {
    std::ignore = driver_->cuLinkDestroy(state);
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  return Nothing{};
}

Answer<AddToLink::Reply> LaneBackend::handle(const AddToLink::Request& request, marshal::Call& call) {
  thread_local std::vector<std::byte> logs;  // valid until the reply is written, after this has returned
  const auto data = call.resolve(request.data);
  auto trailing = call.trailing();
  auto rows = take_jit_options(trailing, request.options);
  if (!data || !rows || data->empty() || data->size() > max_image || request.type >= CU_JIT_NUM_INPUT_TYPES) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  return with_link(request.id, [&](LinkObject& link) -> Answer<AddToLink::Reply> {
    // The driver parses a copy, which the client cannot change.
    std::vector<std::byte> input(data->begin(), data->end());
    input.resize(input.size() + image_padding);
    const std::string name = name_in(trailing);
    JitNumbers options(*rows);
    AddToLink::Reply reply;
    reply.status =
        driver_->cuLinkAddData(link.state, static_cast<CUjitInputType>(request.type), input.data(), data->size(),
                               name.c_str(), options.count(), options.names(), options.values());
    logs = link.options->logs(reply);
    call.reply_trailing(logs);
    return reply;
  });
}

Answer<CompleteLink::Reply> LaneBackend::handle(const CompleteLink::Request& request, marshal::Call& call) {
  thread_local std::vector<std::byte> logs;  // valid until the reply is written, after this has returned
  return with_link(request.id, [&](LinkObject& link) -> Answer<CompleteLink::Reply> {
    CompleteLink::Reply reply;
    void* image = nullptr;
    std::size_t size = 0;
    reply.jit.status = driver_->cuLinkComplete(link.state, &image, &size);
    if (reply.jit.status == CUDA_SUCCESS) {
      if (size > max_image) {
        return refuse(CUDA_ERROR_OUT_OF_MEMORY);
      }
      const auto bytes = std::span(static_cast<const std::byte*>(image), size);
      link.image.assign(bytes.begin(), bytes.end());
      reply.bytes = size;
    }
    logs = link.options->logs(reply.jit);
    call.reply_trailing(logs);
    return reply;
  });
}

Answer<Nothing> LaneBackend::handle(const ReadLink::Request& request, marshal::Call& call) {
  const auto into = call.resolve(request.into);
  return with_link(request.id, [&](const LinkObject& link) -> Answer<Nothing> {
    if (!into || link.image.empty() || into->size() != link.image.size()) {
      return refuse(CUDA_ERROR_INVALID_VALUE);
    }
    std::memcpy(into->data(), link.image.data(), link.image.size());
    return Nothing{};
  });
}

CUresult LaneBackend::destroy_link(Id id) {
  const auto link = links_.take(id);
  if (link == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  const std::scoped_lock lock(link->mutex);
  auto* const state = std::exchange(link->state, nullptr);
  if (!lives(link->context)) {
    return CUDA_SUCCESS;
  }
  const CUresult code = enter(link->in);
  return code != CUDA_SUCCESS ? code : driver_->cuLinkDestroy(state);
}

}  // namespace isthmus::cuda
