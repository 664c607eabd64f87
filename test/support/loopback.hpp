// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <utility>

#include "isthmus/lane_server.hpp"
#include "src/transport/claim.hpp"
#include "src/transport/format_region.hpp"
#include "src/transport/lane_state.hpp"
#include "src/transport/unique_fd.hpp"
#include "test/support/must.hpp"

namespace isthmus::test {

/// How client and worker of a Loopback wake each other.
enum class LoopbackKind : std::uint8_t {
  shm,  ///< futexes and an eventfd, as between processes
  vm,   ///< looking at intervals, as with ivshmem-plain
};

/// Test double of a daemon and its link: a region in a memfd, a LaneServer in a thread of this process, and a client's
/// lane, over two mappings of the same memory. Both sides' real code runs; only the processes are missing.
class Loopback {
 public:
  explicit Loopback(Service& service, LoopbackKind kind = LoopbackKind::shm, std::uint64_t region_size = 32 << 20,
                    std::optional<std::uint64_t> lane_epoch = {})
      : kind_(kind),
        region_fd_(memfd_create("isthmus-test", MFD_CLOEXEC)),
        kick_fd_(eventfd(0, EFD_CLOEXEC)),
        control_fd_(eventfd(0, EFD_CLOEXEC)),
        size_(region_size) {
    require(ftruncate(region_fd_.get(), static_cast<off_t>(region_size)) == 0, "ftruncate");
    must(format_region(region_fd_.get(), {.name = "loopback", .size = region_size, .lane_count = 1}));
    must(set_daemon_present(region_fd_.get(), true));
    if (lane_epoch) {
      const off_t at = abi::page_size + offsetof(abi::LaneControl, host) + offsetof(abi::LaneHostPage, epoch);
      require(pwrite(region_fd_.get(), &*lane_epoch, sizeof *lane_epoch, at) == sizeof *lane_epoch, "pwrite");
    }
    auto server =
        must(LaneServer::open(region_fd_.get(), {.lane_count = 1,
                                                 .control_fd = control_fd_.get(),
                                                 .kick_fd = kind == LoopbackKind::shm ? kick_fd_.get() : -1}));
    server_ = std::async(std::launch::async, [&service, s = std::move(server)]() mutable {
      const auto lane = s.wait_for_claim();
      return lane ? s.serve(service) : LaneEnd{.orderly = false, .reason = lane.error().message};
    });
  }
  Loopback(const Loopback&) = delete;
  Loopback& operator=(const Loopback&) = delete;
  Loopback(Loopback&&) = delete;
  Loopback& operator=(Loopback&&) = delete;
  ~Loopback() {
    stop();
    if (server_.valid()) {
      server_.wait();
    }
  }

  /// Attaches as a client; once.
  [[nodiscard]] std::shared_ptr<LaneState> attach() {
    Region region = map();
    must(claim_lane(region, 0));
    return must(LaneState::begin(std::move(region), 0, std::make_unique<TestLink>(kind_, kick_fd_.get()),
                                 std::chrono::seconds(60)));
  }
  /// Another mapping of the region: the hand of a hostile client.
  [[nodiscard]] Region map() const { return must(Region::open_as_client(region_fd_.get(), size_, "loopback")); }
  [[nodiscard]] int region_fd() const noexcept { return region_fd_.get(); }
  [[nodiscard]] int kick_fd() const noexcept { return kick_fd_.get(); }
  void kick() { static_cast<void>(eventfd_write(kick_fd_.get(), 1)); }
  /// What the daemon does on SIGTERM.
  void stop() { static_cast<void>(eventfd_write(control_fd_.get(), 1)); }
  /// Whether the server ends before the limit.
  [[nodiscard]] bool ends_within(std::chrono::seconds limit) const {
    return server_.wait_for(limit) == std::future_status::ready;
  }
  /// Waits for the server's end; once.
  [[nodiscard]] LaneEnd end() { return server_.get(); }

 private:
  class TestLink final : public Link {
   public:
    TestLink(LoopbackKind kind, int kick_fd) noexcept : kind_(kind), kick_fd_(kick_fd) {}
    void kick() noexcept override { static_cast<void>(eventfd_write(kick_fd_, 1)); }
    Result<void> check_host() override { return {}; }
    bool shares_kernel() const noexcept override { return kind_ == LoopbackKind::shm; }
    void forget_in_child() noexcept override {}

   private:
    LoopbackKind kind_;
    int kick_fd_;
  };

  LoopbackKind kind_;
  UniqueFd region_fd_;
  UniqueFd kick_fd_;
  UniqueFd control_fd_;
  std::uint64_t size_;
  std::future<LaneEnd> server_;
};

}  // namespace isthmus::test
