// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace isthmus::host::log {

void open() {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("isthmusd"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
}

void write(Level level, std::string_view line) {
  switch (level) {
    case Level::info:
      spdlog::info(line);
      break;
    case Level::warning:
      spdlog::warn(line);
      break;
    case Level::error:
      spdlog::error(line);
      break;
  }
}

}  // namespace isthmus::host::log
