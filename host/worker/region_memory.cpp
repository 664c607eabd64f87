// SPDX-License-Identifier: Apache-2.0
#include "host/worker/region_memory.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "src/transport/text.hpp"

namespace isthmus::host {

Result<void> claim_region_memory(int region_fd) {
  struct stat status{};
  if (::fstat(region_fd, &status) != 0) {
    return fail(Errc::system, text("region: ", errno_text(errno)));
  }
  int result = 0;
  do {
    result = ::fallocate(region_fd, 0, 0, status.st_size);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    return fail(Errc::exhausted, text("region: ", Bytes{static_cast<std::uint64_t>(status.st_size)},
                                      " of memory asked; lower region_size or free memory: ", errno_text(errno)));
  }
  return {};
}

}  // namespace isthmus::host
