// SPDX-License-Identifier: Apache-2.0
#include "host/region_watch.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "host/system_error.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {

Result<RegionWatch> RegionWatch::create(const RegionFile& region) {
  UniqueFd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd) {
    return fail_errno(errno, text("region ", region.path().native(), ": inotify_init1"));
  }
  // By descriptor: the file that we hold, whatever its path names by now.
  const std::string file = text("/proc/self/fd/", region.fd());
  if (::inotify_add_watch(fd.get(), file.c_str(), IN_OPEN | IN_CLOSE | IN_ATTRIB | IN_MOVE_SELF) < 0) {
    const int error = errno;
    return fail_errno(error, text("region ", region.path().native(), ": cannot be watched",
                                  error == ENOSPC ? " (raise fs.inotify.max_user_watches)" : ""));
  }
  return RegionWatch(std::move(fd));
}

Result<RegionWatch::Changes> RegionWatch::take() {
  Changes changes;
  std::array<char, 4096> buffer;  // NOLINT(*-member-init): read() fills what is looked at
  while (true) {
    const ssize_t size = ::read(fd_.get(), buffer.data(), buffer.size());
    if (size < 0) {
      if (errno == EAGAIN) {
        return changes;
      }
      if (errno == EINTR) {
        continue;
      }
      return fail_errno(errno, "region watch: read");
    }
    for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(size);) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      at += sizeof event + event.len;
      changes.opened |= (event.mask & IN_OPEN) != 0;
      changes.closed |= (event.mask & IN_CLOSE) != 0;
      changes.renamed_or_removed |= (event.mask & (IN_ATTRIB | IN_MOVE_SELF | IN_IGNORED)) != 0;
      changes.overflowed |= (event.mask & IN_Q_OVERFLOW) != 0;
    }
  }
}

}  // namespace isthmus::host
