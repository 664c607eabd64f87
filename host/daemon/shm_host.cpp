// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/shm_host.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <tuple>
#include <utility>

#include "host/daemon/log.hpp"
#include "host/shm_region.hpp"
#include "isthmus/abi.hpp"
#include "src/transport/daemon_protocol.hpp"
#include "src/transport/descriptor_message.hpp"
#include "src/transport/format_region.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {
namespace {

void put_text(std::array<char, wire::text_size>& target, std::string_view line) {
  std::ranges::copy(line.substr(0, target.size() - 1), target.begin());
}

void refuse(int socket, wire::Welcome verdict, std::string_view why) {
  wire::DaemonWelcome welcome{.verdict = verdict};
  put_text(welcome.text, why);
  std::ignore = send(socket, &welcome, sizeof welcome, MSG_NOSIGNAL | MSG_DONTWAIT);
}

Result<void> accept_with(int socket, int region, int kick) {
  wire::DaemonWelcome welcome{.verdict = wire::Welcome::accepted};
  if (!send_with_descriptors(socket, std::as_bytes(std::span(&welcome, 1)), std::array{region, kick},
                             MSG_NOSIGNAL | MSG_DONTWAIT)) {
    return fail(Errc::peer_died, text("the client hung up: ", errno_text(errno)));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<ShmHost>> ShmHost::start(EventLoop& loop, const ShmConfig& config,
                                                const std::filesystem::path& runtime_dir, WorkerSetup& setup,
                                                AddressSpace& addresses) {
  auto plugins = find_plugins(setup.plugin_dir, config.plugins);
  if (!plugins) {
    return fail(plugins.error().code, text("shm ", config.name, ": ", plugins.error().message));
  }
  auto listener = ShmListener::create(runtime_dir, config);
  if (!listener) {
    return std::unexpected(std::move(listener.error()));
  }
  std::unique_ptr<ShmHost> host(new ShmHost(loop, config, std::move(*listener), setup, std::move(*plugins), addresses));
  auto added = loop.add(host->listener_.fd(), EPOLLIN, [self = host.get()](std::uint32_t) { self->on_connection(); });
  if (!added) {
    return std::unexpected(std::move(added.error()));
  }
  host->listener_token_ = *added;
  log::info("shm {}: listening at {}", config.name, host->listener_.path().string());
  if (!host->plugins_.empty() && config.warm_workers == 0) {
    if (auto tried = host->try_plugins(); !tried) {
      return std::unexpected(std::move(tried).error());
    }
  }
  host->warm_.start();
  return host;
}

ShmHost::ShmHost(EventLoop& loop, ShmConfig config, ShmListener listener, WorkerSetup& setup,
                 std::vector<PluginFile> plugins, AddressSpace& addresses)
    : loop_(&loop),
      config_(std::move(config)),
      listener_(std::move(listener)),
      setup_(&setup),
      plugins_(std::move(plugins)),
      addresses_(&addresses),
      device_memory_(DeviceMemoryAccount::of(config_)),
      warm_(loop, text("shm ", config_.name), config_.warm_workers, ::geteuid(),
            [this](uid_t user, WorkerProcess::Events events) {
              return make_lane(user, WorkerSpec::Start::warm, std::move(events));
            }) {}

ShmHost::~ShmHost() {
  for (auto& [id, client] : clients_) {
    unwatch(client);
  }
  if (listener_token_) {
    loop_->remove(*listener_token_);
  }
}

Result<WorkerSpec> ShmHost::spec_for(uid_t client) {
  // One user of workers for each user of clients: what a worker leaves in its cache must not reach another user.
  auto confined =
      setup_->confinement.of(text("shm-", config_.name, "-", client), !plugins_.empty(), config_.environment);
  if (!confined) {
    return std::unexpected(std::move(confined).error());
  }
  if (!confined->note.empty()) {
    log::warn("shm {}: workers' files: {}", config_.name, confined->note);
  }
  auto& notes = notes_[client];
  if (notes == nullptr && !plugins_.empty()) {
    notes = std::make_shared<NoteBoard>();
  }
  return WorkerSpec{.program = setup_->program,
                    .huge_pages = config_.huge_pages,
                    .plugins = plugins_,
                    .device_memory = device_memory_,
                    .notes = notes,
                    .confined = std::move(*confined)};
}

Result<void> ShmHost::try_plugins() {
  const auto spec = spec_for(::geteuid());
  if (!spec) {
    return std::unexpected(spec.error());
  }
  auto trial = WorkerProcess::start(*loop_, *spec,
                                    {.taken = [](std::uint32_t) {},
                                     .gone =
                                         [this](bool orderly, const std::string& why) {
                                           if (!orderly && !done_) {
                                             log::error("shm {}: clients will not be served: {}", config_.name, why);
                                           }
                                           trial_.reset();
                                           finish_if_idle();
                                         }});
  if (!trial) {
    return std::unexpected(std::move(trial).error());
  }
  trial_ = std::move(*trial);
  return {};
}

void ShmHost::on_connection() {
  auto accepted = listener_.accept();
  if (!accepted) {
    log::warn("shm {}: {}", config_.name, accepted.error().message);
    return;
  }
  if (!accepted->has_value()) {
    return;
  }
  if (clients_.size() >= config_.max_clients + most_without_hello) {
    refuse((*accepted)->socket.get(), wire::Welcome::busy,
           text("all ", config_.max_clients, " places are taken, or others connect and say nothing; try again"));
    return;
  }
  const std::uint64_t id = next_id_++;
  Client& client = clients_[id];
  client.peer = std::move(**accepted);
  if (auto added =
          loop_->add(client.peer.socket.get(), EPOLLIN | EPOLLRDHUP, [this, id](std::uint32_t) { on_socket(id); })) {
    client.socket_token = *added;
  }
  if (auto added = loop_->add(client.peer.pidfd.get(), EPOLLIN,
                              [this, id](std::uint32_t) { client_gone(id, "its process ended"); })) {
    client.death_token = *added;
  }
  client.hello_token = loop_->call_after(hello_patience, [this, id] {
    clients_.at(id).hello_token.reset();
    client_gone(id, "it did not say hello in time");
  });
}

void ShmHost::on_socket(std::uint64_t id) {
  Client& client = clients_.at(id);
  wire::ClientHello hello;
  const ssize_t got = recv(client.peer.socket.get(), &hello, sizeof hello, MSG_DONTWAIT | MSG_TRUNC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    return;
  }
  if (got <= 0) {
    client_gone(id, "it detached");
    return;
  }
  // One hello is all that a client ever says.
  if (got != static_cast<ssize_t>(sizeof hello) || hello.magic != wire::hello_magic || !client.hello_token) {
    client_gone(id, "it sent what is no hello");
    return;
  }
  loop_->remove(*std::exchange(client.hello_token, std::nullopt));
  on_hello(id, hello);
}

void ShmHost::on_hello(std::uint64_t id, const wire::ClientHello& hello) {
  Client& client = clients_.at(id);
  const int socket = client.peer.socket.get();
  if (hello.version != wire::protocol_version || hello.abi != abi::abi_version) {
    refuse(socket, wire::Welcome::version_mismatch,
           text("the client speaks protocol ", hello.version, " and ABI ", hello.abi, ", isthmusd ",
                wire::protocol_version, " and ", abi::abi_version, "; install matching versions"));
    drop(id);
    return;
  }
  if (clients_.size() > config_.max_clients) {
    refuse(socket, wire::Welcome::busy,
           text("all ", config_.max_clients, " places are taken; end a client, or raise max_clients"));
    drop(id);
    return;
  }
  client.variables = hello.variables;
  if (auto served = serve(id); !served) {
    log::error("shm {}: client {}: {}", config_.name, client.peer.pid, served.error().message);
    refuse(socket, wire::Welcome::failed, served.error().message);
    if (client.lane) {
      client_gone(id, "it could not be answered");
    } else {
      drop(id);
    }
  }
}

Result<ShmLane> ShmHost::make_lane(uid_t client, WorkerSpec::Start how, WorkerProcess::Events events) {
  const std::uint64_t address = addresses_->take(config_.region_size);
  auto region = make_shm_region(config_.name, config_.region_size);
  if (!region) {
    return std::unexpected(region.error());
  }
  if (auto ok = format_region(
          region->get(), {.name = config_.name, .size = config_.region_size, .lane_count = 1, .base_address = address});
      !ok) {
    return std::unexpected(std::move(ok).error());
  }
  if (auto ok = set_daemon_present(region->get(), true); !ok) {
    return std::unexpected(std::move(ok).error());
  }
  UniqueFd kick(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!kick) {
    return fail(Errc::system, text("eventfd: ", errno_text(errno)));
  }
  ShmLane lane{.region = std::move(*region), .kick = std::move(kick), .worker = nullptr, .address = address};
  auto worker = start_worker(client, lane, how, std::move(events));
  if (!worker) {
    return std::unexpected(std::move(worker.error()));
  }
  lane.worker = std::move(*worker);
  return lane;
}

Result<std::unique_ptr<WorkerProcess>> ShmHost::start_worker(uid_t client, const ShmLane& lane, WorkerSpec::Start how,
                                                             WorkerProcess::Events events) {
  auto spec = spec_for(client);
  if (!spec) {
    return std::unexpected(std::move(spec).error());
  }
  spec->region_fd = lane.region.get();
  spec->kick_fd = lane.kick.get();
  spec->base_address = lane.address;
  spec->how = how;
  return WorkerProcess::start(*loop_, *spec, std::move(events));
}

WorkerProcess::Events ShmHost::events_of(std::uint64_t id) {
  return {.taken =
              [this, id](std::uint32_t) {
                ShmLane& lane = *clients_.at(id).lane;
                lane.region.reset();
                lane.kick.reset();
              },
          .gone = [this, id](bool orderly, const std::string& why) { on_worker_gone(id, orderly, why); },
          .misfit = [this, id](std::uint32_t) { on_misfit(id); }};
}

Result<void> ShmHost::serve(std::uint64_t id) {
  Client& client = clients_.at(id);
  const bool is_known_misfit =
      std::ranges::find(known_misfits_, std::pair(client.peer.uid, client.variables)) != known_misfits_.end();
  auto ready = is_known_misfit ? std::nullopt : warm_.take(client.peer.uid, events_of(id));
  const auto how = client.variables != 0 ? WorkerSpec::Start::fresh : WorkerSpec::Start::cold;
  auto lane = ready ? Result<ShmLane>(std::move(*ready)) : make_lane(client.peer.uid, how, events_of(id));
  if (!lane) {
    return std::unexpected(std::move(lane).error());
  }
  client.lane = std::move(*lane);
  const WorkerProcess& worker = *client.lane->worker;
  log::info("shm {}: client {} (uid {}) is served by worker {}{}", config_.name, client.peer.pid, client.peer.uid,
            worker.pid(), ready ? worker.warmth() : "");
  return accept_with(client.peer.socket.get(), client.lane->region.get(), client.lane->kick.get());
}

// Its worker's drivers have started with other variables than the client's: another worker takes the claim.
void ShmHost::on_misfit(std::uint64_t id) {
  Client& client = clients_.at(id);
  if (client.closing) {
    return;
  }
  if (!client.lane->region || std::exchange(client.has_misfit, true)) {
    client.lane->worker->kill("it has a client, and says that it cannot serve it");
    return;
  }
  if (client.variables != 0) {
    known_misfits_.emplace_back(client.peer.uid, client.variables);
    if (known_misfits_.size() > most_known_misfits) {
      known_misfits_.pop_front();
    }
  }
  std::unique_ptr<WorkerProcess>& misfit = misfits_[id] = std::move(client.lane->worker);
  misfit->report_to({.taken = [](std::uint32_t) {},
                     .gone =
                         [this, id](bool /*orderly*/, const std::string& /*why*/) {
                           misfits_.erase(id);
                           finish_if_idle();
                         }});
  misfit->stop();
  auto worker = start_worker(client.peer.uid, *client.lane, WorkerSpec::Start::fresh, events_of(id));
  if (!worker) {
    log::error("shm {}: client {}: {}", config_.name, client.peer.pid, worker.error().message);
    on_worker_gone(id, false, worker.error().message);
    return;
  }
  client.lane->worker = std::move(*worker);
  log::info("shm {}: client {} is served by worker {} instead, whose drivers start with the client's variables",
            config_.name, client.peer.pid, client.lane->worker->pid());
}

void ShmHost::on_worker_gone(std::uint64_t id, bool orderly, const std::string& why) {
  Client& client = clients_.at(id);
  if (orderly || client.closing) {
    log::info("shm {}: lane of client {} ended: {}", config_.name, client.peer.pid, why);
  } else {
    log::warn("shm {}: lane of client {} ended: {}", config_.name, client.peer.pid, why);
  }
  wire::LaneClosed closed;
  put_text(closed.text, why);
  std::ignore = send(client.peer.socket.get(), &closed, sizeof closed, MSG_NOSIGNAL | MSG_DONTWAIT);
  drop(id);
}

void ShmHost::client_gone(std::uint64_t id, std::string_view how) {
  Client& client = clients_.at(id);
  unwatch(client);
  if (!client.lane) {
    drop(id);
    return;
  }
  client.closing = true;
  log::info("shm {}: client {}: {}", config_.name, client.peer.pid, how);
  client.lane->worker->stop();  // on_worker_gone drops the client
}

void ShmHost::unwatch(Client& client) {
  for (auto* token : {&client.socket_token, &client.death_token, &client.hello_token}) {
    if (*token) {
      loop_->remove(**token);
      token->reset();
    }
  }
}

void ShmHost::drop(std::uint64_t id) {
  unwatch(clients_.at(id));
  clients_.erase(id);
  finish_if_idle();
}

void ShmHost::shut_down(std::function<void()> done) {
  done_ = std::move(done);
  if (listener_token_) {
    loop_->remove(*std::exchange(listener_token_, std::nullopt));
  }
  if (trial_ != nullptr) {
    trial_->stop();
  }
  warm_.shut_down([this] { finish_if_idle(); });
  std::vector<std::uint64_t> ids;
  ids.reserve(clients_.size());
  for (const auto& [id, client] : clients_) {
    ids.push_back(id);
  }
  for (const std::uint64_t id : ids) {
    client_gone(id, "isthmusd ends");
  }
  finish_if_idle();
}

void ShmHost::finish_if_idle() {
  if (done_ && clients_.empty() && trial_ == nullptr && warm_.is_empty() && misfits_.empty()) {
    std::ignore = loop_->call_after(std::chrono::nanoseconds(0), std::exchange(done_, nullptr));
  }
}

}  // namespace isthmus::host
