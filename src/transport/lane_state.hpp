// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "isthmus/channel.hpp"
#include "isthmus/error.hpp"
#include "isthmus/lane.hpp"
#include "src/transport/link.hpp"
#include "src/transport/process_mark.hpp"
#include "src/transport/region.hpp"
#include "src/transport/slab.hpp"

namespace isthmus {

/// A claimed lane, seen from its client process. Lane, Frame and Channel share it.
class LaneState : public std::enable_shared_from_this<LaneState> {
 public:
  using Clock = std::chrono::steady_clock;

  /// Takes over a lane whose claim word this process has set to `claimed`, and waits for a worker to serve it. On
  /// failure the lane is released again.
  [[nodiscard]] static Result<std::shared_ptr<LaneState>> begin(Region region, std::uint32_t index,
                                                                std::unique_ptr<Link> link,
                                                                std::chrono::milliseconds timeout);

  LaneState(const LaneState&) = delete;
  LaneState& operator=(const LaneState&) = delete;
  LaneState(LaneState&&) = delete;
  LaneState& operator=(LaneState&&) = delete;
  /// Releases the lane, unless this is a child after fork.
  ~LaneState();

  /// The calling thread's channel.
  [[nodiscard]] Result<Channel*> channel();
  /// Gives a channel back when its thread ends. The host frees its number once the ring is drained.
  void close_channel(std::uint32_t number) noexcept;

  /// An error when this is a child after fork, or the lane is over. Slow: to be called by those who wait.
  [[nodiscard]] Result<void> check();
  /// The same without looking at the host: what is known already.
  [[nodiscard]] bool usable() const noexcept {
    return mark_.is_this_process() && !over_.load(std::memory_order_acquire);
  }
  /// Ends the lane from this side, for ever; the first reason stays.
  void poison(Error reason) noexcept;

  [[nodiscard]] bool is_owner_process() const noexcept { return mark_.is_this_process(); }
  [[nodiscard]] const Region& region() const noexcept { return region_; }
  [[nodiscard]] Slab& slab() noexcept { return *slab_; }
  [[nodiscard]] std::uint32_t index() const noexcept { return index_; }
  [[nodiscard]] Link& link() noexcept { return *link_; }

 private:
  LaneState(Region region, std::uint32_t index, std::unique_ptr<Link> link);

  [[nodiscard]] abi::LaneControl& control() const noexcept { return region_.lane(index_); }
  [[nodiscard]] Result<void> await_worker(std::chrono::milliseconds timeout);
  [[nodiscard]] Result<Channel*> open_channel();
  [[nodiscard]] std::optional<std::uint32_t> reserve_channel_number();
  [[nodiscard]] Result<void> await_channel(std::uint32_t number);
  void announce_change() noexcept;
  [[nodiscard]] std::optional<Error> host_verdict() const;

  Region region_;
  std::uint32_t index_;
  std::unique_ptr<Link> link_;
  ProcessMark mark_;
  std::uint64_t epoch_ = 0;
  std::optional<Slab> slab_;

  std::atomic<bool> over_{false};
  std::mutex mutex_;  // guards what follows
  std::optional<Error> why_;
  std::array<std::unique_ptr<Channel>, abi::max_channels> channels_;
  std::array<std::uint64_t, abi::max_channels> blocks_{};  // offset of a channel's block, 0: none
  std::bitset<abi::max_channels> lost_numbers_;            // not to be used again
  std::uint64_t last_heartbeat_ = 0;
  Clock::time_point last_heartbeat_seen_;
};

/// The ways to a claimed lane, one for each kind of endpoint.
[[nodiscard]] Result<std::shared_ptr<LaneState>> attach_shm(const Endpoint& endpoint, const AttachOptions& options);
[[nodiscard]] Result<std::shared_ptr<LaneState>> attach_ivshmem(
    const Endpoint& endpoint, const AttachOptions& options, const std::string& pci_devices = "/sys/bus/pci/devices");

}  // namespace isthmus
