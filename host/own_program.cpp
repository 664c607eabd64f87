// SPDX-License-Identifier: Apache-2.0
#include "host/own_program.hpp"

#include <system_error>

#include "host/system_error.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {

Result<std::filesystem::path> own_program(std::string_view what, std::string_view setting) {
  std::error_code error;
  auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) {
    return fail_errno(error.value(),
                      text(what, ": cannot read /proc/self/exe; set ", setting, " in the configuration"));
  }
  return self;
}

}  // namespace isthmus::host
