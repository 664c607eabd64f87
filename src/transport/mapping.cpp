// SPDX-License-Identifier: Apache-2.0
#include "src/transport/mapping.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "src/transport/text.hpp"

namespace isthmus {

Result<Mapping> Mapping::map(int fd, std::uint64_t size, std::uint64_t preferred_address, std::string_view what) {
  void* address = MAP_FAILED;
  if (preferred_address != 0) {
    // A kernel older than 4.17 takes MAP_FIXED_NOREPLACE for a hint; then the address differs, which is as good.
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the address is agreed on between processes as a number
    void* const wanted = reinterpret_cast<void*>(preferred_address);
    address = mmap(wanted, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
  }
  if (address == MAP_FAILED) {
    address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  if (address == MAP_FAILED) {
    const int error = errno;
    return fail(error == EACCES || error == EPERM ? Errc::permission_denied : Errc::system,
                text(what, ": cannot map ", Bytes{size}, ": ", errno_text(error)));
  }
  return Mapping(static_cast<std::byte*>(address), size);
}

Result<void> Mapping::use_huge_pages(std::string_view what) {
  constexpr int collapse = 25;  // MADV_COLLAPSE, Linux 6.1: at once, and whatever /sys/kernel/mm says
  constexpr int tries = 10;     // EAGAIN: some page was busy
  int result = -1;
  for (int i = 0; i < tries && result != 0; ++i) {
    result = madvise(data_, size_, collapse);
    if (result != 0 && errno != EAGAIN) {
      break;
    }
  }
  if (result == 0) {
    return {};
  }
  const int error = errno;
  constexpr std::string_view without = "; ordinary pages are used";
  switch (error) {
    case ENOMEM:
    case EAGAIN:
    case EBUSY:
      return fail(Errc::exhausted,
                  text(what, ": no huge pages for ", Bytes{size_}, ": the free memory is not in pieces ", "of 2 MiB (",
                       errno_text(error), "); try `echo 1 > /proc/sys/vm/compact_memory`", without));
    default:
      return fail(Errc::unsupported, text(what, ": no huge pages (", errno_text(error),
                                          "): they need Linux 6.1, and a file in memory such as /dev/shm", without));
  }
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) {
    munmap(data_, size_);
  }
}

}  // namespace isthmus
