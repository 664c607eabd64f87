// SPDX-License-Identifier: Apache-2.0

// What a machine pays for Isthmus while nothing happens:
//     idle    processor time, in percent of one processor, of isthmusd, 8 workers and 8 clients with 8 channels each

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "isthmus/api/probe.hpp"
#include "isthmus/lane.hpp"
#include "perf/support/benchmark.hpp"
#include "perf/support/child.hpp"
#include "perf/support/must.hpp"
#include "perf/support/process_time.hpp"
#include "perf/support/shared_object.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::perf {
namespace {

using benchmark::State;
namespace fs = std::filesystem;

constexpr std::uint32_t regions = 8;
constexpr std::uint32_t channels_of_a_region = 8;
constexpr std::chrono::seconds patience{20};

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "isthmus-bench-XXXXXX").string();
    check_system(mkdtemp(pattern.data()) != nullptr, pattern);
    path_ = pattern;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  TemporaryFolder(TemporaryFolder&&) = delete;
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const noexcept { return path_; }

 private:
  fs::path path_;
};

template <class Done>
void wait_until(const std::string& what, const Done& done) {
  const auto deadline = Clock::now() + patience;
  while (!done()) {
    if (Clock::now() >= deadline) {
      throw std::runtime_error("waited " + std::to_string(patience.count()) + " s in vain: " + what);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

// isthmusd with one endpoint, shm:idle.
class Daemon {
 public:
  explicit Daemon(const fs::path& folder) {
    const fs::path config = folder / "isthmusd.toml";
    const fs::path log = folder / "log";
    const fs::path runtime_dir = folder / "run";
    std::ofstream(config) << "runtime_dir = \"" << runtime_dir.string() << "\"\nworker = \"" << ISTHMUS_BENCH_WORKER
                          << "\"\n[[shm]]\nname = \"idle\"\nregion_size = \"16 MiB\"\n";
    process_.emplace([&] {
      check_system(freopen(log.c_str(), "w", stderr) != nullptr, log.string());
      execl(ISTHMUS_BENCH_DAEMON, "isthmusd", "--config", config.c_str(), nullptr);
      check_system(false, ISTHMUS_BENCH_DAEMON);
      return 1;
    });
    wait_until("isthmusd opens its socket", [&] { return fs::exists(runtime_dir / "idle.sock"); });
    setenv("ISTHMUS_RUNTIME_DIR", runtime_dir.c_str(), 1);
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  Daemon(Daemon&&) = delete;
  Daemon& operator=(Daemon&&) = delete;
  ~Daemon() { kill(process_->pid(), SIGTERM); }

  [[nodiscard]] pid_t pid() const { return process_->pid(); }

 private:
  std::optional<Child> process_;
};

struct Progress {
  std::atomic<std::uint32_t> open_channels{0};
};

void call_once(Lane& lane) {
  const std::array<std::byte, 8> bytes{};
  std::array<std::byte, 8> echo{};
  static_cast<void>(
      must(must(lane.channel())
               ->call({.api = probe::Echo::api, .opcode = probe::Echo::opcode, .fixed = {}, .trailing = bytes}, echo)));
}

// A client: threads that call once, and then wait.
int be_client(Progress& progress, int end_of_parent) {
  auto lane = must(Lane::attach("shm:idle", {.timeout = patience}));
  std::vector<std::thread> threads;
  threads.reserve(channels_of_a_region);
  for (std::uint32_t i = 0; i < channels_of_a_region; ++i) {
    threads.emplace_back([&] {
      call_once(lane);
      progress.open_channels.fetch_add(1);
      char byte = 0;
      static_cast<void>(!read(end_of_parent, &byte, 1));  // returns when the parent closes its end
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  return 0;
}

std::chrono::nanoseconds time_of_all(const Daemon& daemon, const std::vector<std::unique_ptr<Child>>& clients) {
  std::chrono::nanoseconds sum = processor_time(daemon.pid());
  for (const pid_t worker : children_of(daemon.pid())) {
    sum += processor_time(worker);
  }
  for (const auto& client : clients) {
    sum += processor_time(client->pid());
  }
  return sum;
}

void measure_idle(State& state) {
  const std::chrono::milliseconds settle(options().quick ? 200 : 1000);
  const std::chrono::milliseconds time(options().quick ? 1000 : 6000);
  const TemporaryFolder folder;
  const Daemon daemon(folder.path());
  const SharedObject<Progress> progress;
  std::array<int, 2> pipe_fds{};
  check_system(pipe2(pipe_fds.data(), O_CLOEXEC) == 0, "pipe");
  const UniqueFd end_of_parent(pipe_fds[0]);
  UniqueFd end_of_clients(pipe_fds[1]);
  std::vector<std::unique_ptr<Child>> clients;
  clients.reserve(regions);
  for (std::uint32_t i = 0; i < regions; ++i) {
    clients.push_back(std::make_unique<Child>([&] {
      end_of_clients.reset();
      return be_client(*progress, end_of_parent.get());
    }));
  }
  wait_until("clients open their channels",
             [&] { return progress->open_channels.load() == regions * channels_of_a_region; });
  std::this_thread::sleep_for(settle);

  const Clock::time_point start = Clock::now();
  const auto before = time_of_all(daemon, clients);
  std::this_thread::sleep_for(time);
  const auto after = time_of_all(daemon, clients);
  const auto took = Clock::now() - start;
  const std::size_t workers = children_of(daemon.pid()).size();
  end_of_clients.reset();
  clients.clear();
  if (workers != regions) {
    throw std::runtime_error("isthmusd has " + std::to_string(workers) + " workers instead of " +
                             std::to_string(regions));
  }
  set_result(state, 100 * std::chrono::duration<double>(after - before) / std::chrono::duration<double>(took),
             "% of one processor, 8 regions, 64 channels");
}

}  // namespace

void register_benchmarks() { add("idle", measure_idle); }

}  // namespace isthmus::perf
