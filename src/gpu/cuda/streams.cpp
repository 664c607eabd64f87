// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <tuple>
#include <utility>

#include "src/gpu/cuda/backend.hpp"
#include "src/gpu/cuda/host_functions.hpp"
#include "src/gpu/cuda/output.hpp"

namespace isthmus::cuda {
namespace {

// An object of the client's whose context still lives, or null.
template <class Object>
std::shared_ptr<Object> living(const gpu::ObjectTable<Object>& table, Id id) {
  auto found = table.find(id);
  return found != nullptr && lives(found->context) ? found : nullptr;
}

bool is_stream_attribute(std::uint32_t attribute) noexcept {
  switch (attribute) {
    case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
    case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
    case CU_LAUNCH_ATTRIBUTE_PRIORITY:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
      return true;
    default:
      return false;
  }
}

}  // namespace

Answer<Nothing> LaneBackend::handle(const CreateStream::Request& request, marshal::Call& /*call*/) {
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  auto object = std::make_shared<StreamObject>();
  object->context = contexts_.find(request.context);
  if (object->context == nullptr) {
    return refuse(CUDA_ERROR_INVALID_CONTEXT);
  }
  if (const CUresult code = driver_->cuStreamCreateWithPriority(&object->handle, request.flags, request.priority);
      code != CUDA_SUCCESS) {
    return refuse(code);
  }
  CUstream made = object->handle;
  if (request.id <= per_thread_stream || !streams_.add(request.id, std::move(object))) {
    std::ignore = driver_->cuStreamDestroy(made);
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  return Nothing{};
}

Answer<Nothing> LaneBackend::handle(const SyncStream::Request& request, marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  auto replaced = take_replaced(&request.place);
  const CUresult code = driver_->cuStreamSynchronize(place->stream);
  end_replaced(std::move(replaced), code);
  account_.reclaim();
  return answer(code);
}

Answer<Nothing> LaneBackend::handle(const QueryStream::Request& request, marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  return place ? answer(driver_->cuStreamQuery(place->stream)) : std::unexpected(place.error());
}

Answer<Nothing> LaneBackend::handle(const WaitEvent::Request& request, marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  const auto event = living(events_, request.event);
  return event == nullptr ? refuse(CUDA_ERROR_INVALID_HANDLE)
                          : answer(driver_->cuStreamWaitEvent(place->stream, event->handle, request.flags));
}

Answer<Nothing> LaneBackend::handle(const CreateEvent::Request& request, marshal::Call& /*call*/) {
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  auto object = std::make_shared<EventObject>();
  object->context = contexts_.find(request.context);
  if (object->context == nullptr) {
    return refuse(CUDA_ERROR_INVALID_CONTEXT);
  }
  if (const CUresult code = driver_->cuEventCreate(&object->handle, request.flags); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  return keep_event(request.id, std::move(object));
}

Answer<Nothing> LaneBackend::keep_event(Id id, std::shared_ptr<EventObject> event) {
  CUevent made = event->handle;
  if (!events_.add(id, std::move(event))) {
    std::ignore = driver_->cuEventDestroy(made);
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  return Nothing{};
}

Answer<Nothing> LaneBackend::handle(const RecordEvent::Request& request, marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  const auto event = living(events_, request.event);
  return event == nullptr ? refuse(CUDA_ERROR_INVALID_HANDLE)
                          : answer(driver_->cuEventRecordWithFlags(event->handle, place->stream, request.flags));
}

Answer<Nothing> LaneBackend::handle(const SyncEvent::Request& request, marshal::Call& /*call*/) {
  const auto event = living(events_, request.event);
  return event == nullptr ? refuse(CUDA_ERROR_INVALID_HANDLE) : answer(driver_->cuEventSynchronize(event->handle));
}

Answer<Nothing> LaneBackend::handle(const QueryEvent::Request& request, marshal::Call& /*call*/) {
  const auto event = living(events_, request.event);
  return event == nullptr ? refuse(CUDA_ERROR_INVALID_HANDLE) : answer(driver_->cuEventQuery(event->handle));
}

Answer<ElapsedTime::Reply> LaneBackend::handle(const ElapsedTime::Request& request, marshal::Call& /*call*/) {
  const auto start = living(events_, request.start);
  const auto end = living(events_, request.end);
  if (start == nullptr || end == nullptr) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  ElapsedTime::Reply reply;
  const CUresult code = driver_->cuEventElapsedTime(&reply.milliseconds, start->handle, end->handle);
  return code == CUDA_SUCCESS ? Answer<ElapsedTime::Reply>(reply) : refuse(code);
}

Answer<Nothing> LaneBackend::handle(const Release::Request& request, marshal::Call& /*call*/) {
  // What lived in a context that is gone went with it.
  const auto let_go = [&](const auto& object, auto&& destroy) -> Answer<Nothing> {
    if (object == nullptr) {
      return refuse(CUDA_ERROR_INVALID_HANDLE);
    }
    return lives(object->context) ? answer(destroy(*object)) : Answer<Nothing>(Nothing{});
  };
  switch (request.kind) {
    case ObjectKind::stream:
      captures_.forget_stream(request.id);
      return let_go(streams_.take(request.id),
                    [&](const StreamObject& stream) { return driver_->cuStreamDestroy(stream.handle); });
    case ObjectKind::event:
      return let_go(events_.take(request.id),
                    [&](const EventObject& event) { return driver_->cuEventDestroy(event.handle); });
    case ObjectKind::module: {
      const auto module = modules_.take(request.id);
      if (module != nullptr) {
        module->forget_managed(true);
        functions_.remove_if([&](const FunctionObject& function) { return function.owner == module; });
      }
      return let_go(module, [&](const ModuleObject& gone) {
        return gone.library != nullptr ? driver_->cuLibraryUnload(gone.library) : driver_->cuModuleUnload(gone.module);
      });
    }
    case ObjectKind::graph: {
      const auto graph = graphs_.find(request.id);
      if (graph == nullptr || graph->whole != nullptr || graph->captured.load()) {
        return refuse(graph == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_INVALID_VALUE);
      }
      graphs_.take(request.id);
      forget_graph(graph);
      return answer(driver_->cuGraphDestroy(graph->handle));
    }
    case ObjectKind::node:
      return answer(destroy_node(request.id));
    case ObjectKind::pool:
      return answer(destroy_pool(request.id));
    case ObjectKind::memory:
      return answer(virtual_.release(request.id));
    case ObjectKind::executable: {
      const auto gone = executables_.take(request.id);
      if (gone != nullptr) {
        const std::scoped_lock lock(replaced_mutex_);
        for (auto& [node, function] : gone->functions) {
          replace(gone->runs, std::move(function));
        }
      }
      return let_go(gone,
                    [&](const ExecutableObject& executable) { return driver_->cuGraphExecDestroy(executable.handle); });
    }
    case ObjectKind::link:
      return answer(destroy_link(request.id));
    case ObjectKind::function:
      return functions_.take(request.id) != nullptr ? Answer<Nothing>(Nothing{}) : refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  return refuse(CUDA_ERROR_INVALID_VALUE);
}

Answer<Nothing> LaneBackend::handle(const SetStreamAttribute::Request& request, marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  if (!is_stream_attribute(request.attribute)) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  CUstreamAttrValue value{};
  static_assert(sizeof value == sizeof request.value);
  std::memcpy(&value, request.value.data(), sizeof value);
  return answer(driver_->cuStreamSetAttribute(place->stream, static_cast<CUstreamAttrID>(request.attribute), &value));
}

Answer<GetStreamAttribute::Reply> LaneBackend::handle(const GetStreamAttribute::Request& request,
                                                      marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  if (!is_stream_attribute(request.attribute)) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  CUstreamAttrValue value{};
  const CUresult code =
      driver_->cuStreamGetAttribute(place->stream, static_cast<CUstreamAttrID>(request.attribute), &value);
  if (code != CUDA_SUCCESS) {
    return refuse(code);
  }
  GetStreamAttribute::Reply reply;
  std::memcpy(reply.value.data(), &value, sizeof value);
  return reply;
}

Answer<Nothing> LaneBackend::handle(const LaunchHost::Request& request, marshal::Call& call) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  if (captures_.any() && request.callback == 0) {
    const auto captured = captured_at(place->stream);
    if (!captured) {
      return std::unexpected(captured.error());
    }
    if (captured->status == CU_STREAM_CAPTURE_STATUS_ACTIVE && request.token != 0 && call.upcalls() != nullptr) {
      auto function = std::make_unique<RepeatedFunction>(call.upcalls(), request.token);
      const CUDA_HOST_NODE_PARAMS run = function->node();
      const CUresult code = driver_->cuLaunchHostFunc(place->stream, run.fn, run.userData);
      if (code == CUDA_SUCCESS) {
        RepeatedFunction::give_to(*driver_, captured->graph, std::move(function));
      }
      return answer(code);
    }
  }
  return answer(launch_host_function(*driver_, place->stream, request.token, request.callback != 0, call.upcalls()));
}

Answer<TakeOutput::Reply> LaneBackend::handle(const TakeOutput::Request& /*request*/, marshal::Call& call) {
  thread_local std::vector<std::byte> piece(TakeOutput::most);  // valid until the reply is written
  const Output::Taken taken = Output::take(piece);
  call.reply_trailing(std::span(piece).first(taken.bytes));
  return TakeOutput::Reply{.is_error = taken.is_error ? 1U : 0U, .more = taken.more ? 1U : 0U};
}

}  // namespace isthmus::cuda
