// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "host/shm_config.hpp"
#include "host/shm_peer.hpp"
#include "isthmus/error.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {

/// The listening socket of an endpoint shm:NAME: RUNTIME_DIR/NAME.sock, whose mode says who may connect. One thread.
///
/// RUNTIME_DIR/NAME.lock beside it is locked while the object lives, so a second daemon is told, and the leftovers of
/// one that was killed are taken over. The destructor removes both files.
class ShmListener {
 public:
  /// Makes the runtime directory too, if it is missing; see prepare_runtime_dir(). Fails with Errc::busy if another
  /// daemon serves the name, Errc::permission_denied, or Errc::invalid_argument if something else is in the place.
  [[nodiscard]] static Result<ShmListener> create(const std::filesystem::path& runtime_dir, const ShmConfig& config);

  ShmListener(ShmListener&& other) noexcept = default;
  ShmListener& operator=(ShmListener&& other) = delete;
  ShmListener(const ShmListener&) = delete;
  ShmListener& operator=(const ShmListener&) = delete;
  ~ShmListener();

  /// For EventLoop::add with EPOLLIN.
  [[nodiscard]] int fd() const noexcept { return socket_.get(); }

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return socket_path_; }

  /// The next process that has connected, or nothing. Never blocks.
  ///
  /// Each failure but Errc::system concerns one connection, which is closed, and the next may be good:
  /// Errc::peer_died if the process has ended already, Errc::exhausted if we are out of descriptors.
  [[nodiscard]] Result<std::optional<ShmPeer>> accept();

 private:
  explicit ShmListener(const std::filesystem::path& base);

  [[nodiscard]] Result<void> lock();
  [[nodiscard]] Result<void> listen(const FileAccess& access);

  std::string label_;
  std::filesystem::path socket_path_;
  std::filesystem::path lock_path_;
  UniqueFd lock_;
  UniqueFd socket_;
  UniqueFd spare_;  ///< given up for a moment to accept and close a connection when descriptors run out
  dev_t device_ = 0;
  ino_t inode_ = 0;  ///< of the socket's name: what the destructor may remove; 0: none
};

}  // namespace isthmus::host
