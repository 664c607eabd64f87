// SPDX-License-Identifier: Apache-2.0
#include "guest/cuda/device_memory.hpp"

#include <tuple>
#include <vector>

namespace isthmus::cuda {
namespace {

// Asks the driver whether memory may be allocated and freed now: it knows what a capture forbids, and to whom.
CUresult check_permitted(const Here& here) {
  const auto made = here.lane().call<Allocate>({.context = here.context, .size = DeviceHeap::granule});
  if (!made) {
    return made.error() == CUDA_ERROR_OUT_OF_MEMORY ? CUDA_SUCCESS : made.error();  // nothing forbids it
  }
  return here.lane().tell<Free>({.context = here.context, .address = made->reply.address});
}

void give_back(Frontend& cuda, const std::vector<DevicePool::Piece>& chunks) {
  for (const DevicePool::Piece& chunk : chunks) {
    std::ignore = cuda.lane->tell<Free>({.context = chunk.context, .address = chunk.address});
  }
}

// Gives memory back to the pool: at once where the devices are done with it, aside while a capture forbids to ask.
CUresult free_of_pool(const Here& here, const Memory::Range& range) {
  Frontend& cuda = here.cuda;
  const Id context = range.value.context;
  CUresult code = CUDA_SUCCESS;
  bool is_captured_now = cuda.captures.any();
  if (!is_captured_now && !here.lane().work().is_quiet_since(range.value.work)) {
    code = wait_for_devices(cuda, context);
    is_captured_now = code == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;  // another thread has just begun to
  }
  if (is_captured_now) {
    code = check_permitted(here);
  }
  if (code != CUDA_SUCCESS) {
    return code;
  }
  if (is_captured_now) {
    cuda.pool.put_aside({.context = context, .address = range.base});
  } else {
    cuda.pool.give(context, range.base);
    give_back(cuda, cuda.pool.surplus(context));
  }
  return CUDA_SUCCESS;
}

}  // namespace

CUresult wait_for_devices(Frontend& cuda, Id context) {
  WorkCount& work = cuda.lane->work();
  const std::uint64_t upto = work.issued();
  const auto aside = cuda.pool.take_aside();
  const CUresult code = cuda.lane->tell<Quiesce>({.context = context});
  if (code == CUDA_SUCCESS) {
    work.note_quiet(upto);
  }
  for (const DevicePool::Piece& piece : aside) {
    if (code == CUDA_SUCCESS) {
      cuda.pool.give(piece.context, piece.address);
    } else {
      cuda.pool.put_aside(piece);
    }
  }
  return code;
}

void let_work_end(Frontend& cuda, Id context) {
  if (!cuda.lane->work().is_quiet_since(0)) {
    std::ignore = wait_for_devices(cuda, context);
  }
}

MemoryInfo info_of(const Here& here, MemoryKind kind, std::uint32_t flags) {
  return {.kind = kind,
          .context = here.context,
          .device = here.record.device,
          .flags = flags,
          .number = here.cuda.last_buffer.fetch_add(1, std::memory_order_relaxed) + 1};
}

Expected<Allocate::Reply> ask_for_memory(const Here& here, const Allocate::Request& request, Effort effort) {
  return call_for_address<Allocate>(
      here.cuda, here.context, request, effort,
      [&](const Allocate::Reply& made) { return request.element == 0 ? request.size : made.pitch * request.height; },
      [&](const Allocate::Reply& made) {
        std::ignore = here.lane().tell<Free>({.context = here.context, .address = made.address});
      });
}

Expected<CUdeviceptr> allocate_on_device(const Here& here, std::size_t bytes) {
  DevicePool& pool = here.cuda.pool;
  MemoryInfo info = info_of(here, MemoryKind::device);
  const bool is_pools = pool.serves(bytes) && !here.cuda.captures.any();
  if (is_pools) {
    if (const CUresult code = here.lane().check(); code != CUDA_SUCCESS) {
      return std::unexpected(code);
    }
    auto address = pool.take(here.context, bytes);
    if (!address) {
      const std::uint64_t size = pool.chunk_for(here.context, bytes);
      // Where there is no room for a whole chunk there may be some for what is asked for: below, with more effort.
      const auto chunk = ask_for_memory(here, {.context = here.context, .size = size}, Effort::little);
      if (!chunk && chunk.error() != CUDA_ERROR_OUT_OF_MEMORY) {
        return std::unexpected(chunk.error());
      }
      if (chunk && chunk->address % DeviceHeap::granule != 0) {
        std::ignore = here.lane().tell<Free>({.context = here.context, .address = chunk->address});
      } else if (chunk) {
        pool.add_chunk(here.context, here.record.device, chunk->address, size);
        address = pool.take(here.context, bytes);
      }
    }
    if (address) {
      info.pooled = true;
      info.work = here.lane().work().issued();
      here.cuda.memory.add(*address, bytes, info);
      return *address;
    }
  }
  const auto made = ask_for_memory(here, {.context = here.context, .size = bytes}, Effort::all);
  if (!made) {
    return std::unexpected(made.error());
  }
  here.cuda.memory.add(made->address, bytes, info);
  return made->address;
}

CUresult free_on_device(const Here& here, const Memory::Range& range) {
  Frontend& cuda = here.cuda;
  const Id context = range.value.context;
  if (const CUresult code = here.lane().check(); code != CUDA_SUCCESS) {
    return code;
  }
  // Forgotten first: another thread's allocation may get the address as soon as it is free.
  if (!cuda.memory.remove(range.base)) {
    return CUDA_ERROR_INVALID_VALUE;  // another thread has freed it meanwhile
  }
  cuda.unshare_memory(range.base);
  const CUresult code = range.value.pooled ? free_of_pool(here, range)
                                           : here.lane().tell<Free>({.context = context, .address = range.base});
  if (code != CUDA_SUCCESS) {
    cuda.memory.add(range.base, range.size, range.value);
  }
  return code;
}

bool give_back_unused(Frontend& cuda, Id context) {
  auto chunks = cuda.pool.all_unused();
  // Only what was freed during a capture may be in use still: nobody else waits for that.
  if (chunks.empty() && cuda.pool.has_aside() && !cuda.captures.any() &&
      wait_for_devices(cuda, context) == CUDA_SUCCESS) {
    chunks = cuda.pool.all_unused();
  }
  give_back(cuda, chunks);
  return !chunks.empty();
}

}  // namespace isthmus::cuda
