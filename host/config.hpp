// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/child_process.hpp"
#include "host/loop_engine.hpp"
#include "host/shm_config.hpp"
#include "host/vm_config.hpp"
#include "isthmus/error.hpp"

namespace isthmus::host {

/// The daemon's configuration, checked: every value is in its range, names and paths are unique.
struct Config {
  std::filesystem::path runtime_dir;                  ///< absolute; the sockets of shm endpoints live here
  std::optional<std::filesystem::path> worker;        ///< absolute; unset: see find_worker()
  std::optional<std::filesystem::path> plugin_dir;    ///< absolute; unset: see find_plugins()
  std::optional<std::filesystem::path> cache_dir;     ///< absolute; unset: see Confinement
  std::optional<ChildProcess::Identity> worker_user;  ///< unset: see Confinement
  LoopEngine event_loop = LoopEngine::automatic;
  std::vector<VmConfig> vms;
  std::vector<ShmConfig> shms;  ///< with `vms`, at least one entry
};

/// Reads and checks a configuration file. Fails with Errc::not_found, Errc::permission_denied, or as parse_config().
[[nodiscard]] Result<Config> load_config(const std::filesystem::path& file);

/// Checks a configuration; `source` names it in errors, which read "SOURCE:LINE: what is wrong".
/// Fails with Errc::invalid_argument. Users and groups are looked up here, so an unknown one is an error of its line.
[[nodiscard]] Result<Config> parse_config(std::string_view toml, std::string_view source);

}  // namespace isthmus::host
