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
#include <vector>

#include "isthmus/channel.hpp"
#include "isthmus/error.hpp"
#include "isthmus/lane.hpp"
#include "src/transport/caller.hpp"
#include "src/transport/link.hpp"
#include "src/transport/process_mark.hpp"
#include "src/transport/region.hpp"
#include "src/transport/retire_list.hpp"
#include "src/transport/slab.hpp"
#include "src/transport/twin.hpp"

namespace isthmus {

class CompletionWaiter;

/// A claimed lane, seen from its client process. Lane, Frame and Channel share it.
class LaneState final : public CallerLane, public std::enable_shared_from_this<LaneState> {
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
  [[nodiscard]] Result<void> check() override;
  [[nodiscard]] bool seems_over() const noexcept override {
    return !control().host.state.word.load_relaxed().equals(static_cast<std::uint32_t>(abi::HostState::serving));
  }
  /// Whether the lane may be used, without looking at the host: what is known already.
  [[nodiscard]] bool usable() const noexcept {
    return mark_.is_this_process() && !over_.load(std::memory_order_acquire);
  }
  /// Ends the lane from this side, for ever; the first reason stays.
  void poison(Error reason) noexcept override;

  /// The fence that keeps a request behind everything of the lane that came before it, or 0 where its own ring does
  /// that. `position` is where the request will start. A post becomes what later requests stay behind: nothing may fail
  /// between this and the request's write. Any thread.
  [[nodiscard]] std::uint64_t order_behind(std::uint32_t channel, std::uint64_t position, bool is_post) noexcept;

  /// The lane's helper thread for completion descriptors. Errors: exhausted.
  [[nodiscard]] Result<std::shared_ptr<CompletionWaiter>> completion_waiter();

  /// Answers the host's upcalls from now on, in a thread of its own. `service` must outlive the lane, or be `owned` by
  /// it. Errors: invalid_argument (a second time), exhausted, and the lane's.
  [[nodiscard]] Result<void> serve_upcalls(Service& service, std::unique_ptr<Service> owned = nullptr);

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
  [[nodiscard]] Result<void> await_open(const SharedWord<std::uint32_t>& state, const std::string& what);
  void announce_change() noexcept;
  [[nodiscard]] std::optional<Error> host_verdict() const;

  Region region_;
  std::uint32_t index_;
  std::unique_ptr<Link> link_;
  ProcessMark mark_;
  std::uint64_t epoch_ = 0;
  std::optional<Slab> slab_;

  // The last post of the lane, an encoded abi::Fence; 0: none yet. Client-private.
  alignas(abi::writer_separation) std::atomic<std::uint64_t> last_post_{0};

  alignas(abi::writer_separation) std::atomic<bool> over_{false};
  // Apart from the other one, which is held while a channel opens: who looks after the host meanwhile waits for
  // nothing.
  std::mutex end_mutex_;  // guards the next three; the last lock that a thread takes
  std::optional<Error> why_;
  std::uint64_t last_heartbeat_ = 0;
  Clock::time_point last_heartbeat_seen_;

  std::mutex mutex_;  // guards what follows
  std::array<std::unique_ptr<Channel>, abi::max_channels> channels_;
  std::array<std::uint64_t, abi::max_channels> blocks_{};  // offset of a channel's block, 0: none
  std::array<std::uint64_t, abi::max_channels> starts_{};  // where the request positions of the next owner start
  std::bitset<abi::max_channels> lost_numbers_;            // not to be used again
  std::array<std::unique_ptr<RetireList>, abi::max_channels> left_behind_;  // frames of posts of threads that ended
  std::shared_ptr<CompletionWaiter> completion_waiter_;
  std::unique_ptr<Service> upcall_service_;  // where the lane owns it
  std::unique_ptr<Twin> upcall_twin_;
};

/// The ways to a claimed lane, one for each kind of endpoint.
[[nodiscard]] Result<std::shared_ptr<LaneState>> attach_shm(const Endpoint& endpoint, const AttachOptions& options);
[[nodiscard]] Result<std::shared_ptr<LaneState>> attach_ivshmem(
    const Endpoint& endpoint, const AttachOptions& options, const std::string& pci_devices = "/sys/bus/pci/devices");

}  // namespace isthmus
