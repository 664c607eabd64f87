// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>
#include <link.h>
#include <sys/random.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

// For shared libraries that carry their C++ runtime with them and shall run on glibc 2.34: what that runtime, as Debian
// 12 builds it, wants of later ones. Not exported.

namespace {

struct Search {
  std::uintptr_t address;
  dl_find_object* found;
};

int look_at(dl_phdr_info* info, std::size_t, void* context) {
  auto& search = *static_cast<Search*>(context);
  bool is_here = false;
  std::uintptr_t first = UINTPTR_MAX;
  std::uintptr_t last = 0;
  std::uintptr_t tables = 0;
  for (const ElfW(Phdr)* part = info->dlpi_phdr; part != info->dlpi_phdr + info->dlpi_phnum; ++part) {
    const std::uintptr_t start = info->dlpi_addr + part->p_vaddr;
    if (part->p_type == PT_LOAD) {
      is_here = is_here || (search.address >= start && search.address - start < part->p_memsz);
      first = start < first ? start : first;
      last = start + part->p_memsz > last ? start + part->p_memsz : last;
    } else if (part->p_type == PT_GNU_EH_FRAME) {
      tables = start;
    }
  }
  if (!is_here || tables == 0) {
    return 0;
  }
  // NOLINTBEGIN(performance-no-int-to-ptr): addresses come as numbers from the program headers
  search.found->dlfo_flags = 0;
  search.found->dlfo_map_start = reinterpret_cast<void*>(first);
  search.found->dlfo_map_end = reinterpret_cast<void*>(last);
  search.found->dlfo_link_map = nullptr;  // the unwinder does not read it
  search.found->dlfo_eh_frame = reinterpret_cast<void*>(tables);
  // NOLINTEND(performance-no-int-to-ptr)
  return 1;
}

}  // namespace

extern "C" {

// glibc 2.35. From GCC 12 on the unwinder finds its tables by this alone: without it no exception can be caught.
__attribute__((visibility("hidden"))) int _dl_find_object(void* address, dl_find_object* found) noexcept {
  Search search{.address = reinterpret_cast<std::uintptr_t>(address), .found = found};
  return dl_iterate_phdr(look_at, &search) == 1 ? 0 : -1;
}

// glibc 2.36. For std::random_device, which comes along with streams.
__attribute__((visibility("hidden"))) std::uint32_t arc4random() noexcept {
  std::uint32_t number = 0;
  while (getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) {
  }
  return number;
}

}  // extern "C"
