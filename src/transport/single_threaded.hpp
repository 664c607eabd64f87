// SPDX-License-Identifier: Apache-2.0
#pragma once

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define ISTHMUS_KNOWS_SINGLE_THREADED 1
#endif

namespace isthmus {

/// True only if the process has no other thread than the caller: then what others could do in between need not be
/// feared, and a read-modify-write is a read and a write (as glibc's malloc and libstdc++'s shared_ptr do it).
[[nodiscard]] inline bool single_threaded() noexcept {
#if defined(ISTHMUS_KNOWS_SINGLE_THREADED)
  return __libc_single_threaded != 0;
#else
  return false;
#endif
}

}  // namespace isthmus
