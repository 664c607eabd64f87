// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/vm_host.hpp"

#include <sys/epoll.h>
#include <sys/stat.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "host/daemon/log.hpp"
#include "src/transport/format_region.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {
namespace {

// A spare worker that cannot start is tried again after these; a taken lane resets them.
constexpr std::chrono::milliseconds first_respawn_delay{10};
constexpr std::chrono::milliseconds longest_respawn_delay{5000};

// inotify reports a close a moment before the kernel has let go of the file.
constexpr std::chrono::milliseconds look_interval{5};
constexpr int look_attempts = 40;

}  // namespace

Result<std::unique_ptr<VmHost>> VmHost::start(EventLoop& loop, const VmConfig& config, WorkerSetup& setup,
                                              std::uint64_t base_address) {
  auto plugins = find_plugins(setup.plugin_dir, config.plugins);
  if (!plugins) {
    return fail(plugins.error().code, text("vm ", config.name, ": ", plugins.error().message));
  }
  auto confined = setup.confinement.of(text("vm-", config.name), !plugins->empty(), config.environment);
  if (!confined) {
    return std::unexpected(std::move(confined).error());
  }
  if (!confined->note.empty()) {
    log::warn("vm {}: workers' files: {}", config.name, confined->note);
  }
  auto region = RegionFile::create_or_adopt(config);
  if (!region) {
    return std::unexpected(std::move(region.error()));
  }
  auto watch = RegionWatch::create(*region);
  if (!watch) {
    return std::unexpected(std::move(watch.error()));
  }
  WorkerSpec spec{.program = setup.program,
                  .region_fd = region->fd(),
                  .lane_count = config.lanes,
                  .base_address = base_address,
                  .huge_pages = config.huge_pages,
                  .how = config.warm_workers > 0 ? WorkerSpec::Start::warm : WorkerSpec::Start::cold,
                  .plugins = std::move(*plugins),
                  .device_memory = DeviceMemoryAccount::of(config),
                  .notes = config.plugins.empty() ? nullptr : std::make_shared<NoteBoard>(),
                  .confined = std::move(*confined)};
  std::unique_ptr<VmHost> host(new VmHost(loop, config, std::move(*region), std::move(*watch), std::move(spec)));
  Result<void> ok = host->prepare_region();
  if (ok) {
    ok = host->start_spares();
  }
  if (!ok) {
    // A file that we found, and cannot use, is not ours to remove.
    if (host->region_.origin() == RegionFile::Origin::created) {
      std::ignore = host->region_.remove_if_unused();
    }
    return std::unexpected(std::move(ok.error()));
  }
  return host;
}

VmHost::VmHost(EventLoop& loop, VmConfig config, RegionFile region, RegionWatch watch, WorkerSpec spec)
    : loop_(&loop),
      config_(std::move(config)),
      region_(std::move(region)),
      watch_(std::move(watch)),
      spec_(std::move(spec)),
      respawns_(first_respawn_delay, longest_respawn_delay),
      fresh_starts_(first_respawn_delay, longest_respawn_delay) {}

VmHost::~VmHost() {
  for (const auto& token : {watch_token_, respawn_token_, fresh_token_, look_token_}) {
    if (token) {
      loop_->remove(*token);
    }
  }
}

Result<void> VmHost::prepare_region() {
  const RegionSpec spec{.name = config_.name,
                        .size = config_.region_size,
                        .lane_count = config_.lanes,
                        .base_address = spec_.base_address};
  const bool fresh = region_.origin() == RegionFile::Origin::created;
  if (auto ok = fresh ? format_region(region_.fd(), spec) : adopt_region(region_.fd(), spec); !ok) {
    return ok;
  }
  const auto held = region_.held_by_others();
  if (!held) {
    return std::unexpected(held.error());
  }
  vm_seen_ = *held;
  if (!*held) {
    if (auto ok = mark_all_clients_dead(region_.fd(), config_.lanes); !ok) {
      return ok;
    }
  }
  if (auto added = loop_->add(watch_.fd(), EPOLLIN, [this](std::uint32_t) { on_region_event(); })) {
    watch_token_ = *added;
  } else {
    return std::unexpected(std::move(added.error()));
  }
  log::info("vm {}: region {} of {} is {}{}", config_.name, config_.path.string(), text(Bytes{config_.region_size}),
            fresh ? "made" : "adopted", *held ? ", its VM runs" : "");
  return set_daemon_present(region_.fd(), true);
}

std::size_t VmHost::spares() const noexcept {
  return static_cast<std::size_t>(
      std::ranges::count_if(workers_, [](const auto& worker) { return worker.second.is_spare(); }));
}

std::size_t VmHost::spares_wanted() const noexcept { return std::max<std::size_t>(config_.warm_workers, 1); }

// The spare that has had most time to warm up, unless one waits already; false: there is none.
bool VmHost::have_one_wait() {
  for (auto& [id, worker] : workers_) {  // the oldest first
    if (!worker.is_spare()) {
      continue;
    }
    if (!worker.waits) {
      worker.waits = true;
      if (spec_.how == WorkerSpec::Start::warm) {
        worker.process->serve();
      }
    }
    return true;
  }
  return false;
}

Result<void> VmHost::start_spares() {
  while (spares() < spares_wanted()) {
    if (auto started = start_spare(); !started) {
      return started;
    }
  }
  std::ignore = have_one_wait();
  return {};
}

Result<void> VmHost::start_spare() { return start_worker(spec_); }

Result<void> VmHost::start_worker(const WorkerSpec& spec) {
  const std::uint64_t id = next_id_++;
  auto process =
      WorkerProcess::start(*loop_, spec,
                           {.taken = [this, id](std::uint32_t lane) { on_taken(id, lane); },
                            .gone = [this, id](bool orderly, const std::string& why) { on_gone(id, orderly, why); },
                            .misfit = [this, id](std::uint32_t lane) { on_misfit(id, lane); }});
  if (!process) {
    return std::unexpected(std::move(process.error()));
  }
  workers_.emplace(id, Worker{.process = std::move(*process), .lane = {}, .asked = spec.lane});
  return {};
}

// The spare's drivers have started with other variables than those of that lane's client: another worker takes it.
void VmHost::on_misfit(std::uint64_t id, std::uint32_t lane) {
  if (lane >= config_.lanes || !workers_.at(id).is_spare()) {
    workers_.at(id).process->kill(text("it spoke of lane ", lane, ", which is not its to give"));
    return;
  }
  if (!is_somebodys(lane) && std::ranges::find(misfits_, lane) == misfits_.end()) {
    misfits_.push_back(lane);
    start_fresh();
  }
}

bool VmHost::is_somebodys(std::uint32_t lane) const noexcept {
  return std::ranges::any_of(
      workers_, [lane](const auto& worker) { return worker.second.lane == lane || worker.second.asked == lane; });
}

// A guest decides how often this is wanted: so a few at a time, and rarely where they come to nothing.
void VmHost::start_fresh() {
  const auto starting =
      std::ranges::count_if(workers_, [](const auto& worker) { return worker.second.asked && !worker.second.lane; });
  if (done_ || fresh_token_ || misfits_.empty() || starting >= most_fresh_at_once) {
    return;
  }
  const std::uint32_t lane = misfits_.front();
  misfits_.pop_front();
  WorkerSpec spec = spec_;
  spec.how = WorkerSpec::Start::fresh;
  spec.lane = lane;
  if (auto started = start_worker(spec); !started) {
    fresh_ended(lane, started.error().message);
    return;
  }
  log::info("vm {}: lane {} gets a worker whose drivers start with the client's variables", config_.name, lane);
  start_fresh();
}

// Without a client: who claims the lane is told, because no spare looks at it again.
void VmHost::fresh_ended(std::uint32_t lane, const std::string& why) {
  log::warn("vm {}: lane {}: no worker with the client's variables: {}", config_.name, lane, why);
  if (!is_somebodys(lane) &&
      (is_lane_waiting(region_.fd(), lane).value_or(false) || is_lane_served(region_.fd(), lane).value_or(false))) {
    std::ignore = close_lane(region_.fd(), lane, why);
  }
  if (!done_ && !fresh_token_) {
    fresh_token_ = loop_->call_after(fresh_starts_.failed(), [this] {
      fresh_token_.reset();
      start_fresh();
    });
  }
}

void VmHost::retry_later() { start_spares_after(respawns_.failed()); }

void VmHost::start_spares_after(std::chrono::milliseconds delay) {
  if (done_ || respawn_token_ || out_of_service_) {
    return;
  }
  respawn_token_ = loop_->call_after(delay, [this] {
    respawn_token_.reset();
    if (!region_file_is_whole()) {
      out_of_service_ = true;
      log::error("vm {}: region {} was cut short: out of service; stop the VM, remove the file, start isthmusd anew",
                 config_.name, config_.path.string());
      for (auto& [id, worker] : workers_) {
        if (worker.is_spare()) {
          worker.process->stop();
        }
      }
      return;
    }
    if (auto started = start_spares(); !started) {
      log::error("vm {}: {}", config_.name, started.error().message);
      retry_later();
    }
  });
}

void VmHost::on_taken(std::uint64_t id, std::uint32_t lane) {
  Worker& worker = workers_.at(id);
  const bool occupied = std::ranges::any_of(workers_, [lane](const auto& other) { return other.second.lane == lane; });
  if (worker.lane || lane >= config_.lanes || occupied || (worker.asked && *worker.asked != lane)) {
    worker.process->kill(text("it claimed lane ", lane, ", which is not its to take"));
    return;
  }
  worker.lane = lane;
  worker.waits = false;
  if (worker.asked) {
    fresh_starts_.succeeded();
    start_fresh();
  }
  log::info("vm {}: lane {} is served by worker {}{}", config_.name, lane, worker.process->pid(),
            spec_.how == WorkerSpec::Start::warm && !worker.asked ? worker.process->warmth() : "");
  respawns_.succeeded();
  if (have_one_wait()) {
    start_spares_after(refill_delay);
    return;
  }
  auto started = start_spare();
  std::ignore = have_one_wait();
  if (!started) {
    log::error("vm {}: {}", config_.name, started.error().message);
    retry_later();
  } else if (spares() < spares_wanted()) {
    start_spares_after(refill_delay);
  }
}

void VmHost::on_gone(std::uint64_t id, bool orderly, const std::string& why) {
  const auto found = workers_.find(id);
  const std::optional<std::uint32_t> lane = found->second.lane;
  const std::optional<std::uint32_t> asked = found->second.asked;
  const bool waited = found->second.waits;
  const pid_t pid = found->second.process->pid();
  workers_.erase(found);
  if (lane) {
    if (orderly) {
      log::info("vm {}: lane {} ended: {}", config_.name, *lane, why);
    } else {
      log::warn("vm {}: lane {} ended: {}", config_.name, *lane, why);
    }
    if (auto closed = close_lane(region_.fd(), *lane, why); !closed) {
      log::error("vm {}: {}", config_.name, closed.error().message);
    }
  } else if (!done_) {
    if (asked) {
      fresh_ended(*asked, why);
      return;
    }
    log::warn("vm {}: spare worker {} ended: {}", config_.name, pid, why);
    if (waited) {
      close_lane_nobody_serves(why);
    }
    std::ignore = have_one_wait();
    retry_later();
  }
  finish_if_idle();
}

// A spare that died between taking a lane and saying so.
void VmHost::close_lane_nobody_serves(const std::string& why) {
  for (std::uint32_t lane = 0; lane < config_.lanes; ++lane) {
    if (!is_somebodys(lane) && is_lane_served(region_.fd(), lane).value_or(false)) {
      std::ignore = close_lane(region_.fd(), lane, why);
    }
  }
}

bool VmHost::region_file_is_whole() {
  struct stat status{};
  return fstat(region_.fd(), &status) == 0 && static_cast<std::uint64_t>(status.st_size) == config_.region_size;
}

void VmHost::on_region_event() {
  const auto changes = watch_.take();
  if (!changes) {
    return;
  }
  if (changes->renamed_or_removed && !region_.at_path()) {
    log::warn("vm {}: region {} was renamed or removed: a VM that starts now gets another file", config_.name,
              config_.path.string());
  }
  if (changes->opened || changes->closed || changes->overflowed) {
    look_whether_vm_is_gone(look_attempts);
  }
}

void VmHost::look_whether_vm_is_gone(int attempts_left) {
  if (look_token_) {
    loop_->remove(*std::exchange(look_token_, std::nullopt));
  }
  const auto held = region_.held_by_others();
  if (held && *held != vm_seen_) {
    vm_seen_ = *held;
    log::info("vm {}: {}", config_.name, vm_seen_ ? "its VM has opened the region" : "its VM is gone");
    if (!vm_seen_) {
      // Proof of death for every process in it: their lanes may be reused.
      if (auto marked = mark_all_clients_dead(region_.fd(), config_.lanes); !marked) {
        log::error("vm {}: {}", config_.name, marked.error().message);
      }
    }
    return;
  }
  if (attempts_left > 0) {
    look_token_ = loop_->call_after(look_interval, [this, attempts_left] {
      look_token_.reset();
      look_whether_vm_is_gone(attempts_left - 1);
    });
  }
}

void VmHost::shut_down(std::function<void()> done) {
  done_ = std::move(done);
  std::ignore = set_daemon_present(region_.fd(), false);
  for (auto& [id, worker] : workers_) {
    worker.process->stop();
  }
  finish_if_idle();
}

void VmHost::finish_if_idle() {
  if (!done_ || !workers_.empty()) {
    return;
  }
  if (watch_token_) {
    loop_->remove(*std::exchange(watch_token_, std::nullopt));  // what follows would be reported
  }
  const auto removal = region_.remove_if_unused();
  if (!removal) {
    log::error("vm {}: {}", config_.name, removal.error().message);
  } else if (*removal == RegionFile::Removal::in_use) {
    log::info("vm {}: region {} stays, because its VM runs; the next isthmusd adopts it", config_.name,
              config_.path.string());
  }
  // Called once, and only after this function has returned: the caller may destroy this object then.
  loop_->call_after(std::chrono::nanoseconds(0), std::exchange(done_, [] {}));
}

}  // namespace isthmus::host
