// SPDX-License-Identifier: Apache-2.0

// What processes of one VM share. The handle that a program hands to another one holds the name of a note which the
// host keeps for the VM; it means nothing to NVIDIA's driver, nor anywhere else.

#include "guest/cuda/sharing.hpp"

#include <array>
#include <cstring>
#include <tuple>
#include <utility>

#include "guest/cuda/device_memory.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

// What CUipcMemHandle and CUipcEventHandle hold.
struct Token {
  std::array<char, 12> mark{'i', 's', 't', 'h', 'm', 'u', 's', '-', 'c', 'u', 'd', 'a'};
  char kind = 0;  // 'm' or 'e'
  std::array<char, 3> reserved{};
  NoteName name{};
  std::array<char, 16> unused{};
};
static_assert(sizeof(Token) == sizeof(CUipcMemHandle) && sizeof(Token) == sizeof(CUipcEventHandle));

template <class Handle>
CUresult give_token(Handle* handle, char kind, const NoteName& name) {
  const Token token{.kind = kind, .name = name};
  std::memcpy(handle, &token, sizeof token);
  return CUDA_SUCCESS;
}

// The name in a handle, if it is one of ours and of that kind.
template <class Handle>
std::optional<NoteName> name_in(const Handle& handle, char kind) {
  Token token;
  std::memcpy(static_cast<void*>(&token), &handle, sizeof token);
  return token.mark == Token{}.mark && token.kind == kind ? std::optional(token.name) : std::nullopt;
}

}  // namespace

namespace isthmus::cuda {

namespace {

template <class Names, class Key>
void unshare(Frontend& cuda, Names& names, const Key& key) {
  NoteName name{};
  {
    const std::scoped_lock lock(cuda.sharing_mutex);
    const auto found = names.find(key);
    if (found == names.end()) {
      return;
    }
    name = found->second;
    names.erase(found);
  }
  std::ignore = cuda.lane->post<Unshare>({.name = name});
}

}  // namespace

void Frontend::unshare_memory(std::uint64_t address) { unshare(*this, shared, address); }
void Frontend::unshare_event(Id event) { unshare(*this, shared_events, event); }

}  // namespace isthmus::cuda

CUresult CUDAAPI cuIpcGetMemHandle(CUipcMemHandle* handle, CUdeviceptr address) {
  return entry_here([&](const Here& here) -> CUresult {
    Frontend& cuda = here.cuda;
    const auto range = cuda.memory.find(address);
    if (handle == nullptr || !range || !is_shareable(range->value)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const std::scoped_lock lock(cuda.sharing_mutex);
    if (const auto known = cuda.shared.find(range->base); known != cuda.shared.end()) {
      return give_token(handle, 'm', known->second);
    }
    const auto shared =
        here.lane().call<ShareMemory>({.context = range->value.context, .address = range->base, .size = range->size});
    if (!shared) {
      return shared.error();
    }
    cuda.shared.insert_or_assign(range->base, shared->reply.name);
    return give_token(handle, 'm', shared->reply.name);
  });
}

CUresult CUDAAPI cuIpcOpenMemHandle(CUdeviceptr* address, CUipcMemHandle handle, unsigned int flags) {
  return entry_here([&](const Here& here) -> CUresult {
    Frontend& cuda = here.cuda;
    const auto name = name_in(handle, 'm');
    if (address == nullptr || !name) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const std::scoped_lock lock(cuda.sharing_mutex);
    const auto made = call_for_address<OpenMemory>(
        cuda, here.context, {.context = here.context, .name = *name, .flags = flags}, Effort::little,
        [](const OpenMemory::Reply& reply) { return reply.size; },
        [&](const OpenMemory::Reply& other) {
          std::ignore = cuda.lane->tell<CloseMemory>({.address = other.address});
        });
    if (!made) {
      return made.error();
    }
    if (cuda.opened[made->address]++ == 0) {
      MemoryInfo info = info_of(here, MemoryKind::device);
      info.device = made->device;
      info.opened = true;
      cuda.memory.add(made->address, made->size, info);
    }
    return give(address, made->address);
  });
}

CUresult CUDAAPI cuIpcCloseMemHandle(CUdeviceptr address) {
  return entry_here([&](const Here& here) -> CUresult {
    Frontend& cuda = here.cuda;
    const auto range = cuda.memory.find(address);
    if (!range || range->base != address || !range->value.opened) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // A copy that has returned natively is perhaps on its way here.
    if (!cuda.lane->work().is_quiet_since(0)) {
      std::ignore = wait_for_devices(cuda, here.context);  // what a device has failed with is told elsewhere
    }
    const std::scoped_lock lock(cuda.sharing_mutex);
    const CUresult code = cuda.lane->tell<CloseMemory>({.address = address});
    const auto times = cuda.opened.find(address);
    if (code == CUDA_SUCCESS && times != cuda.opened.end() && --times->second == 0) {
      cuda.opened.erase(times);
      cuda.memory.remove(address);
    }
    return code;
  });
}

CUresult CUDAAPI cuIpcGetEventHandle(CUipcEventHandle* handle, CUevent event) {
  return entry([&](Frontend& cuda) -> CUresult {
    const EventRecord* const record = cuda.events.find(event);
    if (record == nullptr || handle == nullptr) {
      return handle == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
    }
    if (!record->is_shared()) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    const auto id = reinterpret_cast<std::uintptr_t>(event);
    const std::scoped_lock lock(cuda.sharing_mutex);
    if (const auto known = cuda.shared_events.find(id); known != cuda.shared_events.end()) {
      return give_token(handle, 'e', known->second);
    }
    const auto shared = cuda.lane->call<ShareEvent>({.event = id});
    if (!shared) {
      return shared.error();
    }
    record->note_elsewhere();
    cuda.shared_events.insert_or_assign(id, shared->reply.name);
    return give_token(handle, 'e', shared->reply.name);
  });
}

CUresult CUDAAPI cuIpcOpenEventHandle(CUevent* event, CUipcEventHandle handle) {
  return entry_here([&](const Here& here) -> CUresult {
    const auto name = name_in(handle, 'e');
    if (event == nullptr || !name) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto id = here.cuda.events.make(
        {.context = here.context, .flags = CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING, .elsewhere = true});
    if (!id) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const CUresult code = here.lane().tell<OpenEvent>({.id = *id, .context = here.context, .name = *name});
    if (code != CUDA_SUCCESS) {
      here.cuda.events.remove(*id);
      return code;
    }
    return give(event, handle_of<CUevent>(*id));
  });
}
