// SPDX-License-Identifier: Apache-2.0
#include "host/system_error.hpp"

#include <cerrno>
#include <utility>

#include "src/transport/text.hpp"

namespace isthmus::host {

Errc errc_from_errno(int error_number) noexcept {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return Errc::not_found;
    case EACCES:
    case EPERM:
    case EROFS:
      return Errc::permission_denied;
    case EBUSY:
    case EADDRINUSE:
      return Errc::busy;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return Errc::exhausted;
    case ENOSYS:
    case EOPNOTSUPP:
      return Errc::unsupported;
    case EINVAL:
    case ENAMETOOLONG:
      return Errc::invalid_argument;
    case ESRCH:
      return Errc::peer_died;
    default:
      return Errc::system;
  }
}

std::unexpected<Error> fail_errno(int error_number, std::string what) {
  return fail(errc_from_errno(error_number), std::move(what.append(": ").append(errno_text(error_number))));
}

}  // namespace isthmus::host
