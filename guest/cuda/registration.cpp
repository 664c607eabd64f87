// SPDX-License-Identifier: Apache-2.0

// Registered memory: its whole pages are moved into the slab, and the slab's pages are mapped in their place, so that
// the GPU reaches them; unregistering moves them back. Other threads must not write to the memory meanwhile.

#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>
#include <tuple>
#include <utility>

#include "guest/cuda/frontend.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

std::byte* memory_at(std::uint64_t address) {
  return reinterpret_cast<std::byte*>(address);  // NOLINT(performance-no-int-to-ptr): pages are computed with
}

// Whether all of it is memory of this process alone: what comes from files, or is shared, must stay what it is.
bool is_private_memory(std::uint64_t begin, std::uint64_t end) {
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::ignore = std::fclose(file); }
  };
  const std::unique_ptr<std::FILE, Close> maps(std::fopen("/proc/self/maps", "re"));
  std::array<char, 4096> line{};
  std::uint64_t reached = begin;
  while (maps != nullptr && std::fgets(line.data(), line.size(), maps.get()) != nullptr && reached < end) {
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    std::uint64_t inode = 0;
    std::array<char, 5> rights{};
    // NOLINTNEXTLINE(cert-err34-c): the kernel writes these numbers
    if (std::sscanf(line.data(), "%" SCNx64 "-%" SCNx64 " %4s %*x %*s %" SCNu64, &from, &to, rights.data(), &inode) !=
            4 ||
        to <= reached) {
      continue;
    }
    if (from > reached || inode != 0 || std::strncmp(rights.data(), "rw-p", 4) != 0 ||
        std::strstr(line.data(), "[stack") != nullptr) {
      return false;
    }
    reached = to;
  }
  return reached >= end;
}

// Puts ordinary pages with the same bytes in the place of the slab's. False where there is no memory for them.
bool map_back(std::uint64_t address, std::size_t bytes) {
  void* const pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) {
    return false;
  }
  std::memcpy(pages, memory_at(address), bytes);
  if (mremap(pages, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, memory_at(address)) == MAP_FAILED) {
    munmap(pages, bytes);
    return false;
  }
  return true;
}

MemoryInfo part(const Here& here, MemoryKind kind, unsigned flags, std::uint64_t offset) {
  return {.kind = kind,
          .context = here.context,
          .device = here.record.device,
          .flags = flags,
          .number = here.cuda.last_buffer.fetch_add(1, std::memory_order_relaxed) + 1,
          .offset = offset};
}

}  // namespace

CUresult CUDAAPI cuMemHostRegister(void* memory, std::size_t bytes, unsigned int flags) {
  return entry_here([&](const Here& here) -> CUresult {
    constexpr unsigned known = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP;
    const auto begin = reinterpret_cast<std::uintptr_t>(memory);
    const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    std::uint64_t end = 0;
    if (memory == nullptr || bytes == 0 || __builtin_add_overflow(begin, bytes, &end)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if ((flags & ~known) != 0) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    const std::scoped_lock lock(here.cuda.pinned_mutex);
    for (const auto& [other, known_memory] : here.cuda.registered) {
      if (begin < other + known_memory.size && other < end) {
        return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
      }
    }
    const std::uint64_t inner = (begin + page - 1) / page * page;
    const std::uint64_t inner_end = end / page * page;
    RegisteredMemory registered{.size = bytes, .inner = inner, .flags = flags, .frame = {}};
    if (inner < inner_end) {
      if (!is_private_memory(inner, inner_end)) {
        return CUDA_ERROR_NOT_SUPPORTED;
      }
      auto frame = here.lane().allocate(inner_end - inner);
      if (!frame) {
        return frame.error().code == isthmus::Errc::exhausted ? CUDA_ERROR_OUT_OF_MEMORY
                                                              : here.lane().lost(frame.error());
      }
      if (const CUresult code = here.cuda.use_slab(here.context, *frame); code != CUDA_SUCCESS) {
        return code;
      }
      std::memcpy(frame->data(), memory_at(inner), frame->size());
      if (!here.lane().map_again(*frame, memory_at(inner))) {
        return CUDA_ERROR_NOT_SUPPORTED;
      }
      here.cuda.memory.add(inner, frame->size(),
                           part(here, MemoryKind::registered, flags, frame->reference().offset()));
      registered.frame = std::move(*frame);
    }
    // What shares its pages with other memory stays, and is copied as ordinary memory.
    const std::uint64_t first_end = inner < inner_end ? inner : end;
    here.cuda.memory.add(begin, first_end - begin, part(here, MemoryKind::ordinary, flags, 0));
    if (inner < inner_end) {
      here.cuda.memory.add(inner_end, end - inner_end, part(here, MemoryKind::ordinary, flags, 0));
    }
    here.cuda.registered.insert_or_assign(begin, std::move(registered));
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuMemHostUnregister(void* memory) {
  return entry([&](Frontend& cuda) -> CUresult {
    const auto begin = reinterpret_cast<std::uintptr_t>(memory);
    const std::scoped_lock lock(cuda.pinned_mutex);
    const auto found = cuda.registered.find(begin);
    if (found == cuda.registered.end()) {
      return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    }
    // What the device has failed with does not keep the memory, nor does a host that is gone.
    // But while a stream is captured nobody can wait for the device, which may still write there.
    const auto quiet = cuda.lane->call_anyway<Quiesce>({});
    if (!quiet && quiet.error() == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED) {
      return quiet.error();
    }
    RegisteredMemory& registered = found->second;
    if (registered.frame.size() != 0 && !map_back(registered.inner, registered.frame.size())) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const std::uint64_t end = begin + registered.size;
    cuda.memory.remove_if([&](const Memory::Range& range) { return range.base >= begin && range.base < end; });
    cuda.registered.erase(found);
    return CUDA_SUCCESS;
  });
}
