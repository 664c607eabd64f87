// SPDX-License-Identifier: Apache-2.0

// What processes of one VM share. The handle that a program hands to another one holds the name of a note which the
// host keeps for the VM; it means nothing to NVIDIA's driver, nor anywhere else.

#include "guest/cuda/sharing.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <tuple>
#include <utility>

#include "guest/cuda/device_memory.hpp"
#include "guest/cuda/pools.hpp"
#include "src/transport/unique_fd.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

// What is shared.
namespace token {
constexpr char memory = 'm';
constexpr char event = 'e';
constexpr char physical = 'v';
constexpr char pool = 'p';
constexpr char pool_memory = 'a';
}  // namespace token

// What CUipcMemHandle, CUipcEventHandle and CUmemPoolPtrExportData hold, and the file of a descriptor.
struct Token {
  std::array<char, 12> mark{'i', 's', 't', 'h', 'm', 'u', 's', '-', 'c', 'u', 'd', 'a'};
  char kind = 0;  // of namespace token
  std::array<char, 3> reserved{};
  NoteName name{};
  std::array<char, 16> unused{};
};
static_assert(sizeof(Token) == sizeof(CUipcMemHandle) && sizeof(Token) == sizeof(CUipcEventHandle) &&
              sizeof(Token) == sizeof(CUmemPoolPtrExportData));

template <class Handle>
CUresult give_token(Handle* handle, char kind, const NoteName& name) {
  const Token made{.kind = kind, .name = name};
  std::memcpy(handle, &made, sizeof made);
  return CUDA_SUCCESS;
}

// The name in a handle, if it is one of ours and of that kind.
template <class Handle>
std::optional<NoteName> name_in(const Handle& handle, char kind) {
  Token found;
  std::memcpy(static_cast<void*>(&found), &handle, sizeof found);
  return found.mark == Token{}.mark && found.kind == kind ? std::optional(found.name) : std::nullopt;
}

// A descriptor that other processes can be sent: of a file that holds nothing but a token, and cannot be changed.
CUresult give_descriptor(void* to, char kind, const NoteName& name) {
  const Token made{.kind = kind, .name = name};
  isthmus::UniqueFd file(memfd_create("isthmus-cuda", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file || pwrite(file.get(), &made, sizeof made, 0) != static_cast<ssize_t>(sizeof made)) {
    return CUDA_ERROR_OPERATING_SYSTEM;
  }
  fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
  const int descriptor = file.release();
  std::memcpy(to, &descriptor, sizeof descriptor);
  return CUDA_SUCCESS;
}

// The name in the file of a descriptor, which is handed over in the form of a pointer.
std::optional<NoteName> name_behind(void* descriptor, char kind) {
  std::array<char, sizeof(Token)> bytes{};
  const auto number = static_cast<int>(reinterpret_cast<std::uintptr_t>(descriptor));
  return pread(number, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()) ? name_in(bytes, kind)
                                                                                            : std::nullopt;
}

// The name under which something is shared: that in `names` (Frontend::shared or shared_objects), or what `share()`
// makes, an Expected<Outcome> with a name.
template <class Names, class Share>
Expected<NoteName> name_of(Frontend& cuda, Names& names, const typename Names::key_type& key, Share share) {
  const std::scoped_lock lock(cuda.sharing_mutex);
  if (const auto known = names.find(key); known != names.end()) {
    return known->second;
  }
  const auto shared = share();
  if (!shared) {
    return std::unexpected(shared.error());
  }
  names.insert_or_assign(key, shared->reply.name);
  return shared->reply.name;
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
void Frontend::unshare_object(Id id) { unshare(*this, shared_objects, id); }

}  // namespace isthmus::cuda

CUresult CUDAAPI cuIpcGetMemHandle(CUipcMemHandle* handle, CUdeviceptr address) {
  return entry_here([&](const Here& here) -> CUresult {
    Frontend& cuda = here.cuda;
    const auto range = cuda.memory.find(address);
    if (handle == nullptr || !range || !is_shareable(range->value)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto name = name_of(cuda, cuda.shared, range->base, [&] {
      return here.lane().call<ShareMemory>(
          {.context = range->value.context, .address = range->base, .size = range->size});
    });
    return name ? give_token(handle, token::memory, *name) : name.error();
  });
}

CUresult CUDAAPI cuIpcOpenMemHandle(CUdeviceptr* address, CUipcMemHandle handle, unsigned int flags) {
  return entry_here([&](const Here& here) -> CUresult {
    Frontend& cuda = here.cuda;
    const auto name = name_in(handle, token::memory);
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
    let_work_end(cuda, here.context);
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
    if (handle == nullptr || event == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (record == nullptr || !record->is_shared()) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    const auto id = reinterpret_cast<std::uintptr_t>(event);
    const auto name =
        name_of(cuda, cuda.shared_objects, id, [&] { return cuda.lane->call<ShareEvent>({.event = id}); });
    if (!name) {
      return name.error();
    }
    record->note_elsewhere();
    return give_token(handle, token::event, *name);
  });
}

CUresult CUDAAPI cuIpcOpenEventHandle(CUevent* event, CUipcEventHandle handle) {
  return entry_here([&](const Here& here) -> CUresult {
    const auto name = name_in(handle, token::event);
    if (event == nullptr || !name) {
      return event == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_MAP_FAILED;
    }
    const auto id = here.cuda.events.make(
        {.context = here.context, .flags = CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING, .elsewhere = true});
    if (!id) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const CUresult code = here.lane().tell<OpenEvent>({.id = *id, .context = here.context, .name = *name});
    if (code != CUDA_SUCCESS) {
      here.cuda.events.remove(*id);
      return code == CUDA_ERROR_INVALID_VALUE ? CUDA_ERROR_MAP_FAILED : code;  // as the driver, of what is no handle
    }
    return give(event, handle_of<CUevent>(*id));
  });
}

// ---- by descriptors ------------------------------------------------------------------------------------------------

CUresult CUDAAPI cuMemExportToShareableHandle(void* shareable, CUmemGenericAllocationHandle handle,
                                              CUmemAllocationHandleType type, unsigned long long flags) {
  return entry([&](Frontend& cuda) -> CUresult {
    const std::scoped_lock lock(cuda.virtual_mutex);
    const PhysicalRecord* const record = cuda.physicals.find(handle);
    if (shareable == nullptr || flags != 0 || record == nullptr || record->handles == 0 ||
        type == CU_MEM_HANDLE_TYPE_NONE || (record->properties.requestedHandleTypes & type) != type) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto name =
        name_of(cuda, cuda.shared_objects, handle, [&] { return cuda.lane->call<SharePhysical>({.memory = handle}); });
    return name ? give_descriptor(shareable, token::physical, *name) : name.error();
  });
}

CUresult CUDAAPI cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* shared,
                                                CUmemAllocationHandleType type) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (handle == nullptr || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) {
      return handle == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_NOT_SUPPORTED;
    }
    const auto name = name_behind(shared, token::physical);
    const auto id = name ? cuda.physicals.reserve() : std::nullopt;
    if (!name || !id) {
      return name ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_INVALID_VALUE;
    }
    const auto made = call_for_memory<OpenPhysical>(cuda, ContextStack::mine().top(), {.id = *id, .name = *name});
    if (!made) {
      cuda.physicals.cancel(*id);
      return made.error();
    }
    PhysicalRecord record{.size = made->reply.size};
    record.properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    record.properties.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = static_cast<int>(made->reply.device)};
    record.properties.allocFlags.compressionType = static_cast<unsigned char>(made->reply.compression);
    cuda.physicals.publish(*id, record);
    return give(handle, *id);
  });
}

CUresult CUDAAPI cuMemPoolExportToShareableHandle(void* shareable, CUmemoryPool pool, CUmemAllocationHandleType type,
                                                  unsigned long long flags) {
  return entry([&](Frontend& cuda) -> CUresult {
    const auto known = find_pool(cuda, pool);
    if (shareable == nullptr || flags != 0 || !known || known->id == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    const auto name =
        name_of(cuda, cuda.shared_objects, known->id, [&] { return cuda.lane->call<SharePool>({.pool = known->id}); });
    return name ? give_descriptor(shareable, token::pool, *name) : name.error();
  });
}

CUresult CUDAAPI cuMemPoolImportFromShareableHandle(CUmemoryPool* pool, void* shared, CUmemAllocationHandleType type,
                                                    unsigned long long flags) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (pool == nullptr || flags != 0 || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) {
      return pool == nullptr || flags != 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_NOT_SUPPORTED;
    }
    const auto name = name_behind(shared, token::pool);
    const auto id = name ? cuda.pools.reserve() : std::nullopt;
    if (!name || !id) {
      return name ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_INVALID_VALUE;
    }
    const auto made = cuda.lane->call<OpenPool>({.id = *id, .name = *name});
    if (!made) {
      cuda.pools.cancel(*id);
      return made.error();
    }
    cuda.pools.publish(*id, {.device = made->reply.device});
    return give(pool, handle_of<CUmemoryPool>(*id));
  });
}

CUresult CUDAAPI cuMemPoolExportPointer(CUmemPoolPtrExportData* data, CUdeviceptr address) {
  return entry([&](Frontend& cuda) -> CUresult {
    const auto range = cuda.memory.find(address);
    if (data == nullptr || !range || range->base != address || range->value.from == nullptr || range->value.of_graph) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto name =
        name_of(cuda, cuda.shared, address, [&] { return cuda.lane->call<SharePoolMemory>({.address = address}); });
    return name ? give_token(data, token::pool_memory, *name) : name.error();
  });
}

CUresult CUDAAPI cuMemPoolImportPointer(CUdeviceptr* address, CUmemoryPool pool, CUmemPoolPtrExportData* data) {
  return entry_here([&](const Here& here) -> CUresult {
    const auto from = find_pool(here.cuda, pool);
    const auto name = data != nullptr ? name_in(*data, token::pool_memory) : std::nullopt;
    if (address == nullptr || !from || from->id == 0 || !name) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto made = call_for_address<OpenPoolMemory>(
        here.cuda, here.context, {.context = here.context, .pool = from->id, .name = *name}, Effort::all,
        [](const OpenPoolMemory::Reply& reply) { return reply.size; },
        [&](const OpenPoolMemory::Reply& other) {
          std::ignore = here.lane().tell<Free>({.context = here.context, .address = other.address});
        });
    if (!made) {
      return made.error();
    }
    MemoryInfo info = info_of(here, MemoryKind::device);
    info.device = from->device;
    info.from = pool;
    here.cuda.memory.add(made->address, made->size, info);
    return give(address, made->address);
  });
}
