// SPDX-License-Identifier: Apache-2.0

// What clients of one VM share. Each has a worker of its own, and the driver shares between processes: a worker leaves
// the driver's handle where the VM's other workers find it, and they open it.

#include <cstring>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include "src/gpu/cuda/backend.hpp"

namespace isthmus::cuda {
namespace {

enum class SharedKind : std::uint32_t { memory = 1, event = 2 };

// What a note says. Another worker has written it: it is checked as a guest's word.
struct SharedNote {
  SharedKind kind = SharedKind::memory;
  std::uint32_t reserved = 0;
  std::array<std::byte, 64> handle{};  // the driver's
  std::uint64_t offset = 0;            // of memory: where in the driver's allocation it begins, and how long it is
  std::uint64_t size = 0;
};
static_assert(sizeof(SharedNote) <= plugin::Notes::most_bytes);
static_assert(sizeof(CUipcMemHandle) == sizeof(SharedNote::handle) &&
              sizeof(CUipcEventHandle) == sizeof(SharedNote::handle));

template <class Handle>
Handle handle_in(const SharedNote& note) {
  Handle handle;
  std::memcpy(&handle, note.handle.data(), sizeof handle);
  return handle;
}

// The note of that name, if it is of that kind.
Answer<SharedNote> read_note(const std::shared_ptr<plugin::Notes>& notes, const NoteName& name, SharedKind kind) {
  if (notes == nullptr) {
    return refuse(CUDA_ERROR_NOT_SUPPORTED);
  }
  const auto found = notes->read(name);
  SharedNote note;
  if (!found || found->bytes.size() != sizeof note) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  std::memcpy(&note, found->bytes.data(), sizeof note);
  return note.kind == kind ? Answer<SharedNote>(note) : refuse(CUDA_ERROR_INVALID_VALUE);
}

}  // namespace

// Leaves `note` with a handle that `get(handle)` has the driver make.
template <class Handle, class Note, class Get>
Answer<NoteName> LaneBackend::share(Note note, Get get) {
  if (notes_ == nullptr) {
    return refuse(CUDA_ERROR_NOT_SUPPORTED);
  }
  Handle handle{};
  if (const CUresult code = get(handle); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  std::memcpy(note.handle.data(), &handle, sizeof handle);
  const auto name = notes_->pin(std::as_bytes(std::span(&note, 1)), -1);
  return name ? Answer<NoteName>(*name) : refuse(CUDA_ERROR_OUT_OF_MEMORY);
}

Answer<ShareMemory::Reply> LaneBackend::handle(const ShareMemory::Request& request, marshal::Call& /*call*/) {
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const auto range = memory_.find(request.address);
  if (!range || request.size == 0 || !range->holds(request.address, request.size)) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  const auto name = share<CUipcMemHandle>(
      SharedNote{.kind = SharedKind::memory, .offset = request.address - range->base, .size = request.size},
      [&](CUipcMemHandle& handle) { return driver_->cuIpcGetMemHandle(&handle, range->base); });
  return name ? Answer<ShareMemory::Reply>({.name = *name}) : std::unexpected(name.error());
}

Answer<Nothing> LaneBackend::handle(const Unshare::Request& request, marshal::Call& /*call*/) {
  if (notes_ != nullptr) {
    notes_->take_down(request.name);
  }
  return Nothing{};
}

Answer<OpenMemory::Reply> LaneBackend::handle(const OpenMemory::Request& request, marshal::Call& /*call*/) {
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const auto note = read_note(notes_, request.name, SharedKind::memory);
  const auto context = contexts_.find(request.context);
  if (!note || context == nullptr) {
    return context == nullptr ? refuse(CUDA_ERROR_INVALID_CONTEXT) : std::unexpected(note.error());
  }
  // The driver answers the same address where it is open already, and counts.
  const std::scoped_lock lock(opened_mutex_);
  CUdeviceptr base = 0;
  if (const CUresult code = driver_->cuIpcOpenMemHandle(&base, handle_in<CUipcMemHandle>(*note), request.flags);
      code != CUDA_SUCCESS) {
    return refuse(code);
  }
  std::size_t bytes = 0;
  int device_number = 0;
  CUresult code = driver_->cuPointerGetAttribute(&bytes, CU_POINTER_ATTRIBUTE_RANGE_SIZE, base);
  if (code == CUDA_SUCCESS) {
    code = driver_->cuPointerGetAttribute(&device_number, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, base);
  }
  if (code == CUDA_SUCCESS && (note->offset > bytes || note->size > bytes - note->offset)) {
    code = CUDA_ERROR_INVALID_VALUE;
  }
  if (code != CUDA_SUCCESS) {
    std::ignore = driver_->cuIpcCloseMemHandle(base);
    return refuse(code);
  }
  auto known = opened_.find(base);
  OpenedMemory opened = known ? known->value : OpenedMemory{.name = request.context, .context = context->handle};
  ++opened.times;
  opened_.add(base, bytes, opened);
  return OpenMemory::Reply{
      .address = base + note->offset, .size = note->size, .device = static_cast<std::uint32_t>(device_number)};
}

Answer<Nothing> LaneBackend::handle(const CloseMemory::Request& request, marshal::Call& /*call*/) {
  const std::scoped_lock lock(opened_mutex_);
  auto known = opened_.find(request.address);
  if (!known) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  if (const CUresult code = enter(known->value.name); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const CUresult code = driver_->cuIpcCloseMemHandle(known->base);
  if (code == CUDA_SUCCESS && --known->value.times == 0) {
    opened_.remove(known->base);
  } else if (code == CUDA_SUCCESS) {
    opened_.add(known->base, known->size, known->value);
  }
  return answer(code);
}

Answer<ShareEvent::Reply> LaneBackend::handle(const ShareEvent::Request& request, marshal::Call& /*call*/) {
  const auto event = events_.find(request.event);
  if (event == nullptr || !lives(event->context)) {
    return refuse(CUDA_ERROR_INVALID_HANDLE);
  }
  const auto name = share<CUipcEventHandle>(SharedNote{.kind = SharedKind::event}, [&](CUipcEventHandle& handle) {
    return driver_->cuIpcGetEventHandle(&handle, event->handle);
  });
  return name ? Answer<ShareEvent::Reply>({.name = *name}) : std::unexpected(name.error());
}

Answer<Nothing> LaneBackend::handle(const OpenEvent::Request& request, marshal::Call& /*call*/) {
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const auto note = read_note(notes_, request.name, SharedKind::event);
  if (!note) {
    return std::unexpected(note.error());
  }
  auto object = std::make_shared<EventObject>();
  object->context = contexts_.find(request.context);
  if (object->context == nullptr) {
    return refuse(CUDA_ERROR_INVALID_CONTEXT);
  }
  if (const CUresult code = driver_->cuIpcOpenEventHandle(&object->handle, handle_in<CUipcEventHandle>(*note));
      code != CUDA_SUCCESS) {
    return refuse(code);
  }
  return keep_event(request.id, std::move(object));
}

}  // namespace isthmus::cuda
