// SPDX-License-Identifier: Apache-2.0
#include "host/shm_region.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "host/memory_available.hpp"
#include "host/system_error.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {

Result<UniqueFd> make_shm_region(std::string_view name, std::uint64_t size) {
  const std::string label = text("region shm:", name);
  if (auto memory = check_memory_available(label, size); !memory) {
    return std::unexpected(std::move(memory).error());
  }

  constexpr unsigned no_exec_seal = 8;  // MFD_NOEXEC_SEAL, Linux 6.3
  const std::string title = text("isthmus:", name);
  UniqueFd fd(::memfd_create(title.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING | no_exec_seal));
  if (!fd && errno == EINVAL) {
    fd.reset(::memfd_create(title.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  }
  if (!fd) {
    return fail_errno(errno, text(label, ": memfd_create"));
  }
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    return fail_errno(errno, text(label, ": cannot be made ", Bytes{size}, " long"));
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return fail_errno(errno, text(label, ": cannot be sealed"));
  }
  return fd;
}

}  // namespace isthmus::host
