// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "isthmus/lane_server.hpp"
#include "src/transport/format_region.hpp"
#include "src/transport/unique_fd.hpp"
#include "test/support/must.hpp"

namespace isthmus::test {

/// A folder that looks like /sys/bus/pci/devices to who searches ivshmem devices: a BAR is a regular file.
class FakePci {
 public:
  FakePci() {
    std::string pattern = std::filesystem::temp_directory_path() / "isthmus-pci-XXXXXX";
    require(mkdtemp(pattern.data()) != nullptr, "mkdtemp");
    folder_ = pattern;
    std::filesystem::permissions(folder_, std::filesystem::perms(0755));
  }
  FakePci(const FakePci&) = delete;
  FakePci& operator=(const FakePci&) = delete;
  FakePci(FakePci&&) = delete;
  FakePci& operator=(FakePci&&) = delete;
  ~FakePci() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  [[nodiscard]] std::string folder() const { return folder_; }
  [[nodiscard]] std::string file(const std::string& address, const std::string& name) const {
    return folder_ / address / name;
  }

  /// A device without a BAR.
  void add_device(const std::string& address, const std::string& vendor = "0x1af4",
                  const std::string& device = "0x1110") const {
    std::filesystem::create_directory(folder_ / address);
    std::ofstream(file(address, "vendor")) << vendor << '\n';
    std::ofstream(file(address, "device")) << device << '\n';
  }
  /// An ivshmem device whose memory has that size and holds zeros. Returns its memory.
  [[nodiscard]] UniqueFd add_memory(const std::string& address, std::uint64_t size) const {
    add_device(address);
    UniqueFd fd(open(file(address, "resource2").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    require(fd && ftruncate(fd.get(), static_cast<off_t>(size)) == 0, "resource2");
    return fd;
  }
  /// An ivshmem device over a formatted region. Returns its memory.
  [[nodiscard]] UniqueFd add_region(const std::string& address, const RegionSpec& spec) const {
    UniqueFd fd = add_memory(address, spec.size);
    must(format_region(fd.get(), spec));
    return fd;
  }

 private:
  std::filesystem::path folder_;
};

/// What isthmusd does for a VM, with threads of this process instead of workers: one waits for a claim, and each lane
/// that is served has one of its own.
class FakeDaemon {
 public:
  FakeDaemon(int region_fd, std::uint32_t lanes, Service& service)
      : region_fd_(region_fd), lanes_(lanes), service_(&service), control_fd_(eventfd(0, EFD_CLOEXEC)) {
    must(set_daemon_present(region_fd_, true));
    start_worker();
  }
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;
  FakeDaemon(FakeDaemon&&) = delete;
  FakeDaemon& operator=(FakeDaemon&&) = delete;
  ~FakeDaemon() {
    std::ignore = eventfd_write(control_fd_.get(), 1);
    for (;;) {
      std::vector<std::thread> ending;
      {
        const std::scoped_lock lock(mutex_);
        ending.swap(workers_);
      }
      if (ending.empty()) {
        return;
      }
      for (std::thread& worker : ending) {
        worker.join();
      }
    }
  }

 private:
  void start_worker() {
    const std::scoped_lock lock(mutex_);
    workers_.emplace_back([this] { work(); });
  }
  void work() {
    LaneServer server = must(LaneServer::open(region_fd_, {.lane_count = lanes_, .control_fd = control_fd_.get()}));
    const auto lane = server.wait_for_claim();
    if (!lane) {
      return;
    }
    // The next one waits from now on; this one's lane is no longer free.
    must(set_state(*lane, abi::HostState::serving));
    start_worker();
    const LaneEnd end = server.serve(*service_);
    must(close_lane(region_fd_, *lane, end.reason));
  }
  [[nodiscard]] Result<void> set_state(std::uint32_t lane, abi::HostState state) const {
    const auto at = static_cast<off_t>(abi::page_size + lane * sizeof(abi::LaneControl) +
                                       offsetof(abi::LaneControl, host) + offsetof(abi::LaneHostPage, state));
    const auto value = static_cast<std::uint8_t>(state);
    return pwrite(region_fd_, &value, 1, at) == 1 ? Result<void>() : fail(Errc::system, "pwrite");
  }

  int region_fd_;
  std::uint32_t lanes_;
  Service* service_;
  UniqueFd control_fd_;
  std::mutex mutex_;  // guards workers_
  std::vector<std::thread> workers_;
};

}  // namespace isthmus::test
