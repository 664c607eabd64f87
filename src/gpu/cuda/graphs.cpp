// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <tuple>
#include <utility>

#include "src/gpu/cuda/backend.hpp"
#include "src/gpu/cuda/boxes.hpp"

namespace isthmus::cuda {
namespace {

constexpr std::uint32_t most_dependencies = 1024;

// A request in the trailing bytes of another, and what is behind it.
template <class T>
std::optional<T> take_request(std::span<const std::byte>& bytes) {
  if (bytes.size() < sizeof(T)) {
    return std::nullopt;
  }
  T request;
  std::memcpy(static_cast<void*>(&request), bytes.data(), sizeof request);
  bytes = bytes.subspan(sizeof request);
  return request;
}

}  // namespace

CUresult LaneBackend::check_capture(CUstream stream, CUresult refusal) const {
  if (captures_.load(std::memory_order_acquire) == 0) {
    return CUDA_SUCCESS;
  }
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  const CUresult code = driver_->cuStreamIsCapturing(stream, &status);
  return code != CUDA_SUCCESS ? code : status == CU_STREAM_CAPTURE_STATUS_NONE ? CUDA_SUCCESS : refusal;
}

Answer<Nothing> LaneBackend::handle(const BeginCapture::Request& request, marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  if (request.mode > CU_STREAM_CAPTURE_MODE_RELAXED) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  captures_.fetch_add(1, std::memory_order_acq_rel);
  const CUresult code = driver_->cuStreamBeginCapture(place->stream, static_cast<CUstreamCaptureMode>(request.mode));
  if (code != CUDA_SUCCESS) {
    captures_.fetch_sub(1, std::memory_order_acq_rel);
  }
  return answer(code);
}

Answer<Nothing> LaneBackend::handle(const EndCapture::Request& request, marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  const bool captured =
      driver_->cuStreamIsCapturing(place->stream, &status) == CUDA_SUCCESS && status != CU_STREAM_CAPTURE_STATUS_NONE;
  auto object = std::make_shared<GraphObject>();
  const CUresult code = driver_->cuStreamEndCapture(place->stream, &object->handle);
  if (captured && code != CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD && code != CUDA_ERROR_STREAM_CAPTURE_UNMATCHED) {
    captures_.fetch_sub(1, std::memory_order_acq_rel);
  }
  if (code != CUDA_SUCCESS) {
    return refuse(code);
  }
  CUgraph made = object->handle;
  if (!graphs_.add(request.graph, std::move(object))) {
    std::ignore = driver_->cuGraphDestroy(made);
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  return Nothing{};
}

Answer<Nothing> LaneBackend::handle(const CreateGraph::Request& request, marshal::Call& /*call*/) {
  auto object = std::make_shared<GraphObject>();
  if (const CUresult code = driver_->cuGraphCreate(&object->handle, 0); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  CUgraph made = object->handle;
  if (!graphs_.add(request.id, std::move(object))) {
    std::ignore = driver_->cuGraphDestroy(made);
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  return Nothing{};
}

CUresult LaneBackend::add_node(const AddNode::Request& request, marshal::Call& call, CUgraph graph,
                               std::span<const CUgraphNode> dependencies, std::span<const std::byte> what,
                               CUgraphNode& made) {
  const auto context = contexts_.find(request.context);
  if (context == nullptr) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  const CUgraphNode* const after = dependencies.data();
  const std::size_t count = dependencies.size();
  switch (request.kind) {
    case NodeKind::empty:
      return driver_->cuGraphAddEmptyNode(&made, graph, after, count);
    case NodeKind::kernel: {
      const auto launch = take_request<Launch::Request>(what);
      const auto function = launch ? find_function(launch->function) : nullptr;
      if (function == nullptr || launch->attributes != 0 || launch->cooperative != 0) {
        return function == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_NOT_SUPPORTED;
      }
      const auto parameters = parameters_of(*function, what);
      if (!parameters) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      CUDA_KERNEL_NODE_PARAMS node{};
      node.func = function->function;
      node.kern = function->kernel;
      node.ctx = function->kernel != nullptr ? context->handle : nullptr;
      node.gridDimX = launch->grid[0];
      node.gridDimY = launch->grid[1];
      node.gridDimZ = launch->grid[2];
      node.blockDimX = launch->block[0];
      node.blockDimY = launch->block[1];
      node.blockDimZ = launch->block[2];
      node.sharedMemBytes = launch->shared;
      node.kernelParams = parameters->data();
      return driver_->cuGraphAddKernelNode(&made, graph, after, count, &node);
    }
    case NodeKind::copy: {
      const auto box = take_request<CopyBox::Request>(what);
      if (!box || box->width == 0 || box->height == 0 || box->depth == 0) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      const auto at = locate(*box, call, context->handle);
      if (!at || !is_one_copy(*box, *at)) {
        return at ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
      }
      const CUDA_MEMCPY3D copy =
          describe(*box, at->from, at->to, {.slices = box->depth, .rows = box->height, .width = box->width});
      return driver_->cuGraphAddMemcpyNode(&made, graph, after, count, &copy, context->handle);
    }
    case NodeKind::fill: {
      const auto fill = take_request<Fill::Request>(what);
      const auto size = fill ? fill_bytes(*fill) : std::nullopt;
      if (!size || *size == 0 || !is_device_memory(fill->address, *size)) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      CUDA_MEMSET_NODE_PARAMS node{};
      node.dst = fill->address;
      node.pitch = fill->pitch;
      node.value = fill->value;
      node.elementSize = fill->element;
      node.width = fill->width;
      node.height = fill->height;
      return driver_->cuGraphAddMemsetNode(&made, graph, after, count, &node, context->handle);
    }
  }
  return CUDA_ERROR_INVALID_VALUE;
}

Answer<Nothing> LaneBackend::handle(const AddNode::Request& request, marshal::Call& call) {
  const auto graph = graphs_.find(request.graph);
  auto trailing = call.trailing();
  if (graph == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  if (request.dependencies > most_dependencies || trailing.size() < request.dependencies * sizeof(Id)) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  std::vector<CUgraphNode> dependencies;
  for (std::uint32_t i = 0; i < request.dependencies; ++i) {
    const auto name = take_request<Id>(trailing);
    const auto node = nodes_.find(name.value_or(0));
    if (node == nullptr || node->graph != graph) {
      return refuse(CUDA_ERROR_INVALID_VALUE);
    }
    dependencies.push_back(node->handle);
  }
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  auto object = std::make_shared<NodeObject>();
  object->graph = graph;
  if (const CUresult code = add_node(request, call, graph->handle, dependencies, trailing, object->handle);
      code != CUDA_SUCCESS) {
    return refuse(code);
  }
  // A name that is taken leaves a node that nothing can depend on: the client's loss.
  return nodes_.add(request.id, std::move(object)) ? Answer<Nothing>(Nothing{}) : refuse(CUDA_ERROR_INVALID_HANDLE);
}

Answer<Nothing> LaneBackend::handle(const Instantiate::Request& request, marshal::Call& /*call*/) {
  const auto graph = graphs_.find(request.graph);
  if (graph == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  auto object = std::make_shared<ExecutableObject>();
  object->context = contexts_.find(request.context);
  if (const CUresult code = driver_->cuGraphInstantiate(&object->handle, graph->handle, request.flags);
      code != CUDA_SUCCESS) {
    return refuse(code);
  }
  CUgraphExec made = object->handle;
  if (!executables_.add(request.id, std::move(object))) {
    std::ignore = driver_->cuGraphExecDestroy(made);
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  return Nothing{};
}

Answer<Nothing> LaneBackend::handle(const LaunchGraph::Request& request, marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  const auto executable = executables_.find(request.executable);
  return executable == nullptr || !lives(executable->context)
             ? refuse(CUDA_ERROR_INVALID_HANDLE)
             : answer(driver_->cuGraphLaunch(executable->handle, place->stream));
}

}  // namespace isthmus::cuda
