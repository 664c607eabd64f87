// SPDX-License-Identifier: Apache-2.0

// What clients of one VM share. Each has a worker of its own, and the driver shares between processes: a worker leaves
// the driver's handle where the VM's other workers find it, and they open it.

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include "src/gpu/cuda/backend.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::cuda {
namespace {

enum class SharedKind : std::uint32_t { memory = 1, event = 2, physical = 3, pool = 4, pool_memory = 5 };

// What a note says. Another worker has written it: it is checked as a guest's word.
struct SharedNote {
  SharedKind kind = SharedKind::memory;
  std::uint32_t reserved = 0;
  std::array<std::byte, 64> handle{};  // the driver's; of a pool: the device's UUID
  std::uint64_t offset = 0;            // of memory: where in the driver's allocation it begins, and how long it is
  std::uint64_t size = 0;
};
static_assert(sizeof(SharedNote) <= plugin::Notes::most_bytes);
static_assert(sizeof(CUipcMemHandle) == sizeof(SharedNote::handle) &&
              sizeof(CUipcEventHandle) == sizeof(SharedNote::handle) &&
              sizeof(CUmemPoolPtrExportData) == sizeof(SharedNote::handle));

template <class Handle>
Handle handle_in(const SharedNote& note) {
  Handle handle;
  std::memcpy(&handle, note.handle.data(), sizeof handle);
  return handle;
}

// A note, and the descriptor that it holds.
struct FoundNote : SharedNote {
  UniqueFd descriptor;

  // The descriptor as the driver takes it.
  [[nodiscard]] void* shared() const {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): so the interface takes descriptors
    return reinterpret_cast<void*>(static_cast<std::uintptr_t>(descriptor.get()));
  }
};

// The note of that name, if it is of that kind.
Answer<FoundNote> read_note(const std::shared_ptr<plugin::Notes>& notes, const NoteName& name, SharedKind kind) {
  if (notes == nullptr) {
    return refuse(CUDA_ERROR_NOT_SUPPORTED);
  }
  const auto found = notes->read(name);
  SharedNote said;
  FoundNote note;
  note.descriptor.reset(found ? found->descriptor : -1);
  if (!found || found->bytes.size() != sizeof said) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  std::memcpy(static_cast<void*>(&said), found->bytes.data(), sizeof said);
  static_cast<SharedNote&>(note) = said;
  const bool has_descriptor = kind == SharedKind::physical || kind == SharedKind::pool;
  if (note.kind != kind || static_cast<bool>(note.descriptor) != has_descriptor) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  return note;
}

}  // namespace

// Leaves `note` with a handle or descriptor that `get(handle, note)` has the driver make.
template <class M, class Handle, class Note, class Get>
Answer<typename M::Reply> LaneBackend::share(Note note, Get get) {
  if (notes_ == nullptr) {
    return refuse(CUDA_ERROR_NOT_SUPPORTED);
  }
  Handle handle{};
  if (const CUresult code = get(handle, note); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  UniqueFd descriptor;
  if constexpr (std::is_same_v<Handle, int>) {
    descriptor.reset(handle);
  } else {
    std::memcpy(note.handle.data(), &handle, sizeof handle);
  }
  const auto name = notes_->pin(std::as_bytes(std::span(&note, 1)), descriptor.get());
  return name ? Answer<typename M::Reply>({.name = *name}) : refuse(CUDA_ERROR_OUT_OF_MEMORY);
}

std::array<std::byte, 16> LaneBackend::uuid_of(CUdevice device) const {
  CUuuid uuid{};
  std::array<std::byte, 16> bytes{};
  if (driver_->cuDeviceGetUuid(&uuid, device) == CUDA_SUCCESS) {
    std::memcpy(bytes.data(), &uuid, bytes.size());
  }
  return bytes;
}

Answer<ShareMemory::Reply> LaneBackend::handle(const ShareMemory::Request& request, marshal::Call& /*call*/) {
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const auto range = memory_.find(request.address);
  if (!range || request.size == 0 || !range->holds(request.address, request.size)) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  return share<ShareMemory, CUipcMemHandle>(
      SharedNote{.kind = SharedKind::memory, .offset = request.address - range->base, .size = request.size},
      [&](CUipcMemHandle& handle, SharedNote&) { return driver_->cuIpcGetMemHandle(&handle, range->base); });
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
  auto known = opened_.find(base);
  if (code == CUDA_SUCCESS && !known) {
    // It counts here, too: it stays when its owner is gone.
    code = account_.spend(bytes, context->handle, [] { return CUDA_SUCCESS; }, [&] { return base; });
  }
  if (code != CUDA_SUCCESS) {
    std::ignore = driver_->cuIpcCloseMemHandle(base);
    return refuse(code);
  }
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
    std::ignore = account_.settle(known->base, [] { return CUDA_SUCCESS; });
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
  return share<ShareEvent, CUipcEventHandle>(
      SharedNote{.kind = SharedKind::event},
      [&](CUipcEventHandle& handle, SharedNote&) { return driver_->cuIpcGetEventHandle(&handle, event->handle); });
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

// ---- by descriptors ------------------------------------------------------------------------------------------------

Answer<SharePhysical::Reply> LaneBackend::handle(const SharePhysical::Request& request, marshal::Call& /*call*/) {
  return share<SharePhysical, int>(SharedNote{.kind = SharedKind::physical}, [&](int& descriptor, SharedNote& note) {
    return virtual_.share(request.memory, descriptor, note.size);
  });
}

Answer<OpenPhysical::Reply> LaneBackend::handle(const OpenPhysical::Request& request, marshal::Call& /*call*/) {
  const auto note = read_note(notes_, request.name, SharedKind::physical);
  if (!note) {
    return std::unexpected(note.error());
  }
  CUmemAllocationProp properties{};
  if (const CUresult code = virtual_.open(request.id, note->size, note->descriptor.get(), properties);
      code != CUDA_SUCCESS) {
    return refuse(code);
  }
  return OpenPhysical::Reply{.size = note->size,
                             .device = static_cast<std::uint32_t>(properties.location.id),
                             .compression = properties.allocFlags.compressionType};
}

Answer<SharePool::Reply> LaneBackend::handle(const SharePool::Request& request, marshal::Call& /*call*/) {
  const auto pool = pools_.find(request.pool);
  if (pool == nullptr) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  const UsedPool used = use_pool(request.pool, 0);
  return share<SharePool, int>(SharedNote{.kind = SharedKind::pool}, [&](int& descriptor, SharedNote& note) {
    std::ranges::copy(uuid_of(pool->device), note.handle.begin());
    return used.handle == nullptr ? used.code
                                  : driver_->cuMemPoolExportToShareableHandle(
                                        &descriptor, used.handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
  });
}

Answer<OpenPool::Reply> LaneBackend::handle(const OpenPool::Request& request, marshal::Call& /*call*/) {
  const auto note = read_note(notes_, request.name, SharedKind::pool);
  if (!note) {
    return std::unexpected(note.error());
  }
  // Processes may number devices differently.
  std::uint32_t number = 0;
  std::optional<CUdevice> on = device(number);
  while (on && !std::ranges::equal(uuid_of(*on), std::span(note->handle).first(sizeof(CUuuid)))) {
    on = device(++number);
  }
  if (!on) {
    return refuse(CUDA_ERROR_INVALID_DEVICE);
  }
  auto made = std::make_shared<PoolObject>(PoolObject{.device = *on});
  if (const CUresult code = driver_->cuMemPoolImportFromShareableHandle(&made->handle, note->shared(),
                                                                        CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
      code != CUDA_SUCCESS) {
    return refuse(code);
  }
  if (!pools_.add(request.id, made)) {
    std::ignore = driver_->cuMemPoolDestroy(made->handle);
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  return OpenPool::Reply{.device = number};
}

Answer<SharePoolMemory::Reply> LaneBackend::handle(const SharePoolMemory::Request& request, marshal::Call& /*call*/) {
  const auto range = memory_.find(request.address);
  if (!range || range->base != request.address) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  return share<SharePoolMemory, CUmemPoolPtrExportData>(
      SharedNote{.kind = SharedKind::pool_memory, .size = range->size},
      [&](CUmemPoolPtrExportData& data, SharedNote&) { return driver_->cuMemPoolExportPointer(&data, range->base); });
}

Answer<OpenPoolMemory::Reply> LaneBackend::handle(const OpenPoolMemory::Request& request, marshal::Call& /*call*/) {
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const auto context = contexts_.find(request.context);
  const auto note = read_note(notes_, request.name, SharedKind::pool_memory);
  const auto pool = use_pool(request.pool, UINT64_MAX);
  if (!note || context == nullptr || pool.handle == nullptr) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  auto data = handle_in<CUmemPoolPtrExportData>(*note);
  CUdeviceptr address = 0;
  // It counts here, too: it stays when its owner is gone.
  CUresult code = account_.spend(
      note->size, nullptr, [&] { return driver_->cuMemPoolImportPointer(&address, pool.handle, &data); },
      [&] { return address; });
  if (code != CUDA_SUCCESS) {
    return refuse(code);
  }
  std::size_t bytes = 0;
  code = driver_->cuPointerGetAttribute(&bytes, CU_POINTER_ATTRIBUTE_RANGE_SIZE, address);
  if (code != CUDA_SUCCESS || note->size > bytes) {
    std::ignore = account_.settle(address, [&] { return driver_->cuMemFree(address); });
    return refuse(code == CUDA_SUCCESS ? CUDA_ERROR_INVALID_VALUE : code);
  }
  memory_.add(address, note->size, context->handle);
  return OpenPoolMemory::Reply{.address = address, .size = note->size};
}

}  // namespace isthmus::cuda
