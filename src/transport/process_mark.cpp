// SPDX-License-Identifier: Apache-2.0
#include "src/transport/process_mark.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>

namespace isthmus {
namespace {

// No locks, and no static object that is made at first use: a thread that was about it at a fork would leave them
// locked in the child.
constinit std::atomic<std::uint64_t*> mark_page{nullptr};
// Copied by fork, unlike the page: a child's marks differ from all of its parent's.
constinit std::atomic<std::uint64_t> last_mark{0};
constinit std::uint64_t fallback_mark = 0;  // without the page a child is not told from its parent

std::uint64_t* get_page() noexcept {
  std::uint64_t* known = mark_page.load(std::memory_order_acquire);
  if (known != nullptr) {
    return known;
  }
  const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* const mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  auto* made = &fallback_mark;
  if (mapped != MAP_FAILED) {
    madvise(mapped, size, MADV_WIPEONFORK);
    made = static_cast<std::uint64_t*>(mapped);
  }
  if (mark_page.compare_exchange_strong(known, made, std::memory_order_acq_rel)) {
    return made;
  }
  if (mapped != MAP_FAILED) {
    munmap(mapped, size);
  }
  return known;
}

}  // namespace

ProcessMark ProcessMark::current() noexcept {
  std::uint64_t* const page = get_page();
  const std::atomic_ref<std::uint64_t> mark(*page);
  std::uint64_t value = mark.load(std::memory_order_relaxed);
  if (value == 0) {  // the first time in this process
    const std::uint64_t next = last_mark.fetch_add(1, std::memory_order_relaxed) + 1;
    value = mark.compare_exchange_strong(value, next, std::memory_order_relaxed) ? next : value;
  }
  return {page, value};
}

}  // namespace isthmus
