// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace isthmus::standin {

class Context;
struct Physical;

/// One piece of memory that the device knows.
struct Block {
  enum class Kind {
    device,      ///< cuMemAlloc
    pooled,      ///< cuMemAllocAsync
    managed,     ///< cuMemAllocManaged
    pinned,      ///< cuMemHostAlloc
    registered,  ///< cuMemHostRegister
    mapped,      ///< cuMemMap
    opened,      ///< cuIpcOpenMemHandle
    module       ///< a module's variables
  };
  CUdeviceptr start = 0;
  std::size_t size = 0;
  Kind kind = Kind::device;
  Context* context = nullptr;  ///< null for `mapped`
  CUdevice device = 0;
  unsigned flags = 0;
  unsigned long long id = 0;
  bool freed = false;  ///< by cuMemFreeAsync, which has not come to it yet
  // GCC warns of initializers that leave it out.
  std::shared_ptr<Physical> physical{};  ///< of `mapped`  NOLINT(readability-redundant-member-init)
  bool writable = true;                  ///< `mapped`: cuMemSetAccess allowed it
  std::string file{};                    ///< of memory that processes share  NOLINT(readability-redundant-member-init)
  unsigned times = 0;                    ///< that it was opened

  [[nodiscard]] bool on_device() const noexcept { return kind != Kind::pinned && kind != Kind::registered; }
};

/// Which addresses the device knows, and where its own memory is: host memory in an arena that no host allocation
/// touches. Addresses are not given out again before the whole arena was used up, so that the use of freed memory is
/// found; between two blocks lies a page of nothing. Any thread.
class MemoryMap {
 public:
  MemoryMap();

  /// Device memory; its first bytes hold a pattern, as nobody may count on zeros. Fails with
  /// CUDA_ERROR_OUT_OF_MEMORY.
  Block allocate(Block::Kind kind, std::size_t size, Context& context);
  /// Page-locked host memory, outside the arena.
  Block allocate_host(std::size_t size, unsigned flags, Context& context);
  /// Fails with CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, CUDA_ERROR_INVALID_VALUE.
  void register_host(void* start, std::size_t size, unsigned flags, Context& context);

  /// The block that starts there, which must be one of these kinds, is gone; its memory is given back. Fails with
  /// `otherwise`.
  void free(CUdeviceptr start, std::initializer_list<Block::Kind> kinds, CUresult otherwise);
  /// Marks a pooled block: later calls must not use it.
  void free_later(CUdeviceptr start);
  void drop_context(const Context& context);

  // Virtual memory: an address range, and memory of `device` mapped into it.
  CUdeviceptr reserve(std::size_t size, std::size_t alignment, CUdeviceptr wanted);
  void unreserve(CUdeviceptr start, std::size_t size);
  void map(CUdeviceptr start, std::size_t size, std::size_t offset, const std::shared_ptr<Physical>& memory);
  void unmap(CUdeviceptr start, std::size_t size);
  void set_access(CUdeviceptr start, std::size_t size, bool writable);

  // Memory that processes share lies in files of a common folder.
  /// The block of that kind that starts there, with its file: made by `make(bytes, name)` if it has
  /// none.
  Block share(CUdeviceptr start, Block::Kind kind, const std::function<int(std::size_t, std::string&)>& make);
  /// Maps such a file, once; answers where.
  CUdeviceptr open(const std::string& file, std::size_t size, Context& context);
  void close(CUdeviceptr start);

  /// The block with this address inside.
  [[nodiscard]] std::optional<Block> find(CUdeviceptr address) const;
  [[nodiscard]] std::optional<Block> find(const void* address) const;
  /// Whether the device may use all of [start, start + size): one block, or mapped ones in a row. Memory that
  /// cuMemFreeAsync is to free may be used only by what was begun before, so `running` must be true for it.
  [[nodiscard]] bool device_may_use(CUdeviceptr start, std::size_t size, bool running = false) const;
  /// Whether the address lies where only the device has memory, in use or not.
  [[nodiscard]] bool in_device_range(CUdeviceptr address) const;

  /// Device memory in use, bytes.
  [[nodiscard]] std::size_t used(CUdevice device) const;
  /// Counts memory that cuMemCreate made, or gives it back; fails with CUDA_ERROR_OUT_OF_MEMORY.
  void account(CUdevice device, std::ptrdiff_t bytes);

 private:
  using Blocks = std::map<CUdeviceptr, Block>;
  [[nodiscard]] Blocks::const_iterator at(CUdeviceptr address) const;
  CUdeviceptr place(std::size_t size);
  void account_locked(CUdevice device, std::ptrdiff_t bytes);
  void release(const Block& block);

  mutable std::mutex mutex_;
  CUdeviceptr arena_ = 0;
  CUdeviceptr next_ = 0;
  unsigned long long last_id_ = 0;
  Blocks blocks_;
  std::map<CUdeviceptr, std::size_t> reserved_;
  std::vector<std::size_t> used_;
};

}  // namespace isthmus::standin
