// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <memory>
#include <thread>
#include <utility>

#include "src/transport/claim.hpp"
#include "src/transport/deadline.hpp"
#include "src/transport/ivshmem_device.hpp"
#include "src/transport/lane_state.hpp"
#include "src/transport/text.hpp"

namespace isthmus {
namespace {

/// ivshmem-plain: no interrupts in either direction; the worker looks at the lane at intervals, and so does the guest.
class IvshmemLink final : public Link {
 public:
  /// `daemon` is the header's word, in a mapping that outlives the link.
  IvshmemLink(UniqueFd bar2, const SharedWord<std::uint32_t>& daemon, std::string name) noexcept
      : bar2_(std::move(bar2)), daemon_(&daemon), name_(std::move(name)) {}

  [[nodiscard]] int lock_file() const noexcept { return bar2_.get(); }

  void kick() noexcept override {}

  Result<void> check_host() override {
    if (daemon_->load_relaxed().equals(1)) {
      return {};
    }
    return fail(Errc::peer_died, text("region ", name_, ": isthmusd on the host has ended; start it and attach again"));
  }

  bool shares_kernel() const noexcept override { return false; }

  int region_file() const noexcept override { return bar2_.get(); }

  void forget_in_child() noexcept override { bar2_.reset(); }

 private:
  UniqueFd bar2_;  // holds the lock on the lane's byte
  const SharedWord<std::uint32_t>* daemon_;
  std::string name_;
};

// A lane without an owner is free as soon as the host has cleaned it up, which takes some milliseconds.
Result<std::uint32_t> claim_soon(const Region& region, int lock_file, std::string_view environment,
                                 std::chrono::milliseconds patience) {
  const auto deadline = deadline_after(patience);
  for (;;) {
    auto lane = claim_any_lane(region, lock_file, environment);
    if (lane || lane.error().code != Errc::exhausted || !lanes_come_free(region) ||
        std::chrono::steady_clock::now() >= deadline) {
      return lane;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace

Result<std::shared_ptr<LaneState>> attach_ivshmem(const Endpoint& endpoint, const AttachOptions& options,
                                                  const std::string& pci_devices) {
  const auto environment = join_environment(options.environment);
  if (!environment) {
    return std::unexpected(environment.error());
  }
  auto device = open_ivshmem(endpoint, pci_devices);
  if (!device) {
    return std::unexpected(std::move(device.error()));
  }
  Region& region = device->region;
  auto link = std::make_unique<IvshmemLink>(std::move(device->bar2), region.header().daemon.word, region.name());
  if (auto host = link->check_host(); !host) {
    return std::unexpected(std::move(host.error()));
  }
  const auto lane = claim_soon(region, link->lock_file(), *environment, options.timeout);
  if (!lane) {
    return std::unexpected(lane.error());
  }
  return LaneState::begin(std::move(region), *lane, std::move(link), options.timeout);
}

}  // namespace isthmus
