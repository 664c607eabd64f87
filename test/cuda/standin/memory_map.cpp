// SPDX-License-Identifier: Apache-2.0
#include "test/cuda/standin/memory_map.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "test/cuda/standin/address.hpp"
#include "test/cuda/standin/failure.hpp"
#include "test/cuda/standin/physical.hpp"
#include "test/cuda/standin/settings.hpp"
#include "test/cuda/standin/shared_file.hpp"

namespace isthmus::standin {
namespace {

constexpr std::size_t arena_size = std::size_t{64} << 30U;
constexpr std::size_t page = 4096;
constexpr std::size_t patterned = 4096;
constexpr int pattern = 0xcd;

std::size_t whole_pages(std::size_t size) { return (size + page - 1) / page * page; }

// Address space without memory; the kernel's choice, or exactly there.
void* nothing_at(void* where, std::size_t size, int flags) {
  return mmap(where, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
}

}  // namespace

MemoryMap::MemoryMap() : used_(8) {
  void* start = nothing_at(nullptr, arena_size, 0);
  if (start == MAP_FAILED) {
    alarm("64 GiB of address space for the device's memory: not to be had");
  }
  arena_ = next_ = address_of(start);
}

MemoryMap::Blocks::const_iterator MemoryMap::at(CUdeviceptr address) const {
  auto after = blocks_.upper_bound(address);
  if (after == blocks_.begin()) {
    return blocks_.end();
  }
  --after;
  return address - after->first < after->second.size ? after : blocks_.end();
}

// A place in the arena behind all that was given out, else the first that is free.
CUdeviceptr MemoryMap::place(std::size_t size) {
  const std::size_t needed = whole_pages(size) + page;
  require(size <= arena_size - page, CUDA_ERROR_OUT_OF_MEMORY);
  const CUdeviceptr end = arena_ + arena_size;
  if (end - next_ < needed) {
    next_ = arena_;
  }
  for (auto block = blocks_.lower_bound(next_); block != blocks_.end() && block->first < end; ++block) {
    if (block->first - next_ >= needed) {
      break;
    }
    next_ = block->first + whole_pages(block->second.size) + page;
  }
  require(end - next_ >= needed, CUDA_ERROR_OUT_OF_MEMORY, "the arena is full");
  const CUdeviceptr found = next_;
  next_ += needed;
  return found;
}

void MemoryMap::account_locked(CUdevice device, std::ptrdiff_t bytes) {
  auto& used = used_.at(static_cast<std::size_t>(device));
  if (bytes > 0) {
    require(static_cast<std::size_t>(bytes) <= settings().memory - used, CUDA_ERROR_OUT_OF_MEMORY);
  }
  used += static_cast<std::size_t>(bytes);
}

void MemoryMap::account(CUdevice device, std::ptrdiff_t bytes) {
  const std::scoped_lock lock(mutex_);
  account_locked(device, bytes);
}

Block MemoryMap::allocate(Block::Kind kind, std::size_t size, Context& context) {
  require(size > 0, CUDA_ERROR_INVALID_VALUE, "no bytes asked for");
  const CUdevice device = device_of(context);
  const std::scoped_lock lock(mutex_);
  require(size <= settings().memory, CUDA_ERROR_OUT_OF_MEMORY);
  account_locked(device, static_cast<std::ptrdiff_t>(whole_pages(size)));
  const Block block{
      .start = place(size), .size = size, .kind = kind, .context = &context, .device = device, .id = ++last_id_};
  if (mprotect(pointer_to(block.start), whole_pages(size), PROT_READ | PROT_WRITE) != 0) {
    account_locked(device, -static_cast<std::ptrdiff_t>(whole_pages(size)));
    fail(CUDA_ERROR_OUT_OF_MEMORY, "the host's memory");
  }
  std::memset(pointer_to(block.start), kind == Block::Kind::module ? 0 : pattern, std::min(size, patterned));
  blocks_.emplace(block.start, block);
  return block;
}

Block MemoryMap::allocate_host(std::size_t size, unsigned flags, Context& context) {
  require(size > 0, CUDA_ERROR_INVALID_VALUE, "no bytes asked for");
  void* start = mmap(nullptr, whole_pages(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  require(start != MAP_FAILED, CUDA_ERROR_OUT_OF_MEMORY, "the host's memory");
  const std::scoped_lock lock(mutex_);
  const Block block{.start = address_of(start),
                    .size = size,
                    .kind = Block::Kind::pinned,
                    .context = &context,
                    .device = device_of(context),
                    .flags = flags,
                    .id = ++last_id_};
  blocks_.emplace(block.start, block);
  return block;
}

void MemoryMap::register_host(void* start, std::size_t size, unsigned flags, Context& context) {
  const CUdeviceptr address = address_of(start);
  require(start != nullptr && size > 0 && size <= ~address, CUDA_ERROR_INVALID_VALUE);
  const std::scoped_lock lock(mutex_);
  require(address + size <= arena_ || address >= arena_ + arena_size, CUDA_ERROR_INVALID_VALUE, "device memory");
  const auto next = blocks_.lower_bound(address);
  require(at(address) == blocks_.end() && (next == blocks_.end() || next->first >= address + size),
          CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  blocks_.emplace(address, Block{.start = address,
                                 .size = size,
                                 .kind = Block::Kind::registered,
                                 .context = &context,
                                 .device = device_of(context),
                                 .flags = flags,
                                 .id = ++last_id_});
}

void MemoryMap::release(const Block& block) {
  void* start = pointer_to(block.start);
  switch (block.kind) {
    case Block::Kind::registered:
      return;
    case Block::Kind::pinned:
      munmap(start, whole_pages(block.size));
      return;
    case Block::Kind::mapped:
      nothing_at(start, block.size, MAP_FIXED);
      return;
    case Block::Kind::opened:
      nothing_at(start, whole_pages(block.size), MAP_FIXED);
      return;
    case Block::Kind::device:
    case Block::Kind::pooled:
      remove_shared_file(block.file);
      [[fallthrough]];
    case Block::Kind::managed:
    case Block::Kind::module:
      nothing_at(start, whole_pages(block.size), MAP_FIXED);
      account_locked(block.device, -static_cast<std::ptrdiff_t>(whole_pages(block.size)));
      return;
  }
}

void MemoryMap::free(CUdeviceptr start, std::initializer_list<Block::Kind> kinds, CUresult otherwise) {
  const std::scoped_lock lock(mutex_);
  const auto found = blocks_.find(start);
  require(found != blocks_.end() && std::ranges::find(kinds, found->second.kind) != kinds.end(), otherwise,
          "no such memory starts there");
  release(found->second);
  blocks_.erase(found);
}

void MemoryMap::free_later(CUdeviceptr start) {
  const std::scoped_lock lock(mutex_);
  const auto found = blocks_.find(start);
  require(found != blocks_.end() && found->second.on_device() && found->second.kind != Block::Kind::mapped &&
              !found->second.freed,
          CUDA_ERROR_INVALID_VALUE, "no such memory starts there");
  found->second.freed = true;
}

void MemoryMap::drop_context(const Context& context) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(blocks_, [this, &context](const auto& entry) {
    if (entry.second.context != &context) {
      return false;
    }
    release(entry.second);
    return true;
  });
}

CUdeviceptr MemoryMap::reserve(std::size_t size, std::size_t alignment, CUdeviceptr wanted) {
  // More than asked for, so that a piece with the alignment is inside.
  const std::size_t more = std::max(alignment, page);
  if (wanted != 0 && wanted % more == 0) {
    void* there = nothing_at(pointer_to(wanted), size, MAP_FIXED_NOREPLACE);
    if (there != MAP_FAILED) {
      const std::scoped_lock lock(mutex_);
      reserved_.emplace(wanted, size);
      return wanted;
    }
  }
  void* start = nothing_at(nullptr, size + more, 0);
  require(start != MAP_FAILED, CUDA_ERROR_OUT_OF_MEMORY, "address space");
  const CUdeviceptr first = address_of(start);
  const CUdeviceptr aligned = (first + more - 1) / more * more;
  if (aligned > first) {
    munmap(start, aligned - first);
  }
  munmap(pointer_to(aligned + size), first + more - aligned);
  const std::scoped_lock lock(mutex_);
  reserved_.emplace(aligned, size);
  return aligned;
}

void MemoryMap::unreserve(CUdeviceptr start, std::size_t size) {
  const std::scoped_lock lock(mutex_);
  const auto found = reserved_.find(start);
  require(found != reserved_.end() && found->second == size, CUDA_ERROR_INVALID_VALUE, "no such reservation");
  const auto inside = blocks_.lower_bound(start);
  require(inside == blocks_.end() || inside->first >= start + size, CUDA_ERROR_INVALID_VALUE, "still mapped");
  munmap(pointer_to(start), size);
  reserved_.erase(found);
}

void MemoryMap::map(CUdeviceptr start, std::size_t size, std::size_t offset, const std::shared_ptr<Physical>& memory) {
  const std::scoped_lock lock(mutex_);
  auto range = reserved_.upper_bound(start);
  require(range != reserved_.begin(), CUDA_ERROR_INVALID_VALUE, "not reserved");
  --range;
  require(size > 0 && start - range->first <= range->second && size <= range->second - (start - range->first),
          CUDA_ERROR_INVALID_VALUE, "not reserved");
  const auto next = blocks_.lower_bound(start);
  require(at(start) == blocks_.end() && (next == blocks_.end() || next->first >= start + size),
          CUDA_ERROR_INVALID_VALUE, "mapped already");
  require(mmap(pointer_to(start), size, PROT_NONE, MAP_SHARED | MAP_FIXED, memory->file, static_cast<off_t>(offset)) !=
              MAP_FAILED,
          CUDA_ERROR_OUT_OF_MEMORY, "the host's memory");
  blocks_.emplace(start, Block{.start = start,
                               .size = size,
                               .kind = Block::Kind::mapped,
                               .device = memory->properties.location.id,
                               .id = ++last_id_,
                               .physical = memory,
                               .writable = false});
}

void MemoryMap::unmap(CUdeviceptr start, std::size_t size) {
  std::vector<std::shared_ptr<Physical>> dropped;  // go without the lock, as they come back here to be counted
  const std::scoped_lock lock(mutex_);
  const CUdeviceptr end = start + size;
  std::size_t found = 0;
  for (auto block = blocks_.lower_bound(start); block != blocks_.end() && block->first < end; ++block) {
    require(block->second.kind == Block::Kind::mapped && block->first + block->second.size <= end,
            CUDA_ERROR_INVALID_VALUE, "cuts a mapping");
    found += block->second.size;
  }
  require(size > 0 && found == size, CUDA_ERROR_INVALID_VALUE, "not all of it is mapped");
  for (auto block = blocks_.lower_bound(start); block != blocks_.end() && block->first < end;) {
    release(block->second);
    dropped.push_back(std::move(block->second.physical));
    block = blocks_.erase(block);
  }
}

void MemoryMap::set_access(CUdeviceptr start, std::size_t size, bool writable) {
  const std::scoped_lock lock(mutex_);
  const CUdeviceptr end = start + size;
  std::size_t found = 0;
  for (auto block = blocks_.lower_bound(start); block != blocks_.end() && block->first < end; ++block) {
    require(block->second.kind == Block::Kind::mapped && block->first + block->second.size <= end,
            CUDA_ERROR_INVALID_VALUE, "cuts a mapping");
    found += block->second.size;
    block->second.writable = writable;
  }
  require(size > 0 && found == size, CUDA_ERROR_INVALID_VALUE, "not all of it is mapped");
  mprotect(pointer_to(start), size, writable ? PROT_READ | PROT_WRITE : PROT_NONE);
}

Block MemoryMap::share(CUdeviceptr start, Block::Kind kind, const std::function<int(std::size_t, std::string&)>& make) {
  const std::scoped_lock lock(mutex_);
  const auto found = blocks_.find(start);
  require(found != blocks_.end() && found->second.kind == kind && !found->second.freed, CUDA_ERROR_INVALID_VALUE,
          "not what can be shared so");
  Block& block = found->second;
  if (block.file.empty()) {
    const std::size_t size = whole_pages(block.size);
    const int file = make(size, block.file);
    void* const memory = pointer_to(start);
    const bool shared = ::pwrite(file, memory, size, 0) == static_cast<ssize_t>(size) &&
                        mmap(memory, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == memory;
    ::close(file);
    require(shared, CUDA_ERROR_MAP_FAILED, "a file to share");
  }
  return block;
}

CUdeviceptr MemoryMap::open(const std::string& file, std::size_t size, Context& context) {
  const CUdevice device = device_of(context);
  const std::scoped_lock lock(mutex_);
  for (auto& [start, block] : blocks_) {
    if (block.kind == Block::Kind::opened && block.file == file) {
      require(block.context == &context, CUDA_ERROR_INVALID_CONTEXT, "open in another context");
      ++block.times;
      return start;
    }
  }
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
  require(descriptor >= 0, CUDA_ERROR_INVALID_VALUE, "nothing is shared by that name");
  const CUdeviceptr start = place(size);
  const bool mapped = mmap(pointer_to(start), whole_pages(size), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                           descriptor, 0) != MAP_FAILED;
  ::close(descriptor);
  require(mapped, CUDA_ERROR_MAP_FAILED);
  blocks_.emplace(start, Block{.start = start,
                               .size = size,
                               .kind = Block::Kind::opened,
                               .context = &context,
                               .device = device,
                               .id = ++last_id_,
                               .file = file,
                               .times = 1});
  return start;
}

void MemoryMap::close(CUdeviceptr start) {
  const std::scoped_lock lock(mutex_);
  const auto found = blocks_.find(start);
  require(found != blocks_.end() && found->second.kind == Block::Kind::opened, CUDA_ERROR_INVALID_VALUE, "not open");
  if (--found->second.times == 0) {
    release(found->second);
    blocks_.erase(found);
  }
}

std::optional<Block> MemoryMap::find(CUdeviceptr address) const {
  const std::scoped_lock lock(mutex_);
  const auto found = at(address);
  return found == blocks_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<Block> MemoryMap::find(const void* address) const { return find(address_of(address)); }

bool MemoryMap::device_may_use(CUdeviceptr start, std::size_t size, bool running) const {
  const std::scoped_lock lock(mutex_);
  for (auto block = at(start); block != blocks_.end() && block->first <= start; ++block) {
    const std::size_t left = block->second.size - (start - block->first);
    if ((block->second.freed && !running) || !block->second.writable) {
      return false;
    }
    if (size <= left) {
      return true;
    }
    if (block->second.kind != Block::Kind::mapped) {
      return false;
    }
    start += left;
    size -= left;
  }
  return false;
}

bool MemoryMap::in_device_range(CUdeviceptr address) const {
  const std::scoped_lock lock(mutex_);
  if (address - arena_ < arena_size) {
    return true;
  }
  auto range = reserved_.upper_bound(address);
  if (range == reserved_.begin()) {
    return false;
  }
  --range;
  return address - range->first < range->second;
}

std::size_t MemoryMap::used(CUdevice device) const {
  const std::scoped_lock lock(mutex_);
  return used_.at(static_cast<std::size_t>(device));
}

}  // namespace isthmus::standin
