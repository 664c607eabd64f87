// SPDX-License-Identifier: Apache-2.0
#include "src/transport/process_mark.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <mutex>

namespace isthmus {
namespace {

// Copied by fork, unlike the page: a child's marks differ from all of its parent's.
std::uint64_t last_value = 0;

std::uint64_t* make_page() noexcept {
  static std::uint64_t fallback = 0;  // without the page a child is not told from its parent
  void* const page = mmap(nullptr, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) {
    return &fallback;
  }
  madvise(page, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), MADV_WIPEONFORK);
  return static_cast<std::uint64_t*>(page);
}

}  // namespace

ProcessMark ProcessMark::current() noexcept {
  static std::uint64_t* const page = make_page();
  static std::mutex mutex;
  const std::scoped_lock lock(mutex);
  if (*page == 0) {
    *page = ++last_value;
  }
  return {page, *page};
}

}  // namespace isthmus
