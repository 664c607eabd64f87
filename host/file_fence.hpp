// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "isthmus/error.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// What a process can reach of the machine, whoever it runs as: a Landlock domain (landlock(7)), which the kernel keeps
/// it and its children in for good. On top of what users may do:
///
/// - files are written and made in its own directory, /tmp, /var/tmp and /dev, and nowhere else;
/// - what is off limits is not read either. Nor is what lies in the same directory as something closed, or beside a
///   directory that leads there, and is made later or belongs to somebody else;
/// - no process outside is traced, none is signalled (Linux 6.12), no abstract socket outside is reached (6.12), no TCP
///   is spoken (6.7).
struct FileFence {
  /// A fence that was made, and in one line what a crowded directory kept out of it; empty: nothing.
  struct Made {
    UniqueFd descriptor;
    std::string left_out;
  };

  std::vector<std::filesystem::path> off_limits;  ///< absolute; with all that lies below
  std::optional<std::filesystem::path> own;       ///< a directory that is the process's, also below what is off limits
  std::vector<uid_t> users;                       ///< beside root: whose entries in such a directory are not left out

  /// The Landlock version of this kernel, 1 and up; 0 where it has none, or has it switched off.
  [[nodiscard]] static int kernel_version() noexcept;

  /// What versions below 6 do not keep a process from, for the log; empty where nothing is missing.
  [[nodiscard]] static std::string missing_in(int version);

  /// A descriptor for ChildProcess::Command::fence. Looks at directories as they are now.
  /// Errors: unsupported (no Landlock), and those of the system.
  [[nodiscard]] Result<Made> make() const;
};

}  // namespace isthmus::host
