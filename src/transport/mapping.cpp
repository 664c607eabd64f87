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
