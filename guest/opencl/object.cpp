// SPDX-License-Identifier: Apache-2.0
#include "guest/opencl/object.hpp"

#include <sys/mman.h>

#include <deque>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

#include "guest/opencl/dispatch.hpp"
#include "src/transport/process_mark.hpp"

namespace isthmus::opencl {
namespace {

class CellLock {
 public:
  explicit CellLock(Cell& cell) noexcept : cell_(&cell) {
    while (cell.locked.exchange(true, std::memory_order_acquire)) {
      std::this_thread::yield();
    }
  }
  CellLock(const CellLock&) = delete;
  CellLock& operator=(const CellLock&) = delete;
  CellLock(CellLock&&) = delete;
  CellLock& operator=(CellLock&&) = delete;
  ~CellLock() { cell_->locked.store(false, std::memory_order_release); }

 private:
  Cell* cell_;
};

/// All cells, in one piece of address space: an address is a cell's or not without being read.
class CellPool {
 public:
  // Never destroyed: threads of the application may use handles until the process is gone.
  static CellPool& instance() {
    static auto* const pool = new CellPool;
    return *pool;
  }

  [[nodiscard]] bool is_this_process() const noexcept { return mark_.is_this_process(); }

  [[nodiscard]] Cell* at(const void* address) const noexcept {
    const auto place = reinterpret_cast<std::uintptr_t>(address);
    const auto begin = reinterpret_cast<std::uintptr_t>(begin_);
    if (place < begin || place - begin >= used_.load(std::memory_order_acquire) * stride ||
        (place - begin) % stride != 0) {
      return nullptr;
    }
    return reinterpret_cast<Cell*>(begin_ + (place - begin));
  }

  [[nodiscard]] Cell* take() {
    const std::scoped_lock lock(mutex_);
    if (resting_.size() > rest) {
      Cell* cell = resting_.front();
      resting_.pop_front();
      return cell;
    }
    const std::size_t next = used_.load(std::memory_order_relaxed);
    if (begin_ == nullptr || next == most) {
      return nullptr;
    }
    Cell* cell = new (begin_ + next * stride) Cell;
    cell->dispatch = dispatch_table();
    used_.store(next + 1, std::memory_order_release);
    return cell;
  }

  void give_back(Cell* cell) {
    const std::scoped_lock lock(mutex_);
    resting_.push_back(cell);
  }

 private:
  static constexpr std::size_t stride = 64;
  static_assert(sizeof(Cell) <= stride);
  static constexpr std::size_t most = std::size_t{16} << 20;
  static constexpr std::size_t rest = 65536;  // released cells that a new object never gets

  CellPool() {
    void* memory =
        mmap(nullptr, most * stride, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    begin_ = memory == MAP_FAILED ? nullptr : static_cast<std::byte*>(memory);
  }

  ProcessMark mark_ = ProcessMark::current();
  std::byte* begin_ = nullptr;
  std::atomic<std::size_t> used_{0};
  std::mutex mutex_;
  std::deque<Cell*> resting_;
};

// A child after fork owns nothing; locks may be held there by threads that it does not have.
Cell* cell_at(const void* handle) {
  CellPool& pool = CellPool::instance();
  return pool.is_this_process() ? pool.at(handle) : nullptr;
}

}  // namespace

Object::~Object() {
  if (cell_ != nullptr && CellPool::instance().is_this_process()) {
    {
      const CellLock lock(*cell_);
      cell_->kind = Kindred::none;
      cell_->object.reset();
    }
    CellPool::instance().give_back(cell_);
  }
}

std::shared_ptr<Object> Object::find(const void* handle, Kindred kind) {
  Cell* cell = cell_at(handle);
  if (cell == nullptr) {
    return nullptr;
  }
  const CellLock lock(*cell);
  return cell->kind == kind ? cell->object.lock() : nullptr;
}

bool Object::retain(const void* handle, Kindred kind) {
  const auto object = find(handle, kind);
  if (object == nullptr) {
    return false;
  }
  const CellLock lock(*object->cell_);
  ++object->cell_->references;
  object->cell_->owner = object;
  return true;
}

bool Object::release(const void* handle, Kindred kind) {
  std::shared_ptr<Object> last;  // goes after the lock
  const auto object = find(handle, kind);
  if (object == nullptr) {
    return false;
  }
  const CellLock lock(*object->cell_);
  if (object->cell_->references == 0) {
    return false;
  }
  if (--object->cell_->references == 0) {
    last = std::move(object->cell_->owner);
  }
  return true;
}

cl_uint Object::references() const noexcept {
  const CellLock lock(*cell_);
  return cell_->references;
}

bool Object::publish(const std::shared_ptr<Object>& object, Kindred kind) {
  Cell* cell = CellPool::instance().take();
  if (cell == nullptr) {
    return false;
  }
  object->cell_ = cell;
  const CellLock lock(*cell);
  cell->kind = kind;
  cell->references = 1;
  cell->owner = object;
  cell->object = object;
  return true;
}

}  // namespace isthmus::opencl
