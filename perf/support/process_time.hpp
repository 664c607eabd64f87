// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <vector>

namespace isthmus::perf {

/// Processor time, user and system, that the threads of a process have had since they began; by /proc. Ended threads
/// do not count. Throws std::runtime_error when there is no such process.
[[nodiscard]] std::chrono::nanoseconds processor_time(pid_t process);

/// The processes that a process has started and not yet reaped.
[[nodiscard]] std::vector<pid_t> children_of(pid_t process);

}  // namespace isthmus::perf
