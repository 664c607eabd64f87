// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/child_process.hpp"
#include "host/file_fence.hpp"
#include "isthmus/error.hpp"

namespace isthmus::host {

/// How one worker is kept apart from the machine.
struct Confined {
  std::optional<ChildProcess::Identity> identity;  ///< unset: the daemon's own
  bool no_network = false;
  std::shared_ptr<const UniqueFd> fence;  ///< of its files, as ChildProcess takes it; null: none
  std::vector<std::string> environment;   ///< all of it, "KEY=VALUE"
  std::string note;                       ///< for the log, where something is missing; empty: nothing
};

/// Who workers are, what they see of the network, and where their drivers keep what they have compiled. One thread.
///
/// As root: each owner's workers (a VM; a user of a shm: endpoint) have a user id of their own, in a range that no
/// distribution uses, computed from the owner's name, so that it stays the same; or all have the configured user's.
/// They get an empty network namespace where the kernel lets us make one. As any other user there is only that user.
/// Whoever they are, a FileFence keeps them to their files where the kernel has that.
class Confinement {
 public:
  /// The range: systemd's "Users, Groups, UIDs and GIDs" lists 0x7000'0000 to 0x7fff'ffff as unused.
  static constexpr uid_t first_uid = 0x7000'0000;
  static constexpr uid_t uid_count = 0x0100'0000;

  /// `user` is for a daemon that is root; `cache_dir` defaults to /var/cache/isthmus as root, $XDG_CACHE_HOME/isthmus
  /// or $HOME/.cache/isthmus otherwise. Fails with Errc::permission_denied (a user that the daemon cannot become).
  [[nodiscard]] static Result<Confinement> create(std::optional<ChildProcess::Identity> user,
                                                  std::optional<std::filesystem::path> cache_dir);

  /// Workers never read what lies there, beside the caches of others. Before the first of().
  void keep_from(std::filesystem::path path) { off_limits_.push_back(std::move(path)); }
  /// Whether workers of different owners are the same user: then only the fence is between them.
  [[nodiscard]] bool shares_users() const noexcept { return !root_ || user_.has_value(); }

  /// For an owner's next worker. With `cache`, the owner's cache directory is made if it is not there (mode 0700, the
  /// worker's), and drivers are told of it by POCL_CACHE_DIR, CUDA_CACHE_PATH and XDG_CACHE_HOME, unless `more` sets
  /// these. `owner` is a file name. Fails with Errc::permission_denied (the directory is somebody else's),
  /// Errc::not_found.
  [[nodiscard]] Result<Confined> of(const std::string& owner, bool cache, const std::vector<std::string>& more);

  /// One line for the log.
  [[nodiscard]] std::string summary() const;

 private:
  struct Fence {
    std::shared_ptr<const UniqueFd> descriptor;
    std::string left_out;
    ino_t own_inode = 0;
    std::chrono::steady_clock::time_point made;
  };

  Confinement() = default;

  [[nodiscard]] Result<Fence*> fence_of(const std::string& owner, const Confined& confined,
                                        const std::optional<std::filesystem::path>& own);

  [[nodiscard]] uid_t uid_of(const std::string& owner);
  [[nodiscard]] Result<std::filesystem::path> prepare_cache(const std::string& owner, uid_t uid, gid_t gid) const;

  bool root_ = false;
  int network_error_ = 0;  // why there is no namespace to be had; 0: there is
  std::optional<ChildProcess::Identity> user_;
  std::optional<std::filesystem::path> cache_dir_;
  std::vector<std::filesystem::path> off_limits_;
  std::map<std::string, uid_t> uids_;  // as many as owners were seen
  std::set<uid_t> taken_;              // the uids in it
  std::map<std::string, Fence> fences_;
};

}  // namespace isthmus::host
