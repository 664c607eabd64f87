// SPDX-License-Identifier: Apache-2.0
#include "host/runtime_dir.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "host/octal.hpp"
#include "host/system_error.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {

Result<std::filesystem::path> default_runtime_dir() {
  if (::geteuid() == 0) {
    return std::filesystem::path("/run/isthmus");
  }
  const char* base = std::getenv("XDG_RUNTIME_DIR");
  if (base == nullptr || *base != '/') {
    return fail(Errc::not_found,
                "runtime_dir: XDG_RUNTIME_DIR is not set; set it, or runtime_dir in the configuration");
  }
  return std::filesystem::path(base) / "isthmus";
}

Result<void> prepare_runtime_dir(const std::filesystem::path& directory) {
  if (::mkdir(directory.c_str(), 0755) == 0) {
    // Not what the umask has left of it.
    if (::chmod(directory.c_str(), 0755) != 0) {
      return fail_errno(errno, text("runtime_dir ", directory.native(), ": cannot set its mode"));
    }
    return {};
  }
  if (errno != EEXIST) {
    return fail_errno(errno, text("runtime_dir ", directory.native(), ": cannot be made"));
  }
  struct stat status{};
  if (::stat(directory.c_str(), &status) != 0) {
    return fail_errno(errno, text("runtime_dir ", directory.native()));
  }
  if (!S_ISDIR(status.st_mode)) {
    return fail(Errc::invalid_argument,
                text("runtime_dir ", directory.native(), ": is no directory; name another or remove it"));
  }
  if (status.st_uid != ::geteuid() && status.st_uid != 0) {
    return fail(Errc::permission_denied, text("runtime_dir ", directory.native(), ": belongs to user ", status.st_uid,
                                              "; choose a directory of user ", ::geteuid(), " or of root"));
  }
  if ((status.st_mode & 0022U) != 0) {
    return fail(Errc::permission_denied,
                text("runtime_dir ", directory.native(), ": mode ", octal(status.st_mode & 07777U),
                     " lets other users write; choose another directory, or chmod go-w"));
  }
  return {};
}

}  // namespace isthmus::host
