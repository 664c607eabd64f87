// SPDX-License-Identifier: Apache-2.0
#include "host/worker_path.hpp"

#include <unistd.h>

#include <cerrno>

#include "host/own_program.hpp"
#include "host/system_error.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {

Result<std::filesystem::path> find_worker(const std::optional<std::filesystem::path>& configured) {
  if (configured) {
    if (::access(configured->c_str(), X_OK) != 0) {
      return fail_errno(errno, text("worker ", configured->native()));
    }
    return *configured;
  }
  const auto self = own_program("worker", "worker");
  if (!self) {
    return self;
  }
  const auto beside = self->parent_path() / "isthmus-worker";
  const auto installed = self->parent_path().parent_path() / "libexec" / "isthmus" / "isthmus-worker";
  for (const auto& candidate : {beside, installed}) {
    if (::access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
  }
  return fail(Errc::not_found, text("worker: neither ", beside.native(), " nor ", installed.native(),
                                    " can be executed; set worker in the configuration"));
}

}  // namespace isthmus::host
