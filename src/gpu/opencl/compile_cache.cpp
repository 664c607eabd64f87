// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/opencl/compile_cache.hpp"

#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX, not C++
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp and setenv are POSIX, not C++
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>
#include <system_error>

namespace isthmus::opencl {
namespace {

constexpr std::string_view cache_prefix = "isthmus-opencl-";

// Folders that killed workers have left: PID-XXXXXX, ours, with nobody alive of that number.
void remove_stale_caches(const std::filesystem::path& folder) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    pid_t pid = 0;
    struct stat status{};
    if (!name.starts_with(cache_prefix) ||
        std::from_chars(name.data() + cache_prefix.size(), name.data() + name.size(), pid).ec != std::errc{} ||
        pid <= 0 || lstat(entry->path().c_str(), &status) != 0 || !S_ISDIR(status.st_mode) ||
        status.st_uid != geteuid() || kill(pid, 0) == 0 || errno != ESRCH) {
      continue;
    }
    std::error_code ignored;
    std::filesystem::remove_all(entry->path(), ignored);
  }
}

}  // namespace

CompileCache::CompileCache() {
  if (getenv("POCL_CACHE_DIR") != nullptr) {
    return;
  }
  remove_stale_caches("/tmp");
  std::string directory = "/tmp/" + std::string(cache_prefix) + std::to_string(getpid()) + "-XXXXXX";
  if (mkdtemp(directory.data()) != nullptr) {
    setenv("POCL_CACHE_DIR", directory.c_str(), 0);
    own_ = directory;
  }
}

CompileCache::~CompileCache() {
  std::error_code ignored;
  if (!own_.empty()) {
    std::filesystem::remove_all(own_, ignored);
  }
}

}  // namespace isthmus::opencl
