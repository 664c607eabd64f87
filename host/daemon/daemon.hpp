// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "host/config.hpp"
#include "host/daemon/address_space.hpp"
#include "host/daemon/shm_host.hpp"
#include "host/daemon/vm_host.hpp"
#include "host/daemon/worker_setup.hpp"
#include "host/event_loop.hpp"
#include "host/signal_source.hpp"
#include "isthmus/error.hpp"

namespace isthmus::host {

/// isthmusd: serves every VM and shm: endpoint of its configuration until SIGTERM or SIGINT. One thread.
class Daemon {
 public:
  /// Makes regions and sockets. If one of them fails, none is left.
  [[nodiscard]] static Result<std::unique_ptr<Daemon>> start(const Config& config);

  /// Serves until told to stop, and ends cleanly. Errors: the loop's.
  [[nodiscard]] Result<void> run();

 private:
  Daemon(std::unique_ptr<EventLoop> loop, SignalSource signals, WorkerSetup setup) noexcept;

  void shut_down();
  void part_done();

  std::unique_ptr<EventLoop> loop_;
  SignalSource signals_;
  AddressSpace addresses_;
  WorkerSetup setup_;
  std::vector<std::unique_ptr<VmHost>> vms_;
  std::vector<std::unique_ptr<ShmHost>> shms_;
  std::size_t parts_left_ = 0;
  bool shutting_down_ = false;
};

}  // namespace isthmus::host
