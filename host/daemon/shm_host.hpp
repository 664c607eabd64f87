// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/daemon/address_space.hpp"
#include "host/daemon/shm_lane.hpp"
#include "host/daemon/warm_lanes.hpp"
#include "host/daemon/worker_process.hpp"
#include "host/daemon/worker_setup.hpp"
#include "host/event_loop.hpp"
#include "host/shm_config.hpp"
#include "host/shm_listener.hpp"
#include "host/shm_peer.hpp"
#include "src/transport/daemon_protocol.hpp"

namespace isthmus::host {

/// The daemon's side of one endpoint shm:NAME: the listening socket, and for each connected process a region of its own
/// with one worker. Never maps a region. One thread, the loop's.
class ShmHost {
 public:
  /// How many different variables of clients are remembered for which no worker can be warm.
  static constexpr std::size_t most_known_misfits = 64;
  /// How long a process that connected may take to say hello.
  static constexpr std::chrono::seconds hello_patience{2};
  /// Beside max_clients; each costs two descriptors for as long as that.
  static constexpr std::size_t most_without_hello = 64;

  /// `setup` and `addresses` must outlive the object. With plug-ins, and no warm workers to do so, a worker is started
  /// at once that only loads them, so that the log says now what would go wrong with the first client. Errors: those of
  /// ShmListener and find_plugins().
  [[nodiscard]] static Result<std::unique_ptr<ShmHost>> start(EventLoop& loop, const ShmConfig& config,
                                                              const std::filesystem::path& runtime_dir,
                                                              WorkerSetup& setup, AddressSpace& addresses);

  ShmHost(const ShmHost&) = delete;
  ShmHost& operator=(const ShmHost&) = delete;
  ShmHost(ShmHost&&) = delete;
  ShmHost& operator=(ShmHost&&) = delete;
  ~ShmHost();

  /// Ends all lanes; `done` is called when the last worker is reaped.
  void shut_down(std::function<void()> done);

 private:
  struct Client {
    ShmPeer peer;
    std::optional<ShmLane> lane;  // once it said hello; its descriptors until the worker has taken it
    std::optional<EventLoop::Token> socket_token;
    std::optional<EventLoop::Token> death_token;
    std::optional<EventLoop::Token> hello_token;
    std::uint32_t variables = 0;  // as in its hello
    bool has_misfit = false;      // its first worker had to be replaced
    bool closing = false;
  };

  ShmHost(EventLoop& loop, ShmConfig config, ShmListener listener, WorkerSetup& setup, std::vector<PluginFile> plugins,
          AddressSpace& addresses);

  [[nodiscard]] Result<WorkerSpec> spec_for(uid_t client);
  [[nodiscard]] Result<void> try_plugins();
  void on_connection();
  void on_socket(std::uint64_t id);
  void on_hello(std::uint64_t id, const wire::ClientHello& hello);
  [[nodiscard]] Result<void> serve(std::uint64_t id);
  [[nodiscard]] Result<ShmLane> make_lane(uid_t client, WorkerSpec::Start how, WorkerProcess::Events events);
  [[nodiscard]] Result<std::unique_ptr<WorkerProcess>> start_worker(uid_t client, const ShmLane& lane,
                                                                    WorkerSpec::Start how,
                                                                    WorkerProcess::Events events);
  [[nodiscard]] WorkerProcess::Events events_of(std::uint64_t id);
  void on_misfit(std::uint64_t id);
  void on_worker_gone(std::uint64_t id, bool orderly, const std::string& why);
  void client_gone(std::uint64_t id, std::string_view how);
  void drop(std::uint64_t id);
  void unwatch(Client& client);
  void finish_if_idle();

  EventLoop* loop_;
  ShmConfig config_;
  ShmListener listener_;
  WorkerSetup* setup_;
  std::vector<PluginFile> plugins_;
  AddressSpace* addresses_;
  std::shared_ptr<DeviceMemoryAccount> device_memory_;
  std::map<uid_t, std::shared_ptr<NoteBoard>> notes_;  // by the clients' user
  std::unique_ptr<WorkerProcess> trial_;               // only loads the plug-ins
  std::map<std::uint64_t, Client> clients_;
  WarmLanes warm_;
  std::deque<std::pair<uid_t, std::uint32_t>>
      known_misfits_;  // variables of clients whose first workers were of no use; the latest last
  std::map<std::uint64_t, std::unique_ptr<WorkerProcess>> misfits_;  // workers that end, as others serve their clients
  std::uint64_t next_id_ = 1;
  std::optional<EventLoop::Token> listener_token_;
  std::function<void()> done_;
};

}  // namespace isthmus::host
