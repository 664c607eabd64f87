// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/daemon.hpp"

#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction and kill are POSIX, not C++
#include <sys/epoll.h>

#include <string_view>
#include <tuple>
#include <utility>

#include "host/daemon/log.hpp"
#include "host/worker_path.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {
namespace {

// Programs see less than device_memory, also where nobody has set context_memory: so the log says why.
template <class Config>
void tell_device_memory(std::string_view kind, const Config& config) {
  if (config.device_memory != 0) {
    log::info("{} {}: device memory of {}; {}", kind, config.name, text(Bytes{config.device_memory}),
              config.context_memory == 0 ? "contexts are not counted"
                                         : text("each context counts as ", Bytes{config.context_memory}));
  }
}

}  // namespace

Daemon::Daemon(std::unique_ptr<EventLoop> loop, SignalSource signals, WorkerSetup setup) noexcept
    : loop_(std::move(loop)), signals_(std::move(signals)), setup_(std::move(setup)) {}

Result<std::unique_ptr<Daemon>> Daemon::start(const Config& config) {
  const auto worker = find_worker(config.worker);
  if (!worker) {
    return std::unexpected(worker.error());
  }
  auto confinement = Confinement::create(config.worker_user, config.cache_dir);
  if (!confinement) {
    return std::unexpected(std::move(confinement.error()));
  }
  confinement->keep_from(config.runtime_dir);
  for (const VmConfig& vm : config.vms) {
    // Users of their own cannot open other VMs' files; and drivers may want to make files beside these.
    if (confinement->shares_users()) {
      confinement->keep_from(vm.path);
    }
  }
  ignore_signals({SIGHUP, SIGPIPE});
  auto signals = SignalSource::create({SIGTERM, SIGINT});
  if (!signals) {
    return std::unexpected(std::move(signals.error()));
  }
  auto loop = EventLoop::create(config.event_loop);
  if (!loop) {
    return std::unexpected(std::move(loop.error()));
  }
  if (!(*loop)->fallback_reason().empty()) {
    log::info("event loop: {} ({})", (*loop)->engine_name(), (*loop)->fallback_reason());
  }
  std::unique_ptr<Daemon> daemon(
      new Daemon(std::move(*loop), std::move(*signals),
                 {.program = *worker, .plugin_dir = config.plugin_dir, .confinement = std::move(*confinement)}));
  for (const VmConfig& vm : config.vms) {
    tell_device_memory("vm", vm);
    auto host = VmHost::start(*daemon->loop_, vm, daemon->setup_, daemon->addresses_.take(vm.region_size));
    if (!host) {
      daemon->shut_down();
      std::ignore = daemon->loop_->run();
      return std::unexpected(std::move(host.error()));
    }
    daemon->vms_.push_back(std::move(*host));
  }
  for (const ShmConfig& shm : config.shms) {
    tell_device_memory("shm", shm);
    auto host = ShmHost::start(*daemon->loop_, shm, config.runtime_dir, daemon->setup_, daemon->addresses_);
    if (!host) {
      daemon->shut_down();
      std::ignore = daemon->loop_->run();
      return std::unexpected(std::move(host.error()));
    }
    daemon->shms_.push_back(std::move(*host));
  }
  return daemon;
}

Result<void> Daemon::run() {
  auto added = loop_->add(signals_.fd(), EPOLLIN, [this](std::uint32_t) {
    while (const auto signal = signals_.next()) {
      log::info("signal {}: ending", signal->number);
      shut_down();
    }
  });
  if (!added) {
    return std::unexpected(std::move(added.error()));
  }
  log::info("workers: {}", setup_.confinement.summary());
  log::info("isthmusd serves {} VMs and {} shm endpoints, waiting by {}", vms_.size(), shms_.size(),
            loop_->engine_name());
  auto outcome = loop_->run();
  // Their callbacks live in the loop: the parts go first.
  vms_.clear();
  shms_.clear();
  return outcome;
}

void Daemon::shut_down() {
  if (std::exchange(shutting_down_, true)) {
    return;
  }
  parts_left_ = vms_.size() + shms_.size();
  if (parts_left_ == 0) {
    loop_->stop();
  }
  for (const auto& vm : vms_) {
    vm->shut_down([this] { part_done(); });
  }
  for (const auto& shm : shms_) {
    shm->shut_down([this] { part_done(); });
  }
}

void Daemon::part_done() {
  if (--parts_left_ == 0) {
    loop_->stop();
  }
}

}  // namespace isthmus::host
